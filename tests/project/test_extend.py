"""The examples of docs/guide/extend.md, run as they stand there: each trains, and is found in help and results."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers.commands import ROOT
from PIL import Image

from flaxmark.cli.commands import report, sweep, train
from flaxmark.config import AugmentConfig, Head, Loss, ModelConfig
from flaxmark.config.files import load_extensions
from flaxmark.data.data_sets import DATA_SETS
from flaxmark.data.drawn import draw_face
from flaxmark.data.input.augment import AUGMENTATIONS
from flaxmark.inference.predictor import Predictor

GUIDE = ROOT / "docs" / "guide" / "extend.md"
FAST = [  # two steps of a network that compiles in a moment
    "--config", "quickstart", "--model.name", "convnet", "--data.drawn-train", "24", "--data.drawn-validation", "8",
    "--data.drawn-size", "64", "--data.image-size", "64", "--train.epochs", "1", "--train.batch-size", "8",
    "--train.eval-batch-size", "8",
]  # fmt: skip


def examples() -> dict[str, str]:
    """File name -> program, of every Python block of the guide."""
    return dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The examples as files, loaded; they are forgotten afterwards."""
    folder = tmp_path_factory.mktemp("extensions")
    registries: list[dict[str, Any]] = [m.members for m in (Loss, ModelConfig, Head, AugmentConfig)]
    registries += [DATA_SETS, AUGMENTATIONS]
    before = [dict(registry) for registry in registries]
    for name, program in examples().items():
        (folder / name).write_text(program, encoding="utf-8")
    load_extensions([str(folder / name) for name in examples()])
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # as in a program of the user's own
        yield folder
    for registry, kept in zip(registries, before, strict=True):
        registry.clear()
        registry.update(kept)


def run(workdir: Path, *flags: str) -> dict[str, Any]:
    """The result of a tiny run."""
    train.main([*FAST, *flags, "--workdir", str(workdir)])
    result: dict[str, Any] = json.loads((workdir / "result.json").read_text())
    losses = [line for line in map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())]
    assert all(np.isfinite(line["loss"]) for line in losses)
    return result


def test_a_loss(folder: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "run", "--loss.name", "huber", "--loss.delta", "0.02")
    assert result["config"]["loss"] == {"name": "huber", "delta": 0.02}


def test_a_network_without_batch_norm(folder: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "run", "--model.width", "8")
    assert result["config"]["model"]["name"] == "convnet"
    faces = Predictor(tmp_path / "run").predict(draw_face(3, 64)[0], "image")
    assert faces[0].landmarks.shape == (68, 2)


def test_a_head(folder: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "run", "--model.head.name", "soft_argmax")
    assert result["config"]["model"]["head"] == {"name": "soft_argmax"}


def test_a_data_set(folder: Path, tmp_path: Path) -> None:
    faces = {}
    for seed in range(24):
        image, landmarks = draw_face(seed, 64)
        Image.fromarray(image).save(tmp_path / f"{seed}.png")
        faces[f"{seed}.png"] = landmarks.tolist()
    (tmp_path / "faces.json").write_text(json.dumps(faces | {"../secret.png": [[0, 0]] * 68}))
    where = ["--data.name", "face_list", "--data.dir", str(tmp_path), "--data.prepared-dir", str(tmp_path / "kept")]
    result = run(tmp_path / "run", *where)
    assert result["config"]["data"]["name"] == "face_list"
    assert Predictor(tmp_path / "run").metadata["terms"] == "my own photographs"


def test_an_augmentation(folder: Path, tmp_path: Path) -> None:
    chosen = ["--data.augment.name", "with_solarize", "--data.augment.solarize"]
    plain, changed = (run(tmp_path / share, *chosen, share) for share in ("0", "1"))
    assert changed["config"]["data"]["augment"]["solarize"] == 1
    assert plain["history"] != changed["history"]


def test_a_sweep_and_its_report_show_them(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    without = [flag for flag in FAST if flag not in ("--model.name", "convnet")]
    grid = ["--networks", "convnet", "--losses", "huber", "--workdir", str(tmp_path / "grid")]
    sweep.main([*without, *grid])  # its cells are processes of their own
    report.main([str(tmp_path / "grid")])
    text = (tmp_path / "grid" / "report.md").read_text()
    assert "convnet" in text
    assert "huber" in text


def test_help_shows_them(folder: Path) -> None:
    names = ":".join(str(folder / name) for name in examples())
    flags = ["--loss.name", "huber", "--model.name", "convnet", "--model.head.name", "soft_argmax"]
    line = [sys.executable, "-m", "flaxmark", "train", *flags, "--data.augment.name", "with_solarize", "--help"]
    environment = dict(os.environ) | {"FLAXMARK_EXTENSIONS": names, "COLUMNS": "200"}
    shown = subprocess.run(
        line, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    for wanted in ("--loss.delta", "--model.width", "soft_argmax", "--data.augment.solarize", "face_list", "huber"):
        assert wanted in shown


def test_each_example_is_one_file_of_the_guide() -> None:
    assert list(examples()) == ["huber.py", "convnet.py", "soft_argmax.py", "face_list.py", "solarize.py"]
