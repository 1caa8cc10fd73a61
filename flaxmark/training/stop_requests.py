"""Ctrl-C and SIGTERM: a run is asked to stop, saves, and says by its exit status which it was."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax
from jax.experimental import multihost_utils

from flaxmark.system.signals import Interrupted, Preempted

ECHO_SECONDS = 0.5


class StopRequests:
    """What the loop asks after each step: whether someone wants it to stop.

    The first Ctrl-C or SIGTERM is remembered until the loop has saved; the second ends the process at once. SIGTERM
    again within `ECHO_SECONDS` is no second one: SLURM and systemd signal every process, and a sweep passes its own on.
    Several processes have to stop after the same step: JAX's preemption service, which waits for SIGTERM itself, finds
    one.
    """

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.signal: int | None = None
        self._asked_at = 0.0
        self._step, self._agreed = -1, False

    def __call__(self, step: int) -> bool:
        """Whether to save and stop.

        Args:
            step: Updates made; may be asked about again.

        Returns:
            The same on all processes.
        """
        if jax.process_count() == 1:
            return self.signal is not None
        if step != self._step:  # the service wants to be asked once
            self._step, self._agreed = step, multihost_utils.reached_preemption_sync_point(step)
            self.signal = signal.SIGTERM if self._agreed else self.signal
        return self._agreed

    def interruption(self, text: str) -> Interrupted:
        """What to raise once everything is saved; `text` says where."""
        return (Preempted if self.signal == signal.SIGTERM else Interrupted)(text)

    def handle(self, number: int, _: object) -> None:
        """Remember a signal, or end by the second one.

        Args:
            number: Of the signal.
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)  # Ctrl-C at one process is for all of them
            return
        if self.signal is None:
            self.signal, self._asked_at = number, time.monotonic()
        elif self.signal != number or time.monotonic() - self._asked_at > ECHO_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Turn the first Ctrl-C or SIGTERM into a question the loop can ask."""
    requests = StopRequests()
    ours = (signal.SIGINT, signal.SIGTERM) if jax.process_count() == 1 else (signal.SIGINT,)
    try:
        before = {number: signal.signal(number, requests.handle) for number in ours}
    except ValueError:  # not the main thread: the caller has its own way to stop
        yield requests
        return
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
