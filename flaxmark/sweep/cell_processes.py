"""Processes of a sweep: one per cell, several at a time, which share the machine and stop together."""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

from flaxmark.config.config import Config
from flaxmark.config.files import extensions, load_extensions
from flaxmark.errors import INTERRUPTED, PREEMPTED, explain
from flaxmark.schema import from_dict, to_dict
from flaxmark.sweep.cell_files import FAILED, LOG, last_error
from flaxmark.sweep.status_line import StatusLine
from flaxmark.system.cores import core_numbers
from flaxmark.system.files import write_text
from flaxmark.system.signals import end_when_preempted

POLL_SECONDS = 0.5
# Fraction of an accelerator's memory for all processes together, and the variables from which JAX reads the fraction
# of one process. It refuses to start where both are set.
MEMORY, MEMORY_VARIABLES = 0.9, ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")
Work = Callable[[Config, Path], object]
"""What a cell's process does with its config and folder; a function of a module, or a `partial` of it."""
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclasses.dataclass(frozen=True)
class Share:
    """Share of the machine for one of several processes."""

    cores: tuple[int, ...]
    """Numbers of its CPU cores; empty where the system does not tell."""
    memory: float
    """Fraction of the accelerator's memory, in (0, 1]."""

    def take(self) -> None:
        """Restrict this process to its share; call it before anything touches a device."""
        if self.cores:
            os.sched_setaffinity(0, self.cores)
        if not any(name in os.environ for name in MEMORY_VARIABLES):
            os.environ[MEMORY_VARIABLES[0]] = f"{self.memory:.4f}"


def deal_out(count: int, cores: Sequence[int]) -> list[Share]:
    """Divide the machine evenly among `count` processes; with fewer cores than processes each gets one core."""
    if count > len(cores):
        dealt = [tuple(cores[i % len(cores) :][:1]) if cores else () for i in range(count)]
    else:
        dealt = [tuple(cores[i * len(cores) // count : (i + 1) * len(cores) // count]) for i in range(count)]
    return [Share(own, MEMORY / count) for own in dealt]


@dataclasses.dataclass(frozen=True)
class _Running:
    """A cell in training."""

    index: int
    workdir: Path
    share: Share | None
    process: BaseProcess


def train_cell(config: Config, workdir: Path) -> None:
    """Train a cell to its end."""
    from flaxmark.training.loop import train

    train(config, workdir)


def run_cells(
    runs: Mapping[int, tuple[Config, Path]], jobs: int, status: StatusLine | None = None, work: Work = train_cell
) -> dict[int, str]:
    """Work on cells, each in a new process: a crash, or running out of memory, ends that process alone.

    `runs` holds each cell's config and folder by index, in starting order; the result holds the reason of each failure
    by index, empty for a cell that succeeded. Raises KeyboardInterrupt on Ctrl-C and SystemExit on SIGTERM or when the
    terminal is closed; running cells are saved first.
    """
    waiting, running, reasons = deque(runs), list[_Running](), dict[int, str]()
    jobs = min(jobs, len(runs))
    free: list[Share | None] = [*deal_out(jobs, core_numbers())] if jobs > 1 else [None]
    with _stop_signals() as (asked, woken):
        try:
            while (waiting or running) and not asked:
                while waiting and free:
                    index, share = waiting.popleft(), free.pop(0)
                    running.append(_start(index, *runs[index], share, work))
                    if status:
                        status.cell_started(index, running[-1].workdir)
                connection.wait([woken, *(cell.process.sentinel for cell in running)], POLL_SECONDS)
                for cell in [cell for cell in running if not cell.process.is_alive()]:
                    running.remove(cell)
                    free.append(cell.share)
                    reasons[cell.index] = _reason(cell)
                    if status:
                        status.cell_ended(cell.index, reasons[cell.index])
                if status:
                    status.show()
        finally:  # also when the sweep itself fails, for example on writing to a terminal that is gone
            _end_together([cell.process for cell in running], asked)
    if asked:
        _interrupt(asked[0], [cell.workdir.name for cell in running])
    return reasons


def _start(index: int, config: Config, workdir: Path, share: Share | None, work: Work) -> _Running:
    """Start the process of a cell; signals are held back until it can handle them."""
    (workdir / FAILED).unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(
        target=_run_cell, args=(to_dict(config), extensions(), workdir, share, work)
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
    """Signals that ask the sweep and its cells to stop, in order of arrival, and a file descriptor to wait for them.

    They are recorded, not raised, so that none arrives between the start of a process and its registration. A second
    Ctrl-C is raised: the sweep ends at once, and its cells save. The descriptor becomes readable with the first signal:
    a cell that received SIGTERM itself must receive the sweep's soon, or it would count as a second one.
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
    """Pass the sweep's signals on to the cells, also those that arrive meanwhile, until all have saved."""
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
    """End the sweep with the status of the signal; all cells have saved."""
    if number != signal.SIGINT:
        sys.exit(PREEMPTED)
    saved = f"during {', '.join(names)}, which {'is' if len(names) == 1 else 'are'} saved; " if names else ""
    raise KeyboardInterrupt(f"{saved}the same command resumes")


def _run_cell(config: dict[str, Any], extended: Sequence[str], workdir: Path, share: Share | None, work: Work) -> None:
    """Work on one cell in its own process; its output goes to its log."""
    # A signal to the sweep's group would arrive twice, directly and through the sweep; a second one ends at once.
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
        load_extensions(extended)
        work(from_dict(config, Config), workdir)
    except KeyboardInterrupt as error:
        print("interrupted", *error.args, flush=True)
        os._exit(getattr(error, "exit_status", INTERRUPTED))
    except Exception as error:
        traceback.print_exc()
        sys.exit(explain(error))


def _reason(cell: _Running) -> str:
    """Why a cell has failed, also written to its folder: its last error, or the signal that ended it."""
    exit_code = cell.process.exitcode or 0
    if exit_code == 0:
        return ""
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        reason = f"ended by {name}" + (": out of memory?" if name == "SIGKILL" else "")
    else:
        reason = last_error(cell.workdir) or f"exit status {exit_code}"
    write_text(cell.workdir / FAILED, reason + "\n")
    return reason
