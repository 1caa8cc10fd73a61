"""Interruption by Ctrl-C and SIGTERM."""

import signal
from typing import NoReturn

from flaxmark.errors import INTERRUPTED, PREEMPTED


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; everything is saved."""

    exit_status = INTERRUPTED


class Preempted(Interrupted):
    """The process was asked to end (SIGTERM); everything is saved."""

    exit_status = PREEMPTED


def end_when_preempted() -> None:
    """Make SIGTERM raise `Preempted` in this process, as Ctrl-C raises KeyboardInterrupt."""
    signal.signal(signal.SIGTERM, _preempt)


def _preempt(number: int, _: object) -> NoReturn:
    # SLURM and others send it more than once. SIG_IGN would not do: of one that is pending by then Python prints
    # "Signal 15 ignored due to race condition" and a traceback.
    signal.signal(number, _ignore)
    raise Preempted("by SIGTERM; give the same command again")


def _ignore(*_: object) -> None:
    """Ignore a repeated signal."""
