"""A run that is killed with SIGKILL at any moment and started again ends as if nothing had happened, to the bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

ROOT = Path(__file__).parents[2]
TINY = [  # 12 steps
    "--config", "configs/quickstart.py", "--data.drawn-train", "24", "--data.drawn-validation", "10",
    "--data.image-size", "64", "--train.epochs", "4", "--train.batch-size", "8", "--train.eval-batch-size", "8",
    "--train.log-every", "1", "--train.validate-every", "1",
]  # fmt: skip
LINE = [sys.executable, "scripts/train.py", *TINY, "--train.save-every", "2"]
TIMES = ("time", "seconds", "images_per_second")
Environment = dict[str, str]


@pytest.fixture(scope="module")
def whole(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """An uninterrupted run, and how many seconds it went on after its first step."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    process = start(environment, workdir)
    assert wait(process, lambda: steps(workdir) > 0)
    first = time.monotonic()
    finish(process)
    return workdir, time.monotonic() - first


def start(environment: Environment, workdir: Path, line: Sequence[str] = LINE) -> subprocess.Popen[str]:
    line = [*line, "--workdir", str(workdir)]
    return subprocess.Popen(
        line, cwd=ROOT, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def wait(process: subprocess.Popen[str], condition: Callable[[], bool]) -> bool:
    """Until the condition holds (True) or the process has ended."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.002)
    return False


def finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def metric_lines(workdir: Path) -> list[dict[str, Any]]:
    """All of them, without times."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def steps(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b'"train"') if path.exists() else 0


def beyond(workdir: Path, before: int, saving: bool) -> Callable[[], bool]:
    """Whether it has made a step since `before`, and is saving."""
    return lambda: steps(workdir) > before and (is_saving(workdir) or not saving)


def is_saving(workdir: Path) -> bool:
    """Whether a checkpoint is being written: orbax renames its folder once it is whole."""
    folder = workdir / "checkpoints"
    return folder.is_dir() and any(not path.name.isdigit() for path in folder.iterdir())


def load(checkpoint: Path) -> dict[str, Any]:
    """All of its arrays."""
    found = ocp.checkpointables_metadata(checkpoint).metadata
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def like(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here)

    return ocp.load_checkpointables(checkpoint, {name: jax.tree.map(like, found[name]) for name in ("state", "model")})


def assert_equal_to_the_bit(one: Path, other: Path) -> None:
    lines = metric_lines(one)
    assert lines == metric_lines(other)
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(1, 13))
    kept = [sorted(p.name for p in (path / "checkpoints").iterdir() if p.name.isdigit()) for path in (one, other)]
    assert kept[0] == kept[1]
    for step in kept[0]:
        jax.tree.map(np.testing.assert_array_equal, *(load(path / "checkpoints" / step) for path in (one, other)))
    results = [json.loads((path / "result.json").read_text()) for path in (one, other)]
    for result in results:
        del result["cost"], result["time"], result["commit"]  # the checkout may change meanwhile
    assert results[0] == results[1]
    predictions = [np.load(path / "predictions.npz") for path in (one, other)]
    for name in predictions[0].files:
        np.testing.assert_array_equal(predictions[0][name], predictions[1][name])


@pytest.mark.torture
def test_twenty_kills_at_random(
    environment: Environment, whole: tuple[Path, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A third of them as soon as something is being saved; the others at any moment from the start to the end."""
    rng, kills, runs, log = random.Random(os.environ.get("SEED", "0")), 0, 0, []
    while kills < 20:
        workdir, runs = tmp_path / f"run{runs}", runs + 1
        for _ in range(5):  # so often at most, or it might never end
            process, saving = start(environment, workdir), rng.random() < 1 / 3
            after = rng.uniform(0, 10 if rng.random() < 0.2 else whole[1])
            hit = wait(process, beyond(workdir, steps(workdir), saving))
            due = time.monotonic() + (rng.uniform(0, 0.3) if saving else after)
            if not hit or not wait(process, lambda due=due: time.monotonic() >= due):
                break
            log.append(f"{'saving' if is_saving(workdir) else 'not saving'}, {steps(workdir)} steps written")
            kill(process)
            kills += 1
        else:
            process = start(environment, workdir)
        finish(process)
        assert_equal_to_the_bit(whole[0], workdir)
    with capsys.disabled():
        print(f"\n{kills} kills in {runs} runs, all equal to the bit:", *log, sep="\n  ")


@pytest.mark.torture
@pytest.mark.parametrize("count", [1, 2, 40])
def test_sigterm_during_the_report(
    environment: Environment, whole: tuple[Path, float], tmp_path: Path, count: int
) -> None:
    """Schedulers send it several times: one line, and the same command writes the report."""
    process = start(environment, tmp_path)
    assert wait(process, lambda: (tmp_path / "curves.png").exists())  # the first file of the report
    for _ in range(count):
        process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 75, said
    assert said.count("interrupted by SIGTERM; give the same command again") == 1
    assert "Traceback" not in said
    assert "race" not in said
    finish(start(environment, tmp_path))
    assert_equal_to_the_bit(whole[0], tmp_path)
