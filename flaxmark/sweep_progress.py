"""What a person sees of a sweep while it goes on: one live line in a terminal, one line a cell in a log."""

import json
import sys
import time
from pathlib import Path
from typing import TextIO

from flaxmark.progress import format_seconds

# GFLOP of a forward pass at 224 px: He et al., "Deep Residual Learning for Image Recognition", 2015
# (arXiv:1512.03385), table 1. The time left needs only their ratios.
COST = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}


class SweepProgress:
    """Cells done, running and left, and the time left, from the cost of what has been trained since the start."""

    def __init__(self, depths: list[int], done: list[bool], epochs: int, stream: TextIO = sys.stderr) -> None:
        """Start the clock.

        Args:
            depths: Of the cells' networks, in their order.
            done: Which of them are done already.
            epochs: Of each cell.
            stream: Where to write.
        """
        self._costs = [COST[depth] for depth in depths]
        self._ended, self._failed = list(done), 0
        self._epochs, self._stream = epochs, stream
        self._live = stream.isatty()
        self._worked, self._start = 0.0, time.perf_counter()
        self._resumed_at: tuple[int, int] | None = None

    def show(self, index: int, name: str, workdir: Path) -> None:
        """Bring the live line up to date.

        Args:
            index: The running cell.
            name: Its name.
            workdir: Where its metrics grow.
        """
        known = self._resumed_at is not None and self._resumed_at[0] == index
        if known and not self._live:
            return
        last = last_validation(workdir)
        epoch = int(last["epoch"]) if last else 0
        if self._resumed_at is None or not known:
            self._resumed_at = (index, epoch)
        if not self._live:
            return
        worked = self._worked + self._costs[index] * (epoch - self._resumed_at[1]) / self._epochs
        left = self._left() - self._costs[index] * epoch / self._epochs
        figures = f"  NME {last['nme']:.2f} %" if last else ""
        text = f"{self._counts(1)}  |  {name}  epoch {epoch}/{self._epochs}{figures}  |  {self._time(worked, left)}"
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()

    def cell_ended(self, index: int, name: str, done: bool, reason: str) -> None:
        """Write a line that stays.

        Args:
            index: The cell.
            name: Its name.
            done: Whether it has a result.
            reason: Why it has none.
        """
        resumed = self._resumed_at[1] if self._resumed_at and self._resumed_at[0] == index else 0
        self._ended[index] = True
        if done:
            self._worked += self._costs[index] * (1 - resumed / self._epochs)
        else:
            self._failed += 1
        outcome = "done" if done else f"FAILED: {reason}"
        text = f"{name} {outcome}  |  {self._counts(0)}  |  {self._time(self._worked, self._left())}"
        self._stream.write(("\r\x1b[K" if self._live else "") + text + "\n")
        self._stream.flush()

    def _left(self) -> float:
        """Cost of the cells that have not ended."""
        return sum(cost for cost, ended in zip(self._costs, self._ended, strict=True) if not ended)

    def _counts(self, running: int) -> str:
        ended, total = sum(self._ended), len(self._ended)
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{ended - self._failed} done{failed}, {running} running, {total - ended - running} left"

    def _time(self, worked: float, left: float) -> str:
        if not left:
            return "all ended"
        if not worked:
            return "time left unknown yet"
        return f"{format_seconds((time.perf_counter() - self._start) / worked * left)} left"


def last_validation(workdir: Path) -> dict[str, float] | None:
    """The newest validation figures of a run that may be under way.

    Args:
        workdir: The run's folder.

    Returns:
        That line of its metrics.jsonl, or None while there is none.
    """
    try:
        with (workdir / "metrics.jsonl").open("rb") as stream:
            lines = stream.read().splitlines(keepends=True)
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        if line.startswith(b'{"kind": "validation"') and line.endswith(b"\n"):
            return json.loads(line)
    return None
