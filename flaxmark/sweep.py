"""The grid of backbones, losses and seeds: every cell a run of its own, in a process of its own."""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from flaxmark.command import explain
from flaxmark.config import DEPTHS, Config, ConfigError, Depth, LossConfig
from flaxmark.config_rules import check_config
from flaxmark.data.sources import find_data_dir
from flaxmark.exit_status import INTERRUPTED, PREEMPTED
from flaxmark.metric_writer import replace_text
from flaxmark.sweep_progress import SweepProgress
from flaxmark.workdir import stored_result

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

FAILED, LOG = "failed.txt", "log.txt"
POLL_SECONDS = 0.5


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


def run_sweep(configs: Mapping[Cell, Config], folder: Path) -> list[Outcome]:
    """Train every cell that has no result yet; one that fails does not stop the others.

    Args:
        configs: Cells from `make_cells`, in the order in which they run, and what each is trained with.
        folder: Gets one workdir a cell, in it log.txt with what training prints, and failed.txt where
            it failed.

    Returns:
        How each cell ended, in order.

    Raises:
        ConfigError: A cell's config cannot work, or its folder holds a result of another one.
        KeyboardInterrupt: Ctrl-C; the cell that ran is saved, and the same command goes on from there.
    """
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
    progress = SweepProgress([cell.depth for cell in cells], [cell in done for cell in cells], base.train.epochs)
    outcomes = []
    for index, cell in enumerate(cells):
        if cell in done:
            outcomes.append(Outcome(cell, True))
            continue
        outcome = _run_cell(cell, configs[cell], folder / cell.name, progress, index)
        outcomes.append(outcome)
        progress.cell_ended(index, cell.name, outcome.done, outcome.reason)
    return outcomes


def _make_folders(folder: Path, cells: Sequence[Cell]) -> None:
    """Make the folder of every cell, so that a report sees which are missing; shards do not get in each other's way."""
    try:
        for cell in cells:
            (folder / cell.name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--workdir {folder}: {error.strerror}; name a folder that can be written") from error


def _run_cell(cell: Cell, config: Config, workdir: Path, progress: SweepProgress, index: int) -> Outcome:
    """Train one cell in a fresh process: a crash, or memory that runs out, ends that process alone."""
    (workdir / FAILED).unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(target=_train_cell, args=(config, workdir))
    process.start()
    with _ending_together(process):
        try:
            while process.is_alive():
                process.join(POLL_SECONDS)
                progress.show(index, cell.name, workdir)
        except KeyboardInterrupt:
            _pass_on(process, signal.SIGINT)
            raise KeyboardInterrupt(f"during {cell.name}, which is saved; the same command resumes") from None
    if process.exitcode == 0:
        return Outcome(cell, True)
    reason = _reason(process.exitcode or 0, workdir / LOG)
    replace_text(workdir / FAILED, reason + "\n")
    return Outcome(cell, False, reason)


@contextlib.contextmanager
def _ending_together(process: BaseProcess) -> Iterator[None]:
    """Whoever ends the sweep, or closes its terminal, means the cell that it trains, too, which saves first."""

    def end(*_: object) -> None:
        _pass_on(process, signal.SIGTERM)
        sys.exit(PREEMPTED)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass_on(process: BaseProcess, number: signal.Signals) -> None:
    """Send a signal to a cell, and wait until it has saved."""
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, number)
    process.join()


def _train_cell(config: Config, workdir: Path) -> None:
    """What the process of a cell does; all that it prints goes to its log."""
    # Signals to the sweep's group would come twice, directly and through the sweep; the second one ends at once.
    os.setpgrp()
    with (workdir / LOG).open("a", encoding="utf-8") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    from flaxmark.training import train

    try:
        train(config, workdir)
    except KeyboardInterrupt as error:
        print("interrupted", *error.args, flush=True)
        os._exit(getattr(error, "exit_status", INTERRUPTED))
    except Exception as error:
        traceback.print_exc()
        sys.exit(explain(error))


def _reason(exit_code: int, log: Path) -> str:
    """The last thing that a failed cell said, or what ended it."""
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f"ended by {name}" + (": out of memory?" if name == "SIGKILL" else "")
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16384))
            lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:  # it ended before it could write one
        lines = []
    said = [line for line in lines if line.startswith("error: ")] or lines
    return said[-1].removeprefix("error: ") if said else f"exit status {exit_code}"
