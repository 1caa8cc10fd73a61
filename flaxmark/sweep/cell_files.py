"""Files that a cell leaves beside those of its run: a log and the reason of a failure."""

import json
from pathlib import Path

FAILED, LOG = "failed.txt", "log.txt"


def last_validation(workdir: Path) -> dict[str, float] | None:
    """Newest complete validation line of a run's metrics.jsonl, also while it is written; None if there is none."""
    try:
        with (workdir / "metrics.jsonl").open("rb") as stream:
            lines = stream.read().splitlines(keepends=True)
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        if line.startswith(b'{"kind": "validation"') and line.endswith(b"\n"):
            return json.loads(line)
    return None


def last_error(workdir: Path) -> str:
    """The last error in a cell's log, or its last line; empty without a log."""
    log = workdir / LOG
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16384))
            lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:  # it ended before it could write one
        return ""
    errors = [line for line in lines if line.startswith("error: ")] or lines
    return errors[-1].removeprefix("error: ") if errors else ""
