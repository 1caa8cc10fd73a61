"""Status of a sweep while it runs: one live line in a terminal, one line per cell in a log."""

import dataclasses
import heapq
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from flaxmark.sweep.cell_files import last_validation
from flaxmark.system.progress import format_seconds


@dataclasses.dataclass(frozen=True)
class _Running:
    """A cell in training: its folder, its start time in seconds, and its epoch at the start."""

    workdir: Path
    since: float
    resumed: int


def time_until_done(waiting: Sequence[float], jobs: int, running: Sequence[float] = ()) -> float:
    """Time until all cells have ended, `jobs` of them at a time, from the time that each still takes."""
    places = [*running, *[0.0] * (jobs - len(running))]
    heapq.heapify(places)
    for seconds in waiting:  # each starts where a place is free first
        heapq.heapreplace(places, places[0] + seconds)
    return max(places)


class StatusLine:
    """Counts of done, failed, running and remaining cells, and the time left, estimated from the cells' costs."""

    def __init__(
        self, costs: list[float], done: list[bool], epochs: int, jobs: int = 1, stream: TextIO = sys.stderr
    ) -> None:
        """Take each cell's relative cost and whether it is already done, in starting order, and the epochs per cell."""
        self._costs = costs
        self._ended, self._failed = list(done), 0
        self._epochs, self._jobs, self._stream = epochs, jobs, stream
        self._live = stream.isatty()
        self._running: dict[int, _Running] = {}
        self._worked = self._busy = 0.0  # cost and seconds of the cells that have ended

    def cell_started(self, index: int, workdir: Path) -> None:
        """Count a cell as running; the folder's name is the cell's."""
        self._running[index] = _Running(workdir, time.perf_counter(), last_epoch(workdir))

    def show(self) -> None:
        """Refresh the live line; does nothing in a log."""
        if not self._live or not self._running:
            return
        counts, cells, left = self._texts()
        room = shutil.get_terminal_size().columns - len(f"{counts}  |    |  {left}") - 1
        if len(cells) > room:  # a line that wraps could not be replaced
            cells = f"{cells[: max(0, room - 1)]}…"
        self._stream.write(f"\r\x1b[K{counts}  |  {cells}  |  {left}")
        self._stream.flush()

    def cell_ended(self, index: int, reason: str) -> None:
        """Write a permanent line; `reason` says why the cell failed and is empty where it succeeded."""
        cell = self._running.pop(index)
        epoch = last_epoch(cell.workdir) if reason else self._epochs
        self._worked += self._cost(index, epoch - cell.resumed)
        self._busy += time.perf_counter() - cell.since
        self._ended[index] = True
        self._failed += bool(reason)
        outcome = f"FAILED: {reason}" if reason else "done"
        parts = [f"{cell.workdir.name} {outcome}", *filter(None, self._texts())]
        self._stream.write(("\r\x1b[K" if self._live else "") + "  |  ".join(parts) + "\n")
        self._stream.flush()

    def _texts(self) -> tuple[str, str, str]:
        """Counts, the running cells, and the time left."""
        ended, total, running = sum(self._ended), len(self._ended), len(self._running)
        failed = f", {self._failed} failed" if self._failed else ""
        counts = f"{ended - self._failed} done{failed}, {running} running, {total - ended - running} left"
        last = {index: last_validation(cell.workdir) for index, cell in self._running.items()}
        cells = [
            f"{cell.workdir.name}  epoch {_epoch(last[index])}/{self._epochs}{_figures(last[index])}"
            for index, cell in self._running.items()
        ]
        return counts, "; ".join(cells), self._time_left({index: _epoch(line) for index, line in last.items()})

    def _time_left(self, epochs: Mapping[int, int]) -> str:
        """Time until all cells have ended, `jobs` of them at a time; `epochs` are those of the running cells."""
        if all(self._ended):
            return "all ended"
        now = time.perf_counter()
        worked = self._worked + sum(self._cost(i, epochs[i] - cell.resumed) for i, cell in self._running.items())
        busy = self._busy + sum(now - cell.since for cell in self._running.values())
        if worked <= 0:
            return "time left unknown yet"
        running = [self._cost(i, self._epochs - epoch) for i, epoch in epochs.items()]
        waiting = [c for i, c in enumerate(self._costs) if not self._ended[i] and i not in self._running]
        return f"{format_seconds(busy / worked * time_until_done(waiting, self._jobs, running))} left"

    def _cost(self, index: int, epochs: int) -> float:
        """Relative cost of some of a cell's epochs."""
        return self._costs[index] * epochs / self._epochs


def last_epoch(workdir: Path) -> int:
    """Epochs that a cell has finished and validated."""
    return _epoch(last_validation(workdir))


def _epoch(last: Mapping[str, float] | None) -> int:
    """Epochs that a run has finished, from its newest validation line."""
    return int(last["epoch"]) if last else 0


def _figures(last: Mapping[str, float] | None) -> str:
    """NME of a run's newest validation line, in percent, as text."""
    return f"  NME {last['nme']:.2f} %" if last and last["nme"] is not None else ""
