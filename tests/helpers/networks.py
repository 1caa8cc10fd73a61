"""Networks that a test defines."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax

from flaxmark.models.model import ModelConfig


@contextmanager
def own_networks() -> Iterator[None]:
    """Networks that are defined inside are forgotten afterwards."""
    before = dict(ModelConfig.members)
    try:
        yield
    finally:
        ModelConfig.members.clear()
        ModelConfig.members.update(before)


@contextmanager
def one_convolution() -> Iterator[type[ModelConfig]]:
    """A network of one convolution, which compiles in a moment."""
    with own_networks():

        @dataclasses.dataclass(frozen=True)
        class OneConvolution(ModelConfig):
            name = "test_one_convolution"

            def features(self, images: jax.Array, layers: Any) -> jax.Array:
                return nn.relu(layers.conv(8, 7, 16, "conv1")(images))

        yield OneConvolution
