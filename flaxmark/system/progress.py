"""Progress of a run: one live line in a terminal, one line per epoch in a log file."""

import sys
import time
from typing import TextIO


def format_seconds(seconds: float) -> str:
    """A duration as text: 42s, 3m05s, 2h07m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class Progress:
    """Rate and remaining time of a known number of steps."""

    def __init__(self, total: int, done: int, examples_per_step: int, stream: TextIO = sys.stderr) -> None:
        """Start the clock of a run of `total` steps, of which an earlier start has made `done`."""
        self._total, self._first, self._done = total, done, done
        self._examples = examples_per_step
        self._stream = stream
        self._live = stream.isatty()
        self._busy = 0.0
        self._since = time.perf_counter()

    @property
    def rate(self) -> float:
        """Training images per second since the start, without validation and saving."""
        return (self._done - self._first) * self._examples / self._busy if self._busy else 0.0

    def pause(self) -> None:
        """Stop the clock, before validation or saving."""
        self._busy += time.perf_counter() - self._since

    def resume(self) -> None:
        """Start the clock again."""
        self._since = time.perf_counter()

    def step(self, text: str) -> None:
        """Count one step and show the live line: `text`, rate and remaining time."""
        now = time.perf_counter()
        self._busy += now - self._since
        self._since = now
        self._done += 1
        if self._live:
            self._stream.write(f"\r\x1b[K{text}  {self._tail()}")
            self._stream.flush()

    def line(self, text: str) -> None:
        """Write a permanent line: `text`, rate and remaining time."""
        self._stream.write(("\r\x1b[K" if self._live else "") + f"{text}  {self._tail()}\n")
        self._stream.flush()

    def _tail(self) -> str:
        made = max(1, self._done - self._first)
        left = self._busy / made * (self._total - self._done)
        rate = f"{self.rate:.1f} images/s"
        return rate if self._done == self._total else f"{rate}  {format_seconds(left)} left"
