"""One device, eight, and several processes make the same updates and count the same faces."""

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import TESTS
from helpers.ports import free_port

PLACES = {"1 device": (1, 1), "8 devices": (1, 8), "2 processes of 4": (2, 4), "4 processes of 2": (4, 2)}


def run(folder: Path, processes: int, devices: int, *what: str | int) -> list[dict[str, np.ndarray]]:
    """What came out of each process; `what` is network, mode, dtype, where images are made, and steps."""
    folder.mkdir()
    fixed = [devices, free_port(), folder, *what]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "helpers.one_of_many", *map(str, [process, processes, *fixed])],
            cwd=TESTS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(processes)
    ]
    for process in started:
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output
    return [dict(np.load(folder / f"{index}_of_{processes}.npz")) for index in range(processes)]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest, as a share of the largest number."""
    return float(np.abs(one - other).max() / max(float(np.abs(one).max()), 1e-12))


def distance(one: dict[str, np.ndarray], other: dict[str, np.ndarray], part: str) -> float:
    """Between all arrays of a part as one vector, as a share of its length."""
    a, b = (np.concatenate([r[n].ravel() for n in sorted(r) if n.startswith(part)], dtype=float) for r in (one, other))
    return float(np.linalg.norm(a - b) / np.linalg.norm(a))


@pytest.mark.parametrize(("mode", "images"), [("jit", "host"), ("pmap", "host"), ("jit", "step"), ("pmap", "step")])
def test_two_processes_equal_one(tmp_path: Path, mode: str, images: str) -> None:
    (alone,) = run(tmp_path / "one", 1, 2, "linear", mode, "float64", images, 5)
    assert alone["losses"].shape == (5,)
    assert alone["landmarks"].shape == (22, 68, 2)  # 22 faces in batches of 16: the last one is padded
    for shared in run(tmp_path / "two", 2, 1, "linear", mode, "float64", images, 5):
        assert shared.keys() == alone.keys()
        for name in alone:
            assert difference(alone[name], shared[name]) < 1e-8, name


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("alone")
    steps = {"float64": 20, "float32": 50}
    return {
        dtype: run(folder / dtype, 1, 1, "resnet", "jit", dtype, "host", count)[0] for dtype, count in steps.items()
    }


@pytest.mark.torture
@pytest.mark.parametrize("mode", ["jit", "pmap"])
@pytest.mark.parametrize("place", PLACES)
def test_every_place_equals_one_device(
    alone: dict[str, dict[str, np.ndarray]],
    tmp_path: Path,
    place: str,
    mode: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    say = functools.partial(print, f"\n{place}, {mode}:")
    for shared in run(tmp_path / "exact", *PLACES[place], "resnet", mode, "float64", "host", 20):
        differences = {name: difference(alone["float64"][name], shared[name]) for name in alone["float64"]}
        worst = max(differences, key=lambda name: differences[name])
        with capsys.disabled():
            say(f"20 steps in float64 {differences[worst]:.1e}", end="")
        assert differences[worst] < 1e-8, worst
    expected = alone["float32"]
    for shared in run(tmp_path / "short", *PLACES[place], "resnet", mode, "float32", "host", 50):
        first = max(distance(expected, shared, part) for part in ("first[0]", "first[1]"))  # statistics, gradient
        last = abs(np.mean(shared["losses"][-5:]) / np.mean(expected["losses"][-5:]) - 1)
        with capsys.disabled():
            say(f"float32: first step {first:.1e}, loss after 50 {100 * last:.1f} %", end="")
        assert shared["landmarks"].shape == expected["landmarks"].shape
        assert first < 1e-5
        assert last < 0.05
