"""Train a grid of backbones, losses and seeds: flaxmark sweep --config configs/table.py --workdir runs/table.

Finished cells are skipped and interrupted ones resumed; flaxmark report shows what there is at any time.
"""

import dataclasses
from pathlib import Path

from flaxmark.cli.runs import ConfigArguments, config_from_arguments, default_workdir
from flaxmark.config import DEPTHS, Config, Depth
from flaxmark.errors import ConfigError
from flaxmark.models.model import find_variant
from flaxmark.sweep.grid import SweepError, make_cells, run_sweep

FIELDS_OF_CELLS = {
    "--model.depth": "--depths", "--model.name": "--networks", "--loss.": "--losses", "--train.seed": "--seeds",
    "--model.sigma": "--losses nll", "--model.no-sigma": "--losses",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Arguments(ConfigArguments):
    """Which cells; the other flags of the config change all of them."""

    depths: tuple[Depth, ...] = DEPTHS  # type: ignore[assignment]
    """ResNet depths to train."""
    networks: tuple[str, ...] = ()
    """Networks to train instead, by their names, such as resnet18."""
    losses: tuple[str, ...] = ("mse", "mae", "smooth_l1", "smooth_l1_0.02")
    """Losses to train with: mse, mae, smooth_l1 (beta 1), smooth_l1_0.02 (beta 0.02), wing, soft_wing, log_cosh, nll."""
    seeds: tuple[int, ...] = (0,)
    """One run of every network and loss for each; several give intervals."""
    shard_index: int = 0
    """Which part of the grid to train here, from 0: the number of the machine or of the SLURM array's task."""
    num_shards: int = 1
    """In how many parts the grid is divided."""
    jobs: int = 1
    """How many cells to train at a time; each has its share of the cores, and of an accelerator's memory."""


def refuse_fields_of_cells(arguments: list[str]) -> None:
    """Flags that every cell overrules would be ignored without a word."""
    for argument in arguments:
        flag = argument.split("=")[0]
        other = next((other for start, other in FIELDS_OF_CELLS.items() if flag.startswith(start)), None)
        if other:
            raise ConfigError(f"{flag}: the cells have their own; choose them by {other}")


def _base(arguments: list[str], network: str) -> Config:
    """The config of a network's cells: config files may have another recipe for each depth."""
    depth = find_variant(network)[1].get("depth")
    return config_from_arguments(Arguments, "", arguments, depth).run


def main(arguments: list[str]) -> None:
    """Train the cells, `--jobs` at a time."""
    parsed = config_from_arguments(Arguments, __doc__ or "", arguments)
    if "://" in (parsed.workdir or ""):
        raise ConfigError(f"--workdir {parsed.workdir}: a sweep's must be a folder of this machine")
    folder = Path(default_workdir(parsed))
    refuse_fields_of_cells(arguments)
    networks = parsed.networks or tuple(f"resnet{depth}" for depth in parsed.depths)
    cells = make_cells(networks, parsed.losses, parsed.seeds, parsed.shard_index, parsed.num_shards)
    bases = {network: _base(arguments, network) for network in networks}
    outcomes = run_sweep({cell: cell.config(bases[cell.network]) for cell in cells}, folder, parsed.jobs)
    if not cells:
        print(f"no cell of this grid falls to shard {parsed.shard_index} of {parsed.num_shards}")
        return
    failed = [outcome for outcome in outcomes if not outcome.done]
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} cells have a result in {folder}")
    if failed:
        raise SweepError(f"{len(failed)} cells failed; each one's log.txt says why: {failed[0].cell.name} first")
