"""Devices that do not start."""

import subprocess
import sys
from pathlib import Path

from helpers.commands import Environment, run_command

ASK = """
import flaxmark, jax
from flaxmark.errors import DeviceError
from PIL import Image
for platform in ("cuda", "cuda", "tpu", "cupcake"):
    jax.config.update("jax_platforms", platform)
    try:
        flaxmark.predict(Image.new("RGB", (64, 64)), "image")
    except DeviceError as error:
        print(error.field, error.value, error.file, "cpu (" in error.reason, "CUDA_VISIBLE_DEVICES" in error.reason)
"""


def test_a_platform_that_is_not_here_is_named_with_those_that_are(environment: Environment) -> None:
    asked = environment | {"JAX_PLATFORMS": "cuda", "CUDA_VISIBLE_DEVICES": ""}
    del asked["PYTHONWARNINGS"]  # of JAX itself
    done = subprocess.run([sys.executable, "-c", ASK], env=asked, capture_output=True, text=True, timeout=100)
    names = ("cuda", "cuda", "tpu", "cupcake")
    assert done.stdout.splitlines() == [f"JAX_PLATFORMS {name} None True True" for name in names], done.stderr


def test_a_sweep_asks_before_its_cells(environment: Environment, tmp_path: Path) -> None:
    asked = environment | {"JAX_PLATFORMS": "cuda"}
    del asked["PYTHONWARNINGS"]
    done = run_command(asked, "sweep", "--config", "quickstart", "--workdir", tmp_path / "w")
    assert done.returncode == 2
    assert "JAX_PLATFORMS" in done.stderr
    assert not (tmp_path / "w").exists()
