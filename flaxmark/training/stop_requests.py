"""Ctrl-C, SIGTERM and SIGHUP: requests to save and stop, and the exit status that tells them apart."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax
from jax.experimental import multihost_utils

from flaxmark.system.signals import Interrupted, Preempted, leave_lost_terminal, preemptions

ECHO_SECONDS = 0.5


class StopRequests:
    """Whether the loop should stop; asked after each step.

    The first Ctrl-C, SIGTERM or SIGHUP is remembered until the loop has saved; the second ends the process at once.
    The same again within `ECHO_SECONDS` does not count as the second: SLURM and systemd signal every process, and a
    sweep passes its own on; SIGTERM and SIGHUP, which systemd sends both, are the same. Several processes have to stop
    after the same step, which JAX's preemption service finds; it waits for SIGTERM itself.
    """

    def __init__(self) -> None:
        """Start without a request."""
        self.signal: int | None = None
        self._asked_at = 0.0
        self._step, self._agreed = -1, False

    def __call__(self, step: int) -> bool:
        """Whether to save and stop after a step, the same on all processes; may be asked repeatedly."""
        if jax.process_count() == 1:
            return self.signal is not None
        if step != self._step:  # the service must be asked once
            self._step, self._agreed = step, multihost_utils.reached_preemption_sync_point(step)
            self.signal = signal.SIGTERM if self._agreed else self.signal
        return self._agreed

    def interruption(self, text: str) -> Interrupted:
        """Exception to raise once everything is saved; `text` says where."""
        return (Interrupted if self.signal == signal.SIGINT else Preempted)(text)

    def handle(self, number: int, _: object) -> None:
        """Remember a signal; the second one ends the process."""
        leave_lost_terminal()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)  # Ctrl-C in one process stops all of them
            return
        if self.signal is None:
            self.signal, self._asked_at = number, time.monotonic()
        elif signal.SIGINT in (self.signal, number) or time.monotonic() - self._asked_at > ECHO_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into a request that the loop can ask about."""
    requests = StopRequests()
    ours = [signal.SIGINT, *preemptions()]
    if jax.process_count() > 1:
        ours = [number for number in ours if number != signal.SIGTERM]
    try:
        before = {number: signal.signal(number, requests.handle) for number in ours}
    except ValueError:  # not the main thread: the caller handles signals
        yield requests
        return
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
