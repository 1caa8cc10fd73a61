"""Ctrl-C and SIGTERM: a run is asked to stop, saves, and says by its exit status which it was."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from flaxmark.command import INTERRUPTED, PREEMPTED


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; everything is saved."""

    exit_status = INTERRUPTED


class Preempted(Interrupted):
    """The machine is wanted back (SIGTERM); everything is saved."""

    exit_status = PREEMPTED


class StopRequests:
    """What the loop asks after each step: whether someone wants it to stop.

    The first Ctrl-C or SIGTERM is remembered until the loop has saved; the second ends the process at once.
    """

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Whether to save and stop."""
        return self.signal is not None

    def interruption(self, text: str) -> Interrupted:
        """What to raise once everything is saved; `text` says where."""
        return (Preempted if self.signal == signal.SIGTERM else Interrupted)(text)

    def handle(self, number: int, _: object) -> None:
        """Remember a signal."""
        self.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Turn the first Ctrl-C or SIGTERM into a question the loop can ask."""
    requests = StopRequests()
    try:
        before = {number: signal.signal(number, requests.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller has its own way to stop
        yield requests
        return
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
