"""The grid of backbones, losses and seeds: every cell a run of its own, in a process of its own."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from flaxmark.config.checks import check_config
from flaxmark.config.schema import DEPTHS, Config, Depth, LossConfig
from flaxmark.data.prepare.sources import find_data_dir
from flaxmark.errors import ConfigError
from flaxmark.storage.workdir import stored_result
from flaxmark.sweep.cell_processes import train_cells
from flaxmark.sweep.sweep_progress import SweepProgress

COLUMNS: dict[str, LossConfig] = {
    "mse": LossConfig("mse"),
    "mae": LossConfig("mae"),
    "smooth_l1": LossConfig("smooth_l1", beta=1.0),
    "smooth_l1_0.02": LossConfig("smooth_l1", beta=0.02),
    "wing": LossConfig("wing"),
    "soft_wing": LossConfig("soft_wing"),
    "log_cosh": LossConfig("log_cosh"),
    "nll": LossConfig("nll"),
}
"""What a column trains with; smooth_l1 with beta 1 is the test report's: half of mse where errors are below 1."""

MAX_JOBS = 64  # each is a process that holds a network; more would only wait for each other


class SweepError(RuntimeError):
    """Some cells have no result."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of the grid."""

    depth: Depth
    column: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder below the sweep's."""
        return f"resnet{self.depth}_{self.column}_seed{self.seed}"

    def config(self, base: Config) -> Config:
        """A config with this cell's depth, loss and seed."""
        loss = dataclasses.replace(COLUMNS[self.column], pixels=base.loss.pixels)
        return dataclasses.replace(
            base,
            model=dataclasses.replace(base.model, depth=self.depth, sigma=loss.name == "nll"),
            loss=loss,
            train=dataclasses.replace(base.train, seed=self.seed),
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a cell ended: `done`, or `failed` for a reason in one line."""

    cell: Cell
    done: bool
    reason: str = ""


def make_cells(
    depths: Sequence[int], columns: Sequence[str], seeds: Sequence[int], shard_index: int = 0, num_shards: int = 1
) -> list[Cell]:
    """List the grid, shallow networks first.

    Args:
        depths: Of the ResNets.
        columns: Keys of `COLUMNS`.
        seeds: One run of each depth and column for each.
        shard_index: Which part of the grid, from 0.
        num_shards: Parts; together they are the grid, each with its share of the deep networks.

    Returns:
        The cells in the order in which they run.

    Raises:
        ConfigError: Nothing to run, something twice, or no such column or part.
    """
    for flag, values, choices in (
        ("depths", depths, DEPTHS),
        ("losses", columns, tuple(COLUMNS)),
        ("seeds", seeds, None),
    ):
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"--{flag} {' '.join(map(str, values))}: give at least one, and none of them twice")
        unknown = [value for value in values if choices is not None and value not in choices]
        if unknown:
            raise ConfigError(f"--{flag} {unknown[0]}: choose from {', '.join(map(str, choices or ()))}")
    if not 0 <= shard_index < num_shards:
        raise ConfigError(f"--shard-index {shard_index}: must be at least 0 and below --num-shards {num_shards}")
    cells = [
        Cell(depth, column, seed)  # type: ignore[arg-type]
        for depth in sorted(depths)
        for seed in seeds
        for column in columns
    ]
    return cells[shard_index::num_shards]


def run_sweep(configs: Mapping[Cell, Config], folder: Path, jobs: int = 1) -> list[Outcome]:
    """Train every cell that has no result yet; one that fails does not stop the others.

    Args:
        configs: Cells from `make_cells`, in the order in which they run, and what each is trained with.
        folder: Gets one workdir a cell, in it log.txt with what training prints, and failed.txt where
            it failed.
        jobs: How many cells train at a time; each has its share of the cores, and of an accelerator's memory.

    Returns:
        How each cell ended, in order.

    Raises:
        ConfigError: A cell's config cannot work, or its folder holds a result of another one; or so many jobs.
        KeyboardInterrupt: Ctrl-C; the cells that ran are saved, and the same command goes on from there.
        SystemExit: SIGTERM, or a terminal that was closed: the same.
    """
    if not 1 <= jobs <= MAX_JOBS:
        raise ConfigError(f"--jobs {jobs}: must be from 1 to {MAX_JOBS}; 1 trains one cell after another")
    cells = list(configs)
    if not cells:
        return []
    for config in configs.values():
        check_config(config)
    base = configs[cells[0]]  # but for depth, loss and seed, what is asked of it here is the same in all
    if base.data.name != "drawn_faces":
        find_data_dir(base.data)  # once, not in every cell
    if base.model.init_from is not None and not Path(base.model.init_from).expanduser().exists():
        raise ConfigError(f"--model.init-from {base.model.init_from}: no such file, nor the workdir of a run")
    _make_folders(folder, cells)
    done = {cell for cell in cells if stored_result(folder / cell.name, configs[cell]) is not None}
    progress = SweepProgress([cell.depth for cell in cells], [cell in done for cell in cells], base.train.epochs, jobs)
    runs = {i: (configs[cell], folder / cell.name) for i, cell in enumerate(cells) if cell not in done}
    failed = {i: reason for i, reason in train_cells(runs, jobs, progress).items() if reason}
    return [Outcome(cell, i not in failed, failed.get(i, "")) for i, cell in enumerate(cells)]


def _make_folders(folder: Path, cells: Sequence[Cell]) -> None:
    """Make the folder of every cell, so that a report sees which are missing; shards do not get in each other's way."""
    try:
        for cell in cells:
            (folder / cell.name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--workdir {folder}: {error.strerror}; name a folder that can be written") from error
