"""Training in bfloat16 gets where float32 gets."""

import json
import os
from pathlib import Path

import pytest
from helpers.commands import run_command

# Easy faces and a low rate: two runs then differ by their arithmetic, not by the chaos of a short training.
FLAGS = [
    "--config", "configs/quickstart.py", "--data.image-size", "64", "--data.drawn-train", "416",
    "--data.drawn-validation", "64", "--train.epochs", "4", "--optimizer.learning-rate", "5e-4",
    "--train.ema-decay", "0.98", "--data.augment.rotation", "0", "--data.augment.scale", "0",
    "--data.augment.shift", "0", "--data.augment.blur", "0", "--train.validate-every", "1",
]  # fmt: skip


def validation_nme(dtype: str, folder: Path) -> tuple[float, float]:
    """Of the network and of the mean face."""
    kept = {name: value for name, value in os.environ.items() if name not in ("FLAXMARK_DATA", "XLA_FLAGS")}
    environment = kept | {"XDG_CACHE_HOME": str(folder / "cache"), "JAX_PLATFORMS": "cpu"}
    done = run_command(environment, "train", *FLAGS, "--model.dtype", dtype, "--workdir", folder / dtype)
    assert done.returncode == 0, done.stderr
    rows = json.loads((folder / dtype / "result.json").read_text())["rows"]
    network, mean_face = [row["nme"] for row in rows if row["split"] == "validation"]
    return network, mean_face


@pytest.mark.slow
def test_bfloat16_reaches_the_error_of_float32(tmp_path: Path) -> None:
    (full, mean_face), (half, _) = (validation_nme(dtype, tmp_path) for dtype in ("float32", "bfloat16"))
    assert full < 0.85 * mean_face  # both have learnt something
    assert half < 1.05 * full
