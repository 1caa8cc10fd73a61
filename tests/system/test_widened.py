"""flaxmark computes in 32 bits where the user's program has widened JAX's default types."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.commands import TESTS, Environment

from flaxmark.system.devices import compile_step, in_32_bits, make_mesh, shard_batch


def widening_step(variables: Any, batch: Any) -> dict[str, jax.Array]:
    whole = jnp.zeros(()) + jnp.arange(3).sum().astype(float)
    return {"sum": jnp.full(batch["x"].shape, 1.5) + variables + whole}


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_steps_compute_in_32_bits_in_any_thread(mode: Literal["jit", "pmap"]) -> None:
    mesh = make_mesh(jax.local_devices()[:2])
    step = compile_step(widening_step, mesh, mode, updates=False)

    def run() -> np.ndarray:
        with jax.enable_x64(True):
            batch = shard_batch({"x": np.zeros(4, np.float32)}, mesh, mode)
            return np.asarray(step(np.float32(1), batch)["sum"])

    with ThreadPoolExecutor(1) as pool:
        found = [run(), pool.submit(run).result()]
    for values in found:
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, np.full(4, 5.5, np.float32))


def test_the_setting_of_the_caller_stays() -> None:
    with jax.enable_x64(True):
        assert in_32_bits(lambda: jnp.zeros(1).dtype)() == jnp.float32
        assert jnp.zeros(1).dtype == jnp.float64
        compiled = in_32_bits(jax.jit(lambda x: x + jnp.zeros(())))
        assert compiled.lower(np.float64(1)).out_info.dtype == jnp.float32


def test_runs_and_predictions_are_the_same_to_the_bit(environment: Environment, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "helpers.widened", str(tmp_path)]
    quiet = {name: value for name, value in environment.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(line, cwd=TESTS, env=quiet, capture_output=True, text=True, timeout=400)
    assert done.stdout.splitlines()[-1:] == ["the same"], done.stderr
