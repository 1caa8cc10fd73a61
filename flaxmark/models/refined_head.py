"""A head that looks again: at the whole face first, and then closely at each point."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flaxmark.faces.array_library import JAX, ArrayLibrary, Values
from flaxmark.models.batch_norm import at_least_float32
from flaxmark.models.heads import DenseHead, FeatureMap, Prediction, Pyramid
from flaxmark.schema import bounded

LOOK = "head_look"
"""The names of all layers of the later looks start with this."""


def map_layer(look: int, number: int) -> str:
    """Name of the layer of a later look, from 1, that sees a feature map, from 0."""
    return f"{LOOK}{look}_map{number}"


def change_layer(look: int, output: str) -> str:
    """Name of the layer of a later look, from 1, that changes an output: `landmarks`, `sigma` or `visible`."""
    return f"{LOOK}{look}_{output}"


def interpolation(xp: ArrayLibrary, places: Values, count: int) -> Values:
    """Weights `[.., count]` of the pixels of a row at `places` `[.., 1]`, for linear interpolation.

    Places are in [0, 1] of the row; outside the middles of its first and last pixel the value is that of the pixel.
    """
    pixels = xp.minimum(xp.maximum(places * float(count) - 0.5, 0.0), float(count - 1))
    return xp.maximum(1.0 - xp.absolute(pixels - xp.arange(count)), 0.0)


def sample(features: FeatureMap, points: Float[Array, "batch points 2"]) -> Float[Array, "batch points channels"]:
    """Values of a feature map at points in crop units, linearly interpolated, in float32 or more."""
    wide = features.astype(at_least_float32(features))
    with jax.numpy_rank_promotion("allow"):
        across, down = (
            interpolation(JAX, places, count).astype(wide.dtype)
            for places, count in zip(jnp.split(points, 2, axis=-1), features.shape[2:0:-1], strict=True)
        )
    # By default GPUs and TPUs multiply matrices with fewer digits than coordinates need.
    return jnp.einsum("bph,bpw,bhwc->bpc", down, across, wide, precision="highest")


@dataclasses.dataclass(frozen=True)
class RefinedHead(DenseHead):
    """A dense head, and further dense layers that move its points by what the feature maps have at each of them.

    A later look sees the corner of an eye in the same way wherever it lies in the crop, and fine maps tell where to
    less than a pixel. These are shape-indexed features: Cao et al., "Face Alignment by Explicit Shape Regression", CVPR
    2012. No gradient flows through the places, as in such cascades. Each look has a loss of its own: with one for the
    last look alone, the first was right only together with what later ones added, and left them places far off.
    """

    name = "refined"

    looks: int = bounded(2, "[1, 8]")
    """How often the points are moved."""
    channels: int = bounded(64, "[1, 4096]")
    """Values that a look sees of each point: sums over all channels of all feature maps, with weights of its own."""

    def can_use(self, layer: str) -> bool:
        """As `DenseHead.can_use`."""
        return super().can_use(layer) or (layer.startswith(LOOK) and (self.visible or not layer.endswith("_visible")))

    def predict(self, pyramid: Pyramid, num_points: int, *, sigma: bool, init_scale: float) -> Prediction:
        """As `Head.predict`; at first as `DenseHead` does."""
        predictions = [super().predict(pyramid, num_points, sigma=sigma, init_scale=init_scale)]
        for look in range(1, self.looks + 1):
            predictions.append(self.look_again(predictions[-1], pyramid, look))
        return dataclasses.replace(predictions[-1], earlier=tuple(predictions[:-1]))

    def look_again(self, before: Prediction, pyramid: Pyramid, look: int) -> Prediction:
        """Change a prediction by what a look sees at its points."""
        seen = self.look_at(jax.lax.stop_gradient(before.landmarks), pyramid, look)

        def changed(values: Array, output: str) -> Array:
            return values + _change(seen, values.shape, change_layer(look, output))

        return Prediction(
            changed(before.landmarks, "landmarks"),
            None if before.log_sigma is None else changed(before.log_sigma, "sigma"),
            None if before.visible_logit is None else changed(before.visible_logit, "visible"),
        )

    def look_at(
        self, points: Float[Array, "batch points 2"], pyramid: Pyramid, look: int
    ) -> Float[Array, "batch values"]:
        """What a look sees: of each point `channels` values, after each other."""
        values = [
            nn.Dense(self.channels, use_bias=number == 0, name=map_layer(look, number))(sample(features, points))
            for number, features in enumerate(pyramid)
        ]
        return nn.relu(sum(values[1:], values[0])).reshape(-1, points.shape[1] * self.channels)

    def convert(self, params: dict[str, Any], weights: Float[np.ndarray, "new old"]) -> dict[str, Any]:
        """As `DenseHead.convert`: later looks see other points, and start afresh."""
        return super().convert({name: own for name, own in params.items() if not name.startswith(LOOK)}, weights)


def _change(seen: Float[Array, "batch values"], shape: tuple[int, ...], name: str) -> Float[Array, "batch points *xy"]:
    """A dense layer that starts at 0, so that a fresh head predicts as a dense one, whose bias does for all looks."""
    outputs = math.prod(shape[1:])
    return nn.Dense(outputs, use_bias=False, kernel_init=nn.initializers.zeros, name=name)(seen).reshape(shape)
