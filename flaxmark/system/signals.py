"""How a command ends, for whoever starts it again: its exit statuses and what leads to them."""

import signal
from typing import NoReturn

OUR_ERROR, USER_ERROR, INTERRUPTED = 1, 2, 130
PREEMPTED = 75  # EX_TEMPFAIL of sysexits.h: try again


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; everything is saved."""

    exit_status = INTERRUPTED


class Preempted(Interrupted):
    """The machine is wanted back (SIGTERM); everything is saved."""

    exit_status = PREEMPTED


def end_when_preempted() -> None:
    """Let SIGTERM end this process as Ctrl-C does, with its own status, wherever nothing better is at hand."""
    signal.signal(signal.SIGTERM, _preempt)


def _preempt(number: int, _: object) -> NoReturn:
    # SLURM and others send it more than once. SIG_IGN would not do: of one that is pending by then Python prints
    # "Signal 15 ignored due to race condition" and a traceback.
    signal.signal(number, _ignore)
    raise Preempted("by SIGTERM; give the same command again")


def _ignore(*_: object) -> None:
    """Take a signal that has had its effect already."""
