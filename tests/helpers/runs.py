"""Tiny runs of flaxmark train in processes of their own: started, waited for, killed and compared."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from helpers.commands import ROOT, Environment, command_line

TINY = [  # 12 steps
    "--config", "configs/quickstart.py", "--data.drawn-train", "24", "--data.drawn-validation", "10",
    "--data.image-size", "64", "--train.epochs", "4", "--train.batch-size", "8", "--train.eval-batch-size", "8",
    "--train.log-every", "1", "--train.validate-every", "1",
]  # fmt: skip
LINE = command_line("train", *TINY, "--train.save-every", "2")
TIMES = ("time", "seconds", "images_per_second")


def start(environment: Environment, workdir: Path, line: Sequence[str] = LINE) -> subprocess.Popen[str]:
    """A run in a process of its own, whose standard error is kept."""
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
    """Wait for an end without errors."""
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
    """How many its metrics have so far."""
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b'"train"') if path.exists() else 0


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
    """Two runs of `TINY`: metrics, checkpoints, figures and predictions."""
    lines = metric_lines(one)
    assert lines == metric_lines(other)
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(1, 13))
    kept = [sorted(p.name for p in (path / "checkpoints").iterdir() if p.name.isdigit()) for path in (one, other)]
    assert kept[0] == kept[1]
    for step in kept[0]:
        jax.tree.map(np.testing.assert_array_equal, *(load(path / "checkpoints" / step) for path in (one, other)))
    results = [json.loads((path / "result.json").read_text()) for path in (one, other)]
    for result in results:
        del result["cost"], result["time"], result["date"], result["commit"]  # the checkout may change meanwhile
    assert results[0] == results[1]
    predictions = [np.load(path / "predictions.npz") for path in (one, other)]
    for name in predictions[0].files:
        np.testing.assert_array_equal(predictions[0][name], predictions[1][name])
