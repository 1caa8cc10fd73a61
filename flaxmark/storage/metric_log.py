"""Metrics of a run while it trains: JSON lines and TensorBoard."""

import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import scalar

from flaxmark.system.files import write_text
from flaxmark.system.json_text import json_text

METRICS = "metrics.jsonl"
FLUSH_SECONDS = 30


class MetricWriter:
    """Appends to `metrics.jsonl` and to TensorBoard's files in `tensorboard/`."""

    def __init__(self, workdir: Path, resume_step: int) -> None:
        """Open the files of a workdir; lines of steps after `resume_step` are dropped."""
        self._path = workdir / METRICS
        self._started = time.perf_counter()
        if self._path.exists():
            kept = [line for line in read_metrics(workdir) if line["step"] <= resume_step]
            write_text(self._path, "".join(json_text(line) + "\n" for line in kept))
            self._started -= kept[-1].get("seconds", 0.0) if kept else 0.0
        self._file = self._path.open("a", encoding="utf-8")
        folder = workdir / "tensorboard"
        folder.mkdir(exist_ok=True)
        # Records, not tensorboardX's writers: on a full disk their thread dies, so that their queue waits for ever and
        # their files stay open.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._tensorboard = RecordWriter(str(folder / name))
        self._add_event(file_version="brain.Event:2")  # every such file begins with it
        restart = SessionLog(status=SessionLog.START)  # TensorBoard hides what came after the checkpoint
        self._add_event(step=resume_step + 1, session_log=restart)
        self._flushed = time.perf_counter()

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Write the values of a step as one line and as scalars; `kind` is `train` or `validation`.

        The `time` and the `seconds` that the run has trained so far, stops excluded, are added.
        """
        values = {**values, "time": time.time(), "seconds": round(time.perf_counter() - self._started, 3)}
        self._file.write(json_text({"kind": kind, "step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if not math.isnan(value):  # a metric that no face has
                self._add_event(step=step, summary=scalar(f"{kind}/{name}", value))
        if kind == "validation" or time.perf_counter() - self._flushed > FLUSH_SECONDS:
            self._tensorboard.flush()
            self._flushed = time.perf_counter()

    def close(self) -> None:
        """Close both, even if one cannot be written to its end."""
        try:
            self._file.close()
        finally:
            self._tensorboard.close()

    def _add_event(self, **content: Any) -> None:
        self._tensorboard.write(Event(wall_time=time.time(), **content).SerializeToString())


def read_metrics(workdir: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of a workdir's `metrics.jsonl`, without a last one that was cut off."""
    with (workdir / METRICS).open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def keep_lines(workdir: Path, keeps: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Drop the other lines of a workdir's `metrics.jsonl`, where there is one; returns those that were kept."""
    if not (workdir / METRICS).exists():
        return []
    kept = [line for line in read_metrics(workdir) if keeps(line)]
    write_text(workdir / METRICS, "".join(json.dumps(line) + "\n" for line in kept))
    return kept
