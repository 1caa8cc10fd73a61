"""The grid of networks, losses and seeds: each cell is a run of its own, in a process of its own."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flaxmark.config.checks import check_config
from flaxmark.config.config import Config
from flaxmark.data.prepare.sources import find_data_dir
from flaxmark.errors import CheckpointError, ConfigError, StorageError
from flaxmark.models.losses import Loss
from flaxmark.models.model import all_variants, find_variant
from flaxmark.schema import remake
from flaxmark.storage.workdir import stored_result
from flaxmark.sweep.cell_processes import train_cells
from flaxmark.sweep.sweep_progress import SweepProgress

MAX_JOBS = 64  # each is a process that holds a network; more would only wait for each other


def loss_variants() -> dict[str, tuple[type[Loss], dict[str, Any]]]:
    """Every loss that a sweep tells apart, such as smooth_l1_0.02 -> its class and fields."""
    members: dict[str, type[Loss]] = Loss.members
    return {name: (kind, fields) for kind in members.values() for name, fields in kind.variants().items()}


class SweepError(RuntimeError):
    """Some cells have no result."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of the grid: a variant of a network, a variant of a loss, a seed."""

    network: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder below the sweep's."""
        return f"{self.network}_{self.loss}_seed{self.seed}"

    def config(self, base: Config) -> Config:
        """A config with this cell's network, loss and seed; fields that both networks or losses have are kept."""
        network, loss = find_variant(self.network), loss_variants()[self.loss]
        return dataclasses.replace(
            base,
            model=remake(base.model, network[0], **{**network[1], "sigma": loss[0].needs_sigma}),
            loss=remake(base.loss, loss[0], **loss[1]),
            train=dataclasses.replace(base.train, seed=self.seed),
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a cell ended: `done`, or `failed` for a reason in one line."""

    cell: Cell
    done: bool
    reason: str = ""


def make_cells(
    networks: Sequence[str], losses: Sequence[str], seeds: Sequence[int], shard_index: int = 0, num_shards: int = 1
) -> list[Cell]:
    """List the cells of the grid in the order in which they run, cheap networks first.

    Args:
        networks: Variants such as `resnet18`.
        losses: Variants such as `smooth_l1_0.02`.
        seeds: One run of each network and loss for each.
        shard_index: Which part of the grid, from 0.
        num_shards: Parts; together they are the grid, each with its share of the deep networks.

    Returns:
        The cells.

    Raises:
        ConfigError: Nothing to run, something twice, or no such network, loss or part.
    """
    known = list(all_variants())
    for field, values, choices in (
        ("networks", networks, known),
        ("losses", losses, list(loss_variants())),
        ("seeds", seeds, None),
    ):
        if not values or len(set(values)) < len(values):
            said = " ".join(map(str, values))
            raise ConfigError("give at least one, and none of them twice", field=field, value=said)
        if unknown := [value for value in values if choices is not None and value not in choices]:
            raise ConfigError(f"choose from {', '.join(choices or ())}", field=field, value=unknown[0])
    if not 0 <= shard_index < num_shards:
        reason = f"must be at least 0 and below --num-shards {num_shards}"
        raise ConfigError(reason, field="shard_index", value=shard_index)
    ordered = sorted(networks, key=known.index)
    cells = [Cell(network, loss, seed) for network in ordered for seed in seeds for loss in losses]
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
        raise ConfigError(f"must be from 1 to {MAX_JOBS}; 1 trains one cell after another", field="jobs", value=jobs)
    cells = list(configs)
    if not cells:
        return []
    for config in configs.values():
        check_config(config)
    base = configs[cells[0]]  # but for depth, loss and seed, what is asked of it here is the same in all
    if base.data.name != "drawn_faces":
        find_data_dir(base.data)  # once, not in every cell
    if base.model.init_from is not None and not Path(base.model.init_from).expanduser().exists():
        reason = "no such file, nor the workdir of a run"
        raise CheckpointError(reason, field="model.init_from", value=base.model.init_from)
    _make_folders(folder, cells)
    done = {cell for cell in cells if stored_result(folder / cell.name, configs[cell]) is not None}
    progress = SweepProgress(
        [configs[cell].model.relative_cost for cell in cells], [cell in done for cell in cells], base.train.epochs, jobs
    )
    runs = {i: (configs[cell], folder / cell.name) for i, cell in enumerate(cells) if cell not in done}
    failed = {i: reason for i, reason in train_cells(runs, jobs, progress).items() if reason}
    return [Outcome(cell, i not in failed, failed.get(i, "")) for i, cell in enumerate(cells)]


def _make_folders(folder: Path, cells: Sequence[Cell]) -> None:
    """Make the folder of every cell, so that a report sees which are missing; shards do not get in each other's way."""
    try:
        for cell in cells:
            (folder / cell.name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"{error.strerror}; name a folder that can be written"
        raise StorageError(reason, field="workdir", value=folder) from error
