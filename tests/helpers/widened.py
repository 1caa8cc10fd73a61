"""`python -m helpers.widened FOLDER`: runs with jax_enable_x64 off and on, compared."""

import dataclasses
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from flaxmark import Predictor
from flaxmark.config.config import Config
from flaxmark.models.model import Layers, ModelConfig
from flaxmark.storage.checkpoint import load_best
from flaxmark.storage.packed import pack
from flaxmark.system.signals import Interrupted
from flaxmark.training.loop import train
from flaxmark.training.stop_requests import StopRequests
from helpers.small_config import small_config


@dataclasses.dataclass(frozen=True)
class Tiny(ModelConfig):
    """A network that compiles in a moment, with an array of JAX's default type."""

    name = "tiny"

    def features(self, images: jax.Array, layers: Layers) -> jax.Array:
        """Three layers."""
        x = layers.norm("norm", after="conv")(layers.conv(8, 3, 2, "conv")(images))
        return layers.max_pool(nn.relu(x * jnp.ones(())))


def trained(config: Config, workdir: Path, *, widened: bool, stop_after: int | None = None) -> None:
    """Train with the setting on or off, to the end or a step."""
    jax.config.update("jax_enable_x64", widened)
    StopRequests.__call__ = lambda self, step: step == stop_after  # type: ignore[method-assign]
    try:
        train(config, workdir)
        assert stop_after is None
    except Interrupted:
        assert stop_after is not None


def landmarks(checkpoint: Path | None, *, widened: bool) -> np.ndarray:
    """Points in an image of noise."""
    jax.config.update("jax_enable_x64", widened)
    pixels = np.random.default_rng(1).integers(0, 256, (80, 90, 3), np.uint8)
    (face,) = Predictor(checkpoint).predict(Image.fromarray(pixels), [10, 10, 70, 70])
    return face.landmarks


def main(folder: Path) -> None:
    """Compare runs, checkpoints, packed files and predictions to the bit."""
    config = small_config(epochs=2, validate_every=1, save_every=1, ema_decay=0.9, accumulate=2)
    config = dataclasses.replace(config, model=Tiny())
    one, other = folder / "one", folder / "other"
    trained(config, one, widened=False)
    trained(config, other, widened=True, stop_after=1)
    trained(config, other, widened=True)
    for name in ("predictions.npz", "table.md"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for widened in (False, True):
        workdir = (one, other)[widened]
        variables, metadata = load_best(workdir)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
        pack(Predictor(workdir).network.variables, metadata, folder / f"{widened}.safetensors")
    assert (folder / "False.safetensors").read_bytes() == (folder / "True.safetensors").read_bytes()
    for checkpoint in (one, folder / "True.safetensors", None):
        off, on = (landmarks(checkpoint, widened=widened) for widened in (False, True))
        np.testing.assert_array_equal(on, off)
    print("the same")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
