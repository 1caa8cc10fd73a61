"""Interruption by Ctrl-C, SIGTERM and SIGHUP."""

import errno
import os
import signal
from typing import NoReturn

from flaxmark.errors import INTERRUPTED, PREEMPTED


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; everything is saved."""

    exit_status = INTERRUPTED


class Preempted(Interrupted):
    """The process was asked to end (SIGTERM, or SIGHUP of a closed terminal); everything is saved."""

    exit_status = PREEMPTED
    by = ""


def preemptions() -> list[signal.Signals]:
    """Signals that ask this process to end, without those that it was started to ignore, as nohup does."""
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def end_when_preempted() -> None:
    """Make SIGTERM and SIGHUP raise `Preempted` in this process, as Ctrl-C raises KeyboardInterrupt."""
    for number in preemptions():
        signal.signal(number, _preempt)


def leave_lost_terminal() -> None:
    """Discard further output to a terminal that has been closed: writing there would raise before all is saved."""
    for stream in (1, 2):
        try:
            os.ttyname(stream)
        except OSError as error:
            if error.errno == errno.EIO:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def _preempt(number: int, _: object) -> NoReturn:
    # SLURM and others send it more than once. SIG_IGN would not do: of one that is pending by then Python prints
    # "Signal 15 ignored due to race condition" and a traceback.
    for each in preemptions():
        signal.signal(each, _ignore)
    leave_lost_terminal()
    stop = Preempted(f"by {signal.Signals(number).name}; give the same command again")
    stop.by = f"by {signal.Signals(number).name}; "
    raise stop


def _ignore(*_: object) -> None:
    """Ignore a repeated signal."""
