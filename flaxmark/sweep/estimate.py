"""Estimate of a sweep's time before its first cell, from a few steps of its networks on this device."""

import dataclasses
import itertools
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from flaxmark.config.config import Config
from flaxmark.data.data_sets import find_data_set
from flaxmark.data.prepare.sources import FolderSource
from flaxmark.sweep.cell_processes import run_cells
from flaxmark.sweep.measured_cell import CellTime, measure_cell
from flaxmark.sweep.status_line import time_until_done
from flaxmark.system.progress import format_seconds

FEWEST_STEPS = 2000
"""A sweep of fewer steps starts without an estimate, which takes up to a minute or two itself."""


class NoEstimateError(RuntimeError):
    """A measurement has failed."""


@dataclasses.dataclass(frozen=True)
class CellLeft:
    """A cell that has no result yet."""

    config: Config
    epoch: int
    """Epochs that an earlier start has finished."""

    @property
    def network(self) -> str:
        """Name of its network, such as `resnet18`."""
        return self.config.model.variant

    @property
    def cost(self) -> float:
        """Relative cost of its network."""
        return self.config.model.relative_cost

    @property
    def programs(self) -> str:
        """Equal for cells that share their compiled programs: all but the seed."""
        return repr((self.config.model, self.config.loss))


def steps_left(cells: Sequence[CellLeft]) -> int:
    """Training steps that these cells still have to make; all have the same data."""
    data = cells[0].config.data
    faces = len((find_data_set(data.name).source or FolderSource)(data).division.splits.get("train", ()))
    trains = [(cell.config.train, cell.epoch) for cell in cells]
    return sum((train.epochs - epoch) * (faces // train.batch_size) for train, epoch in trains)


def measure_cells(cells: Sequence[CellLeft], jobs: int) -> dict[str, CellTime]:
    """Time a cell of the cheapest and one of the costliest network, `jobs` at a time: network -> its time.

    Of several networks with that cost, all: a network of one's own that gives no `relative_cost` has 1.

    Raises NoEstimateError with the reason where that fails, KeyboardInterrupt and SystemExit as `run_cells`.
    """
    jobs = min(jobs, len(cells))
    ends = min(cell.cost for cell in cells), max(cell.cost for cell in cells)
    networks = dict.fromkeys(cell.network for cell in cells if cell.cost in ends)
    return {network: _measure([cell for cell in cells if cell.network == network], jobs) for network in networks}


def _measure(cells: Sequence[CellLeft], jobs: int) -> CellTime:
    """Mean time of cells of one network, `jobs` of them at the same time; with fewer cells some are measured twice."""
    with tempfile.TemporaryDirectory(prefix="flaxmark-estimate-") as scratch:
        chosen = list(itertools.islice(itertools.cycle(cells), jobs))
        folders = [Path(scratch, str(number)) for number in range(jobs)]
        for folder in folders:
            folder.mkdir()
        runs = {i: (cell.config, folder) for i, (cell, folder) in enumerate(zip(chosen, folders, strict=True))}
        try:
            reasons = run_cells(runs, jobs, work=partial(measure_cell, others=folders))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("before the first cell; the same command starts it") from None
        if failed := [reason for reason in reasons.values() if reason]:
            raise NoEstimateError(f"{chosen[0].config.model.title}: {failed[0]}")
        times = [dataclasses.astuple(CellTime.read(folder)) for folder in folders]
    return CellTime(*map(statistics.mean, zip(*times, strict=True)))


def seconds_of_cells(cells: Sequence[CellLeft], measured: Mapping[str, CellTime]) -> list[float]:
    """Seconds of each cell, in starting order: between the measured networks they grow evenly with the relative cost.

    Programs are compiled for the first of the cells that share them.
    """
    cost_of = {cell.network: cell.cost for cell in cells}
    networks = sorted(measured, key=cost_of.__getitem__)
    costs = [cost_of[network] for network in networks]
    figures = list(zip(*(dataclasses.astuple(measured[network]) for network in networks), strict=True))
    compiled: set[str] = set()
    seconds = []
    for cell in cells:
        time = measured.get(cell.network) or CellTime(*(float(np.interp(cell.cost, costs, ends)) for ends in figures))
        left = 1 - cell.epoch / cell.config.train.epochs
        seconds.append(time.start + time.work * left + (0.0 if cell.programs in compiled else time.compile))
        compiled.add(cell.programs)
    return seconds


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Seconds of each cell in starting order, and all of them in one line."""

    seconds: list[float]
    line: str


def make_estimate(cells: Sequence[CellLeft], jobs: int, measured: Mapping[str, CellTime]) -> Estimate:
    """Estimate of the cells that are left, `jobs` of them at a time."""
    seconds = seconds_of_cells(cells, measured)
    titles = {cell.network: cell.config.model.title for cell in cells}
    each = ", ".join(f"{titles[network]} {time.step:.2g} s a step" for network, time in measured.items())
    count = f"{len(cells)} cell{'s' if len(cells) > 1 else ''}" + (f", {jobs} at a time" if jobs > 1 else "")
    total = format_seconds(time_until_done(seconds, jobs))
    return Estimate(seconds, f"about {total} for {count} (measured here: {each})")


def estimate_time(cells: Sequence[CellLeft], jobs: int, *, always: bool = False) -> Estimate | None:
    """Measure and estimate; None for a small sweep unless `always`, and where it fails: a line says why."""
    try:
        if not cells or not (always or steps_left(cells) >= FEWEST_STEPS):
            return None
        print("estimating the time by a few steps of the cheapest and of the costliest network ..", file=sys.stderr)
        return make_estimate(cells, jobs, measure_cells(cells, jobs))
    except Exception as error:  # whatever it is, cells that can be trained shall be
        print(f"no estimate of the time: {' '.join(str(error).split())}", file=sys.stderr)
        return None
