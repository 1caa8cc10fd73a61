"""Grid of networks, losses and seeds: each cell is a run of its own, in its own process."""

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from flaxmark.config.checks import check_config, check_weights_exist, names_config
from flaxmark.config.config import Config
from flaxmark.data.data_sets import find_data_set
from flaxmark.data.prepare.sources import find_data_dir
from flaxmark.errors import ConfigError, StorageError
from flaxmark.models.losses import Loss
from flaxmark.models.model import all_variants, find_variant
from flaxmark.schema import remake, require
from flaxmark.storage.workdir import stored_result
from flaxmark.sweep.cell_processes import run_cells
from flaxmark.sweep.estimate import CellLeft, estimate_time
from flaxmark.sweep.status_line import StatusLine, last_epoch
from flaxmark.system.devices import check_devices
from flaxmark.system.progress import format_seconds

MAX_JOBS = 64  # each is a process that holds a network; more would only wait for each other
CELL_NAME = re.compile(r"(.+_.+)_seed(\d+)")


def loss_variants() -> dict[str, tuple[type[Loss], dict[str, Any]]]:
    """Every loss that a sweep can train with: its name, such as smooth_l1_0.02, -> its class and fields."""
    members: dict[str, type[Loss]] = Loss.members
    return {name: (kind, fields) for kind in members.values() for name, fields in kind.variants().items()}


