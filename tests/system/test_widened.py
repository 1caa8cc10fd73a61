"""flaxmark computes in 32 bits where the user's program has widened JAX's default types."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.networks import own_networks
from helpers.small_config import small_config
from PIL import Image

from flaxmark import Predictor
from flaxmark.models.model import Layers, ModelConfig
from flaxmark.storage.checkpoint import load_best
from flaxmark.storage.packed import pack
from flaxmark.system.devices import compile_step, in_32_bits, make_mesh, shard_batch
from flaxmark.system.signals import Interrupted
from flaxmark.training.loop import train
from flaxmark.training.stop_requests import StopRequests


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


@pytest.fixture
def network() -> Iterator[ModelConfig]:
    """A network that compiles in a moment, with an array of JAX's default type."""
    with own_networks():

        @dataclasses.dataclass(frozen=True)
        class OneNorm(ModelConfig):
            name = "test_widened"

            def features(self, images: jax.Array, layers: Layers) -> jax.Array:
                x = layers.norm("norm", after="conv")(layers.conv(8, 7, 8, "conv")(images))
                return nn.relu(x * jnp.ones(()))

        yield OneNorm()
        jax.config.update("jax_enable_x64", False)


def landmarks(checkpoint: Path | None) -> np.ndarray:
    """Points in an image of noise."""
    pixels = np.random.default_rng(1).integers(0, 256, (80, 90, 3), np.uint8)
    (face,) = Predictor(checkpoint).predict(Image.fromarray(pixels), [10, 10, 70, 70])
    return face.landmarks


@pytest.mark.usefixtures("quick_runs")
def test_runs_and_predictions_are_the_same_to_the_bit(
    network: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is the process's own, for all of its threads; the second run is interrupted and resumed."""
    config = small_config(epochs=2, batch_size=16, eval_batch_size=8, validate_every=1, ema_decay=0.9, accumulate=2)
    config = dataclasses.replace(config, model=network, data=dataclasses.replace(config.data, drawn_train=32))
    one, other, packed = tmp_path / "one", tmp_path / "other", tmp_path / "packed.safetensors"
    train(config, one)
    variables, metadata = load_best(one)
    pack(Predictor(one).network.variables, metadata, packed)
    expected = [landmarks(checkpoint) for checkpoint in (one, packed, None)]

    jax.config.update("jax_enable_x64", True)
    with monkeypatch.context() as patch:
        patch.setattr(StopRequests, "__call__", lambda _, step: step == 1)
        with pytest.raises(Interrupted):
            train(config, other)
    train(config, other)
    for name in ("predictions.npz", "table.md"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    found, metadata = load_best(other)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    pack(Predictor(other).network.variables, metadata, tmp_path / "other.safetensors")
    assert (tmp_path / "other.safetensors").read_bytes() == packed.read_bytes()
    for checkpoint, points in zip((one, packed, None), expected, strict=True):
        np.testing.assert_array_equal(landmarks(checkpoint), points)
