"""A head that looks twice: at the whole face, and then closely at each point."""

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

LATERAL = "head_lateral"
"""The layers that bring feature maps to the same channels start with this; the number of the map follows."""

CLOSE, CLOSE_SIGMA, CLOSE_VISIBLE = "head_close", "head_close_sigma", "head_close_visible"


def interpolation(xp: ArrayLibrary, places: Values, count: int) -> Values:
    """Weights `[.., count]` of the pixels of a row at `places` `[.., 1]`, for linear interpolation.

    Places are in [0, 1] of the row; outside the middles of its first and last pixel the value is that of the pixel.
    """
    pixels = xp.minimum(xp.maximum(places * float(count) - 0.5, 0.0), float(count - 1))
    return xp.maximum(1.0 - xp.absolute(pixels - xp.arange(count)), 0.0)


def enlarge(coarse: FeatureMap, height: int, width: int) -> FeatureMap:
    """A feature map with that height and width, linearly interpolated."""
    with jax.numpy_rank_promotion("allow"):
        down, across = (
            interpolation(JAX, (JAX.column(JAX.arange(size)) + 0.5) / size, count)
            for size, count in zip((height, width), coarse.shape[1:3], strict=True)
        )
    return jnp.einsum("yh,xw,bhwc->byxc", down, across, coarse, precision="highest")


def sample(features: FeatureMap, points: Float[Array, "batch points 2"]) -> Float[Array, "batch points channels"]:
    """Values of a feature map at points in crop units, linearly interpolated."""
    with jax.numpy_rank_promotion("allow"):
        across, down = (
            interpolation(JAX, places, count)
            for places, count in zip(jnp.split(points, 2, axis=-1), features.shape[2:0:-1], strict=True)
        )
    return jnp.einsum("bph,bpw,bhwc->bpc", down, across, features, precision="highest")


@dataclasses.dataclass(frozen=True)
class RefinedHead(DenseHead):
    """A dense head, and a second dense layer that corrects it by what the image has at each predicted point.

    All feature maps are brought to the same channels, enlarged and added, as in the pyramid of Lin et al., "Feature
    Pyramid Networks for Object Detection", CVPR 2017. The second layer sees the values of the sum at the points: the
    corner of an eye looks the same to it wherever it lies in the crop, and a fine map tells where to less than a pixel.
    These are the shape-indexed features of Cao et al., "Face Alignment by Explicit Shape Regression", CVPR 2012. No
    gradient flows through the places.
    """

    name = "refined"

    channels: int = bounded(64, "[1, 4096]")
    """Channels of the sum of the feature maps."""

    def can_use(self, layer: str) -> bool:
        """As `DenseHead.can_use`."""
        own = super().can_use(layer) or layer in (CLOSE, CLOSE_SIGMA) or (layer == CLOSE_VISIBLE and self.visible)
        return own or layer.startswith(LATERAL)

    def predict(self, pyramid: Pyramid, num_points: int, *, sigma: bool, init_scale: float) -> Prediction:
        """As `Head.predict`; at first as `DenseHead` does."""
        first = super().predict(pyramid, num_points, sigma=sigma, init_scale=init_scale)
        close = sample(self.fuse(pyramid), jax.lax.stop_gradient(first.landmarks))
        seen = close.reshape(-1, num_points * self.channels)

        def correct(values: Array, name: str) -> Array:
            shape = values.shape[1:]
            dense = nn.Dense(math.prod(shape), kernel_init=nn.initializers.zeros, name=name)
            return values + dense(seen).reshape(-1, *shape)

        return Prediction(
            correct(first.landmarks, CLOSE),
            None if first.log_sigma is None else correct(first.log_sigma, CLOSE_SIGMA),
            None if first.visible_logit is None else correct(first.visible_logit, CLOSE_VISIBLE),
        )

    def fuse(self, pyramid: Pyramid) -> Float[Array, "batch height width {self.channels}"]:
        """All feature maps as one of the finest's size, in float32."""
        _, height, width, _ = pyramid[0].shape
        total: Any = 0.0
        for number, features in enumerate(pyramid):
            wide = features.astype(at_least_float32(features))
            lateral = nn.Dense(self.channels, use_bias=number == 0, name=f"{LATERAL}{number}")(wide)
            total = total + (lateral if number == 0 else enlarge(lateral, height, width))
        return nn.relu(total)

    def convert(self, params: dict[str, Any], weights: Float[np.ndarray, "new old"]) -> dict[str, Any]:
        """As `DenseHead.convert`: the second layer sees other points, and starts afresh."""
        mixed = super().convert(params, weights)
        return {name: own for name, own in mixed.items() if name not in (CLOSE, CLOSE_SIGMA, CLOSE_VISIBLE)}
