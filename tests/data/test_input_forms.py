"""Whole runs, from the records to the report, are the same in whatever form their input reaches the step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import TESTS


def losses(folder: Path, *form: str) -> tuple[list[float], list[float]]:
    """Of every step, and of the faces in the report's table."""
    workdir = folder / "_".join(form)
    line = [sys.executable, "-m", "helpers.forms_of_input", str(workdir), *form]
    done = subprocess.run(line, cwd=TESTS, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    where = "in the device's memory" if form[:2] == ("step", "device") else "in memory"
    assert (where if form[1] == "device" else "for each batch") in done.stdout
    lines = [json.loads(text) for text in (workdir / "metrics.jsonl").read_text().splitlines()]
    rows = json.loads((workdir / "result.json").read_text())["rows"]
    return [text["loss"] for text in lines if text["kind"] == "train"], [row["loss"] for row in rows]


def test_a_run_is_the_same_in_every_form(tmp_path: Path) -> None:
    expected = losses(tmp_path, "host", "device", "jit")
    assert len(expected[0]) == 9
    for form in (("step", "device", "jit"), ("step", "stream", "jit"), ("host", "stream", "jit")):
        for found, wanted in zip(losses(tmp_path, *form), expected, strict=True):
            assert found == pytest.approx(wanted, rel=1e-4), form
    # Only its own devices' faces are normalised together under pmap, which the linear model does not do.
    for found, wanted in zip(losses(tmp_path, "step", "device", "pmap"), expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-4)