class SweepError(RuntimeError):
    """Some cells have failed."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of the grid: a variant of a network, a variant of a loss, and a seed."""

    network: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder in the sweep's workdir."""
        return f"{self.network}_{self.loss}_seed{self.seed}"

    @classmethod
    def named(cls, name: str) -> Self | None:
        """The cell with this folder name; None unless it consists of a registered network and loss and a seed."""
        parts = CELL_NAME.fullmatch(name)
        pairs = ((network, loss) for network in all_variants() for loss in loss_variants())
        found = next((pair for pair in pairs if parts and "_".join(pair) == parts[1]), None)
        return cls(*found, int(parts[2])) if parts and found else None

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """The cell that a config belongs to; None where its network or loss is none of the variants."""
        for loss, (kind, fields) in loss_variants().items():
            own = [config.loss.name, *(getattr(config.loss, name, None) for name in fields)]
            if own == [kind.name, *fields.values()] and config.model.variant in all_variants():
                return cls(config.model.variant, loss, config.train.seed)
        return None

    def config(self, base: Config) -> Config:
        """A config with this cell's network, loss and seed; the other fields keep their values."""
        network, loss = find_variant(self.network), loss_variants()[self.loss]
        return dataclasses.replace(
            base,
            model=remake(base.model, network[0], **{**network[1], "sigma": loss[0].needs_sigma}),
            loss=remake(base.loss, loss[0], **loss[1]),
            train=dataclasses.replace(base.train, seed=self.seed),
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a cell ended: whether it has a result, and otherwise the reason in one line."""

    cell: Cell
    done: bool
    reason: str = ""


def make_cells(
    networks: Sequence[str], losses: Sequence[str], seeds: Sequence[int], shard_index: int = 0, num_shards: int = 1
) -> list[Cell]:
    """Cells of one shard of the grid, cheap networks first; together the shards are the grid.

    `networks` and `losses` are variants such as `resnet18` and `smooth_l1_0.02`. Raises ConfigError where an argument
    is empty, repeated, unknown or out of range.
    """
    known = list(all_variants())
    for field, values, choices in (
        ("networks", networks, known),
        ("losses", losses, list(loss_variants())),
        ("seeds", seeds, None),
    ):
        if not values or len(set(values)) < len(values):
            given = " ".join(map(str, values))
            raise ConfigError("give at least one, and none of them twice", field=field, value=given)
        if unknown := [value for value in values if choices is not None and value not in choices]:
            raise ConfigError(f"choose from {', '.join(choices or ())}", field=field, value=unknown[0])
    if not 0 <= shard_index < num_shards:
        reason = f"must be at least 0 and below --num-shards {num_shards}"
        raise ConfigError(reason, field="shard_index", value=shard_index)
    ordered = sorted(networks, key=known.index)
    cells = [Cell(network, loss, seed) for network in ordered for seed in seeds for loss in losses]
    return cells[shard_index::num_shards]


def run_sweep(configs: Mapping[Cell, Config], folder: Path, jobs: int = 1, *, estimate: bool = False) -> list[Outcome]:
    """Train every cell that has no result yet, `jobs` of them at a time; a failure does not stop the others.

    `configs` are in starting order. Each cell gets a workdir in `folder`, with log.txt, and failed.txt where it failed.
    `estimate` prints how long it will take, unless the sweep is small. Returns the outcomes in order. Raises
    ConfigError where a config cannot work, and the storage's error where a folder holds a result of another config;
    Ctrl-C and SIGTERM save the running cells first.
    """
    left = _check(configs, folder, jobs)
    cells = list(configs)
    if not cells:
        return []
    _make_folders(folder, cells)
    if estimate and (estimated := estimate_time(list(left.values()), jobs)):
        print(estimated.line, file=sys.stderr)
    status = StatusLine(
        [config.model.relative_cost for config in configs.values()],
        [cell not in left for cell in cells],
        configs[cells[0]].train.epochs,
        jobs,
    )
    runs = {i: (configs[cell], folder / cell.name) for i, cell in enumerate(cells) if cell in left}
    failed = {i: reason for i, reason in run_cells(runs, jobs, status).items() if reason}
    return [Outcome(cell, i not in failed, failed.get(i, "")) for i, cell in enumerate(cells)]


def describe_sweep(configs: Mapping[Cell, Config], folder: Path, jobs: int = 1, *, estimate: bool = True) -> str:
    """The cells in starting order and how long they will take, without starting or writing any; raises as `run_sweep`.

    Without `estimate`, or where it fails, there are no times.
    """
    left = _check(configs, folder, jobs)
    estimated = estimate_time(list(left.values()), jobs, always=True) if estimate else None
    seconds = dict(zip(left, estimated.seconds, strict=True)) if estimated else {}
    lines = []
    for cell, config in configs.items():
        epoch = left[cell].epoch if cell in left else config.train.epochs
        state = "done" if cell not in left else f"from epoch {epoch + 1} of {config.train.epochs}" if epoch else "new"
        lines.append(f"{cell.name}  {state}" + (f", about {format_seconds(seconds[cell])}" if cell in seconds else ""))
    lines.append(estimated.line if estimated else f"{len(left)} of {len(configs)} cells to train")
    return "\n".join(lines)


def _check(configs: Mapping[Cell, Config], folder: Path, jobs: int) -> dict[Cell, CellLeft]:
    """The cells that have no result yet; raises as `run_sweep` does before it starts anything."""
    if not 1 <= jobs <= MAX_JOBS:
        raise ConfigError(f"must be from 1 to {MAX_JOBS}; 1 trains one cell after another", field="jobs", value=jobs)
    if not configs:
        return {}
    no_minimum = "must be None in a sweep, whose cells have the same number of epochs; set train.epochs"
    no_config = "must not be a config in a sweep, which would train it for every cell; train it once and name its run"
    for config in configs.values():
        check_config(config)
        require(config.train.min_steps is None, "train.min_steps", config.train.min_steps, no_minimum)
        require(not names_config(config.model.init_from), "model.init_from", config.model.init_from, no_config)
    check_devices()
    for data in {config.data for config in configs.values()}:
        if find_data_set(data.name).in_folder:
            find_data_dir(data)  # once, not in every cell
    for config in configs.values():
        check_weights_exist(config)
    return {
        cell: CellLeft(config, last_epoch(folder / cell.name))
        for cell, config in configs.items()
        if stored_result(folder / cell.name, config) is None
    }


def _make_folders(folder: Path, cells: Sequence[Cell]) -> None:
    """Make the folder of every cell, so that a report shows which are missing; other shards may do the same."""
    try:
        for cell in cells:
            (folder / cell.name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"{error.strerror}; name a folder that can be written"
        raise StorageError(reason, field="workdir", value=folder) from error
