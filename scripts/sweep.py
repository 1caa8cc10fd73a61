"""Train a grid of backbones, losses and seeds: python scripts/sweep.py --config configs/table.py --workdir runs/table.

Finished cells are skipped and interrupted ones resumed; scripts/report.py shows what there is at any time.
"""

import dataclasses
from pathlib import Path

from flaxmark.cli.command import ConfigArguments, config_from_arguments, default_workdir, run_command
from flaxmark.config.schema import DEPTHS, Depth
from flaxmark.errors import ConfigError
from flaxmark.sweep.grid import SweepError, make_cells, run_sweep


@dataclasses.dataclass(frozen=True)
class Arguments(ConfigArguments):
    """Which cells; the other flags of the config change all of them."""

    depths: tuple[Depth, ...] = DEPTHS  # type: ignore[assignment]
    """Of the ResNets."""
    losses: tuple[str, ...] = ("mse", "mae", "smooth_l1", "smooth_l1_0.02")
    """mse, mae, smooth_l1 (beta 1), smooth_l1_0.02 (beta 0.02), wing, soft_wing, log_cosh, nll."""
    seeds: tuple[int, ...] = (0,)
    """One run of every depth and loss for each; several give intervals."""
    shard_index: int = 0
    """Which part of the grid to train here, from 0: the number of the machine or of the SLURM array's task."""
    num_shards: int = 1
    """In how many parts the grid is divided."""
    jobs: int = 1
    """How many cells to train at a time; each has its share of the cores, and of an accelerator's memory."""


def refuse_fields_of_cells(arguments: list[str]) -> None:
    """Flags that every cell overrules would be ignored without a word."""
    flags = {
        "--model.depth": "--depths",
        "--loss.name": "--losses",
        "--loss.beta": "--losses",
        "--train.seed": "--seeds",
        "--model.sigma": "--losses nll",
        "--model.no-sigma": "--losses",
    }
    for argument in arguments:
        if (flag := argument.split("=")[0]) in flags:
            raise ConfigError(f"{flag}: the cells have their own; choose them by {flags[flag]}")


def main(arguments: list[str]) -> None:
    """Train the cells, `--jobs` at a time."""
    parsed = config_from_arguments(Arguments, __doc__ or "", arguments)
    if "://" in (parsed.workdir or ""):
        raise ConfigError(f"--workdir {parsed.workdir}: a sweep's must be a folder of this machine")
    folder = Path(default_workdir(parsed))
    refuse_fields_of_cells(arguments)
    cells = make_cells(parsed.depths, parsed.losses, parsed.seeds, parsed.shard_index, parsed.num_shards)
    bases = {depth: config_from_arguments(Arguments, "", arguments, depth).run for depth in parsed.depths}
    outcomes = run_sweep({cell: cell.config(bases[cell.depth]) for cell in cells}, folder, parsed.jobs)
    if not cells:
        print(f"no cell of this grid falls to shard {parsed.shard_index} of {parsed.num_shards}")
        return
    failed = [outcome for outcome in outcomes if not outcome.done]
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} cells have a result in {folder}")
    if failed:
        raise SweepError(f"{len(failed)} cells failed; each one's log.txt says why: {failed[0].cell.name} first")


if __name__ == "__main__":
    run_command(main)
