"""Wall time of a run by phase."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flaxmark.system.progress import format_seconds

REST = "other"


class Clock:
    """Adds up the time spent in named phases; time in an inner phase does not count for the outer one."""

    def __init__(self, already: float = 0.0) -> None:
        """Start the clock; `already` are seconds spent before, counted as phase `start`."""
        self._seconds = {"start": already} if already else {}
        self._name, self._since = REST, time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside this context as phase `name`."""
        before = self._switch(name)
        try:
            yield
        finally:
            self._switch(before)

    def _switch(self, name: str) -> str:
        """End the current phase, start another and return the name of the ended one."""
        now, before = time.perf_counter(), self._name
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._name, self._since = name, now
        return before

    def seconds(self) -> dict[str, float]:
        """Phase -> seconds so far, in the order of their first start; `other`, the rest, is last."""
        self._switch(self._name)
        rest = self._seconds.get(REST, 0.0)
        ordered = {name: value for name, value in self._seconds.items() if name != REST} | {REST: rest}
        return {name: round(value, 3) for name, value in ordered.items()}

    def __str__(self) -> str:
        """All phases in one line."""
        seconds = self.seconds()
        parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        return f"{format_seconds(sum(seconds.values()))} in all; seconds: {parts}"


def seconds_since_process_start() -> float:
    """Seconds since this process was started; 0 where the system does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        return max(0.0, uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
