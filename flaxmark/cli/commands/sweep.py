"""Train a grid of networks, losses and seeds.

Finished cells are skipped and interrupted ones resumed; flaxmark report shows the results so far at any time.

Example:
  flaxmark sweep --config table --networks resnet18 resnet50 --losses mae wing --workdir runs/table
"""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from flaxmark.cli.runs import ConfigArguments, config_from_arguments, default_workdir
from flaxmark.config import DEPTHS, Config, Depth
from flaxmark.errors import ConfigError
from flaxmark.models.model import find_variant
from flaxmark.sweep.grid import Cell, SweepError, describe_sweep, loss_variants, make_cells, run_sweep

FIELDS_OF_CELLS = {
    "model.depth": "--depths", "model.name": "--networks", "loss.name": "--losses", "loss.beta": "--losses",
    "train.seed": "--seeds", "model.sigma": "--losses nll", "model.no_sigma": "--losses",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Arguments(ConfigArguments):
    """Flags of `flaxmark sweep`; the other flags of the config change all cells."""

    depths: tuple[Depth, ...] = DEPTHS  # type: ignore[assignment]
    """ResNet depths to train."""
    networks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ..", help_behavior_hint="")] = ()
    """Networks to train instead of --depths, such as resnet18."""
    losses: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ..")] = (
        "mse", "mae", "smooth_l1", "smooth_l1_0.02",
    )  # fmt: skip
    """Losses: mse, mae, smooth_l1 (beta 1), smooth_l1_0.02 (beta 0.02), wing, soft_wing, log_cosh or nll."""
    seeds: tuple[int, ...] = (0,)
    """Seeds; every network and loss is trained with each, and several give confidence intervals."""
    shard_index: int = 0
    """Part of the grid to train here, from 0: the number of the machine or of the SLURM array task."""
    num_shards: int = 1
    """Number of parts that the grid is divided into."""
    jobs: int = 1
    """Number of cells to train at a time; they share the cores and an accelerator's memory equally."""
    estimate: bool = True
    """Estimate the time before the first cell, from a few steps on this device; small sweeps start at once."""
    dry_run: bool = False
    """Print the cells and the estimate, and train nothing."""


def main(arguments: list[str]) -> None:
    """Train the cells, `--jobs` at a time."""
    refuse_fields_of_cells(arguments)
    others, of_losses = split_loss_flags(arguments)
    parsed = config_from_arguments(Arguments, __doc__, others, command="sweep")
    check_networks(parsed, {argument.split("=")[0] for argument in others})
    if "://" in (parsed.workdir or ""):
        raise ConfigError("a sweep's must be a folder of this machine", field="workdir", value=parsed.workdir)
    folder = Path(default_workdir(parsed))
    networks = parsed.networks or tuple(f"resnet{depth}" for depth in parsed.depths)
    cells = make_cells(networks, parsed.losses, parsed.seeds, parsed.shard_index, parsed.num_shards)
    refuse_flags_of_no_loss(of_losses, parsed.losses)
    bases = {pair: _base(others, of_losses, *pair) for pair in {(cell.network, cell.loss): None for cell in cells}}
    configs: dict[Cell, Config] = {cell: cell.config(bases[cell.network, cell.loss]) for cell in cells}
    if parsed.dry_run and cells:
        print(describe_sweep(configs, folder, parsed.jobs, estimate=parsed.estimate))
        return
    outcomes = run_sweep(configs, folder, parsed.jobs, estimate=parsed.estimate)
    if not cells:
        print(f"no cell of this grid falls to shard {parsed.shard_index} of {parsed.num_shards}")
        return
    failed = [outcome for outcome in outcomes if not outcome.done]
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} cells have a result in {folder}")
    if failed:
        raise SweepError(f"{len(failed)} cells failed; each one's log.txt says why: {failed[0].cell.name} first")


def check_networks(parsed: Arguments, given: Collection[str]) -> None:
    """Refuse networks that cannot be trained; `given` are the flags that were typed."""
    if "--networks" in given and "--depths" in given:
        raise ConfigError("cannot be used together with --depths", field="networks")
    if "--networks" in given and not parsed.networks:
        raise ConfigError("give at least one, such as resnet18", field="networks")
    if not parsed.depths or len(set(parsed.depths)) < len(parsed.depths):
        raise ConfigError("give at least one, and none of them twice", field="depths", value=parsed.depths)


def refuse_fields_of_cells(arguments: Iterable[str]) -> None:
    """Refuse flags that every cell sets itself: they would be ignored without a word."""
    for argument in arguments:
        field = argument.split("=")[0].removeprefix("--").replace("-", "_")
        if argument.startswith("--") and field in FIELDS_OF_CELLS:
            raise ConfigError(f"the cells have their own; choose them by {FIELDS_OF_CELLS[field]}", field=field)


def split_loss_flags(arguments: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Arguments without the flags of losses, and those: field -> flag and values. Losses have different fields."""
    others: list[str] = []
    of_losses: dict[str, list[str]] = {}
    target = others
    for argument in arguments:
        if argument.startswith("--"):
            name = argument.split("=")[0].removeprefix("--loss.").removeprefix("no-").replace("-", "_")
            target = of_losses.setdefault(name, []) if argument.startswith("--loss.") else others
        target.append(argument)
    return others, of_losses


def refuse_flags_of_no_loss(of_losses: Iterable[str], losses: Sequence[str]) -> None:
    """Refuse a flag that none of the sweep's losses has."""
    known = {name for loss in losses for name in _fields(loss)}
    for name in of_losses:
        if name not in known:
            raise ConfigError(f"no loss of this sweep has it; --losses are {', '.join(losses)}", field=f"loss.{name}")


def _base(others: list[str], of_losses: dict[str, list[str]], network: str, loss: str) -> Config:
    """The config that a network and a loss start from: config files may have another recipe for each depth."""
    own = [word for name in _fields(loss) for word in of_losses.get(name, ())]
    depth = find_variant(network)[1].get("depth")
    arguments = [*others, "--loss.name", loss_variants()[loss][0].name, *own]
    return config_from_arguments(Arguments, "", arguments, depth).run


def _fields(loss: str) -> list[str]:
    """Names of a loss's parameters."""
    return [field.name for field in dataclasses.fields(loss_variants()[loss][0])]  # type: ignore[arg-type]
