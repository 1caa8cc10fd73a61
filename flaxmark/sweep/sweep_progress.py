"""What a person sees of a sweep while it goes on: one live line in a terminal, one line a cell in a log."""

import dataclasses
import heapq
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from flaxmark.system.progress import format_seconds


@dataclasses.dataclass(frozen=True)
class _Running:
    """A cell that trains: its folder, when it was started, and which epoch it had then."""

    workdir: Path
    since: float
    resumed: int


class SweepProgress:
    """Cells done, running and left, and the time left, from the cost of what has been trained since the start."""

    def __init__(
        self, costs: list[float], done: list[bool], epochs: int, jobs: int = 1, stream: TextIO = sys.stderr
    ) -> None:
        """Start with the cells that are done already.

        Args:
            costs: Relative cost of each cell, in the order in which they start.
            done: Which of them are done already.
            epochs: Of each cell.
            jobs: How many train at a time.
            stream: Where to write.
        """
        self._costs = costs
        self._ended, self._failed = list(done), 0
        self._epochs, self._jobs, self._stream = epochs, jobs, stream
        self._live = stream.isatty()
        self._running: dict[int, _Running] = {}
        self._worked = self._busy = 0.0  # cost and seconds of the cells that have ended

    def cell_started(self, index: int, workdir: Path) -> None:
        """Count a cell as running.

        Args:
            index: The cell.
            workdir: Where its metrics grow; has its name.
        """
        self._running[index] = _Running(workdir, time.perf_counter(), _epoch(last_validation(workdir)))

    def show(self) -> None:
        """Bring the live line up to date."""
        if not self._live or not self._running:
            return
        counts, cells, left = self._texts()
        room = shutil.get_terminal_size().columns - len(f"{counts}  |    |  {left}") - 1
        if len(cells) > room:  # a line that wraps could not be replaced
            cells = f"{cells[: max(0, room - 1)]}…"
        self._stream.write(f"\r\x1b[K{counts}  |  {cells}  |  {left}")
        self._stream.flush()

    def cell_ended(self, index: int, reason: str) -> None:
        """Write a line that stays.

        Args:
            index: The cell.
            reason: Why it has no result; "" where it has one.
        """
        cell = self._running.pop(index)
        epoch = _epoch(last_validation(cell.workdir)) if reason else self._epochs
        self._worked += self._cost(index, epoch - cell.resumed)
        self._busy += time.perf_counter() - cell.since
        self._ended[index] = True
        self._failed += bool(reason)
        said = [f"{cell.workdir.name} {f'FAILED: {reason}' if reason else 'done'}", *filter(None, self._texts())]
        self._stream.write(("\r\x1b[K" if self._live else "") + "  |  ".join(said) + "\n")
        self._stream.flush()

    def _texts(self) -> tuple[str, str, str]:
        """Counts, the running cells, and the time left."""
        ended, total, running = sum(self._ended), len(self._ended), len(self._running)
        failed = f", {self._failed} failed" if self._failed else ""
        counts = f"{ended - self._failed} done{failed}, {running} running, {total - ended - running} left"
        last = {index: last_validation(cell.workdir) for index, cell in self._running.items()}
        cells = [
            f"{cell.workdir.name}  epoch {_epoch(last[index])}/{self._epochs}{_figures(last[index])}"
            for index, cell in self._running.items()
        ]
        return counts, "; ".join(cells), self._time({index: _epoch(line) for index, line in last.items()})

    def _time(self, epochs: Mapping[int, int]) -> str:
        """How long the rest takes, so many cells at a time; `epochs` are those of the running cells."""
        if all(self._ended):
            return "all ended"
        now = time.perf_counter()
        worked = self._worked + sum(self._cost(i, epochs[i] - cell.resumed) for i, cell in self._running.items())
        busy = self._busy + sum(now - cell.since for cell in self._running.values())
        if worked <= 0:
            return "time left unknown yet"
        places = [self._cost(i, self._epochs - epoch) for i, epoch in epochs.items()]
        places += [0.0] * (self._jobs - len(places))
        heapq.heapify(places)
        for index, cost in enumerate(self._costs):  # each starts where a place is free first
            if not self._ended[index] and index not in self._running:
                heapq.heapreplace(places, places[0] + cost)
        return f"{format_seconds(busy / worked * max(places))} left"

    def _cost(self, index: int, epochs: int) -> float:
        """What so many epochs of a cell cost."""
        return self._costs[index] * epochs / self._epochs


def _epoch(last: Mapping[str, float] | None) -> int:
    """How many epochs a run has made, from its newest validation figures."""
    return int(last["epoch"]) if last else 0


def _figures(last: Mapping[str, float] | None) -> str:
    """The newest validation figures of a run for people."""
    return f"  NME {last['nme']:.2f} %" if last else ""


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
