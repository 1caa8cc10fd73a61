"""The benchmark of whole training, started as people start it."""

import importlib.util
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import ROOT

SCRIPT = ROOT / "benchmarks" / "throughput.py"
TINY = ["--size", "64", "--batch", "4", "--faces", "8", "--rounds", "2", "--steps", "2", "--seconds", "0"]


def run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=500
    )


def figures_of(file: Path, arguments: list[str], environment: dict[str, str]) -> tuple[dict[str, Any], str]:
    done = run([*TINY, "--json", str(file), *arguments], environment)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def check_contender(result: dict[str, Any], inputs: list[str]) -> None:
    """Rates and shares are those of the raw times, each share of the fixed segment before it."""
    turns = [name for _ in range(2) for other in inputs for name in ("fixed", other)]
    segments = result["segments"]
    assert [segment[0] for segment in segments] == turns
    rates = [4 * steps / seconds for _, steps, seconds in segments]
    assert min(steps for _, steps, _ in segments) >= 2
    assert result["rows"].keys() == {"fixed", *inputs}
    for name, row in result["rows"].items():
        places = [place for place, turn in enumerate(turns) if turn == name]
        assert row["images_per_second"] == pytest.approx([rates[place] for place in places])
        shares = [] if name == "fixed" else [rates[place] / rates[place - 1] for place in places]
        assert row["share_of_fixed"] == pytest.approx(shares)
        assert row["ms_per_step"] == pytest.approx(4000 / statistics.median(row["images_per_second"]))


def test_the_loop_is_timed_beside_the_step(tmp_path: Path, environment: dict[str, str]) -> None:
    figures, output = figures_of(tmp_path / "figures.json", [], environment)
    result = figures["depths"]["18"]["flaxmark"]
    check_contender(result, ["resident", "streamed"])
    assert result["compile_seconds"].keys() == {"resident"} and result["compile_seconds"]["resident"] > 0.1
    assert min(result["memory_bytes"].values()) > 4 * 4 * 11e6  # parameters, their average and two moments
    assert figures["arguments"]["batch"] == 4 and figures["faces"] == 8
    assert figures["targets"] == []  # there are none for 64 px
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]
    for text in (
        "| flaxmark, fixed batch | ",
        "| flaxmark, loop, resident | ",
        "| flaxmark, loop, streamed | ",
        "JAX ",
    ):
        assert text in output


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_torch_trains_with_the_same_inputs(tmp_path: Path, environment: dict[str, str]) -> None:
    own = {name: value for name, value in environment.items() if name not in ("PYTHONDEVMODE", "PYTHONWARNINGS")}
    figures, output = figures_of(tmp_path / "figures.json", ["--peer", "torch", "--minutes", "60"], own)
    for name in ("torch default", "torch max-autotune"):
        check_contender(figures["depths"]["18"][name], ["fed"])
        assert f"| {name}, with input | " in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--depth", "20"], "invalid choice: 20"),
        (["--batch", "0"], "0 is not a whole number above 0"),
        (["--batch", "16", "--faces", "8"], "--batch 16: there are only 8 faces"),
        (["--json", str(SCRIPT)], "exists"),
        (["--faces", "8", "--batch", "4", "--data", "x"], "--faces: is for drawn faces"),
        (["--size", "20"], "must be in [64, 2048]"),
    ],
)
def test_careless_use_is_one_line(arguments: list[str], complaint: str, environment: dict[str, str]) -> None:
    done = run(arguments, environment)
    assert done.returncode == 2 and done.stdout == ""
    assert complaint in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed")
def test_a_missing_peer_is_one_line(environment: dict[str, str]) -> None:
    done = run(["--peer", "torch"], environment)
    assert done.returncode == 2 and done.stderr.startswith("error: --peer torch: needs PyTorch")
