"""The processes of a sweep: one for each cell, some at a time, which share a machine and end together."""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

from flaxmark.config.config import Config
from flaxmark.config.files import extensions, load_extensions
from flaxmark.errors import INTERRUPTED, PREEMPTED, explain
from flaxmark.schema import from_dict, to_dict
from flaxmark.sweep.sweep_progress import SweepProgress
from flaxmark.system.cores import core_numbers
from flaxmark.system.files import write_text
from flaxmark.system.signals import end_when_preempted

FAILED, LOG = "failed.txt", "log.txt"
POLL_SECONDS = 0.5
# What all of them together may take of an accelerator's memory, and where JAX reads the share of one. It refuses to
# start where both variables are set.
MEMORY, MEMORY_VARIABLES = 0.9, ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclasses.dataclass(frozen=True)
class Share:
    """What one of several processes takes of the machine.

    Attributes:
        cores: Numbers of the cores it runs on; empty where the system cannot say.
        memory: Of the accelerator's memory, in (0, 1].
    """

    cores: tuple[int, ...]
    memory: float

    def take(self) -> None:
        """Keep this process within its share; before anything touches a device."""
        if self.cores:
            os.sched_setaffinity(0, self.cores)
        if not any(name in os.environ for name in MEMORY_VARIABLES):
            os.environ[MEMORY_VARIABLES[0]] = f"{self.memory:.4f}"


def deal_out(count: int, cores: Sequence[int]) -> list[Share]:
    """Divide a machine evenly.

    Args:
        count: Processes, at least 1.
        cores: Those of this process; none where the system cannot say.

    Returns:
        A share for each; where there are fewer cores than processes, each has one of them.
    """
    if count > len(cores):
        dealt = [tuple(cores[i % len(cores) :][:1]) if cores else () for i in range(count)]
    else:
        dealt = [tuple(cores[i * len(cores) // count : (i + 1) * len(cores) // count]) for i in range(count)]
    return [Share(own, MEMORY / count) for own in dealt]


@dataclasses.dataclass(frozen=True)
class _Running:
    """A cell that trains."""

    index: int
    workdir: Path
    share: Share | None
    process: BaseProcess


def train_cells(runs: Mapping[int, tuple[Config, Path]], jobs: int, progress: SweepProgress) -> dict[int, str]:
    """Train cells, each in a fresh process: a crash, or memory that runs out, ends that process alone.

    Args:
        runs: Index -> what a cell is trained with, and its folder, in the order in which they start.
        jobs: How many train at a time.
        progress: Is told what happens, by index.

    Returns:
        Index -> why it failed; "" where it is done.

    Raises:
        KeyboardInterrupt: Ctrl-C; the cells that ran are saved.
        SystemExit: SIGTERM, or a terminal that was closed: the same.
    """
    waiting, running, reasons = deque(runs), list[_Running](), dict[int, str]()
    jobs = min(jobs, len(runs))
    free: list[Share | None] = [*deal_out(jobs, core_numbers())] if jobs > 1 else [None]
    with _stop_signals() as (asked, woken):
        try:
            while (waiting or running) and not asked:
                while waiting and free:
                    index, share = waiting.popleft(), free.pop(0)
                    running.append(_start(index, *runs[index], share))
                    progress.cell_started(index, running[-1].workdir)
                connection.wait([woken, *(cell.process.sentinel for cell in running)], POLL_SECONDS)
                for cell in [cell for cell in running if not cell.process.is_alive()]:
                    running.remove(cell)
                    free.append(cell.share)
                    reasons[cell.index] = _reason(cell)
                    progress.cell_ended(cell.index, reasons[cell.index])
                progress.show()
        finally:  # also where something of the sweep's own fails: writing to a terminal that is gone, for example
            _end_together([cell.process for cell in running], asked)
    if asked:
        _interrupt(asked[0], [cell.workdir.name for cell in running])
    return reasons


def _start(index: int, config: Config, workdir: Path, share: Share | None) -> _Running:
    """Start the process of a cell; signals wait until it can take them."""
    (workdir / FAILED).unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(
        target=_train_cell, args=(to_dict(config), extensions(), workdir, share)
    )
    resource_tracker.ensure_running()  # its start would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)  # the process inherits it
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return _Running(index, workdir, share, process)


@contextlib.contextmanager
def _stop_signals() -> Iterator[tuple[list[int], int]]:
    """Signals that ask the sweep to stop, as they come: whoever ends it, or closes its terminal, means its cells too.

    They are remembered, not raised, so that none comes between the start of a process and its being known. Ctrl-C is
    raised the second time: the sweep ends at once, its cells save. With them comes a file descriptor that can be read
    from the first one on: a cell that got SIGTERM itself must get the sweep's soon, or it is a second one.
    """
    asked: list[int] = []
    woken, wake = os.pipe()

    def remember(number: int, _: object) -> None:
        asked.append(number)
        os.write(wake, b"!")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
                before[number] = signal.signal(number, remember)
    try:
        yield asked, woken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(woken)
        os.close(wake)


def _end_together(processes: Sequence[BaseProcess], asked: list[int]) -> None:
    """Pass on to the cells what the sweep was asked, and what it is asked meanwhile, until all have saved."""
    if processes and not asked:
        asked.append(signal.SIGTERM)
    passed_on = 0
    while processes := [process for process in processes if process.is_alive()]:
        new = asked[passed_on:]
        passed_on += len(new)
        for number in new:
            for process in processes:
                assert process.pid is not None
                os.kill(process.pid, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
        connection.wait([process.sentinel for process in processes], POLL_SECONDS / 5)


def _interrupt(number: int, names: Sequence[str]) -> NoReturn:
    """End the sweep as it was asked, once all cells have saved."""
    if number != signal.SIGINT:
        sys.exit(PREEMPTED)
    saved = f"during {', '.join(names)}, which {'is' if len(names) == 1 else 'are'} saved; " if names else ""
    raise KeyboardInterrupt(f"{saved}the same command resumes")


def _train_cell(config: dict[str, Any], extended: Sequence[str], workdir: Path, share: Share | None) -> None:
    """What the process of a cell does; all that it prints goes to its log."""
    # Signals to the sweep's group would come twice, directly and through the sweep; the second one ends at once.
    os.setpgrp()
    with (workdir / LOG).open("a", encoding="utf-8") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    try:
        end_when_preempted()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        if share is not None:
            share.take()
        from flaxmark.training.loop import train

        load_extensions(extended)
        train(from_dict(config, Config), workdir)
    except KeyboardInterrupt as error:
        print("interrupted", *error.args, flush=True)
        os._exit(getattr(error, "exit_status", INTERRUPTED))
    except Exception as error:
        traceback.print_exc()
        sys.exit(explain(error))


def _reason(cell: _Running) -> str:
    """Why a cell that has ended failed, also in its folder: the last thing that it said, or what ended it."""
    exit_code = cell.process.exitcode or 0
    if exit_code == 0:
        return ""
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        reason = f"ended by {name}" + (": out of memory?" if name == "SIGKILL" else "")
    else:
        reason = _last_words(cell.workdir / LOG) or f"exit status {exit_code}"
    write_text(cell.workdir / FAILED, reason + "\n")
    return reason


def _last_words(log: Path) -> str:
    """The last error in a log, or its last line."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16384))
            lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:  # it ended before it could write one
        return ""
    said = [line for line in lines if line.startswith("error: ")] or lines
    return said[-1].removeprefix("error: ") if said else ""
