"""Heads: from a backbone's features to landmarks."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flaxmark.errors import ConfigError
from flaxmark.models.batch_norm import at_least_float32
from flaxmark.schema import Choice

FIRST_SIGMA = 0.05
"""First sigma, crop units: about the error of the mean face, which a fresh network predicts."""

FIRST_VISIBLE = 0.9
"""First probability that a point is seen: most points are."""

HEAD = "head"
"""The names of all layers of a head start with this."""

POOLING = "head_pooling"
SIGMA = "head_sigma"
VISIBLE = "head_visible"
WAVES = 4

FeatureMap = Float[Array, "batch height width channels"]
Pyramid = tuple[FeatureMap, ...]
"""Feature maps from fine to coarse; the last is the output of the backbone."""


def as_pyramid(features: FeatureMap | Sequence[FeatureMap]) -> Pyramid:
    """What `ModelConfig.features` returned as a tuple of feature maps."""
    return tuple(features) if isinstance(features, Sequence) else (features,)


def in_head(layer: str) -> bool:
    """Whether a top-level layer of a network, by its name, is part of the head."""
    return layer.startswith(HEAD)


@flax.struct.dataclass
class Prediction:
    """What a network predicts for a batch of faces."""

    landmarks: Float[Array, "batch points 2"]
    """Crop units."""
    log_sigma: Float[Array, "batch points"] | None = None
    """Logarithm of the expected error in crop units, or None."""
    visible_logit: Float[Array, "batch points"] | None = None
    """Logit of the probability that a point is seen, and not hidden, or None."""
    earlier: "tuple[Prediction, ...]" = ()
    """What a head that looks several times predicted before, its first look first; training adds their losses."""


class Head(Choice):
    """Base of all heads, which are chosen by name: a head is a frozen dataclass with a `name` and `predict`."""

    default_name = "dense"

    def predict(self, pyramid: Pyramid, num_points: int, *, sigma: bool, init_scale: float) -> Prediction:
        """Create the head's layers and apply them.

        Args:
            pyramid: Feature maps of the backbone from fine to coarse, in its dtype. The last is its output. Before it
                come the maps that a network chooses to add: a ResNet adds those of its first three stages.
            num_points: Points per face.
            sigma: Whether to predict `log_sigma`, too.
            init_scale: Kernels of the first layers start at this multiple of LeCun's normal initialisation.

        Returns:
            The prediction. The names of all layers must start with `head`, so that `init-from` knows them.
        """
        raise NotImplementedError

    def start_at(self, params: dict[str, Any], mean_face: Float[Array, "points 2"]) -> dict[str, Any]:
        """Fresh parameters of the network, changed so that it starts by predicting the mean face (crop units).

        Args:
            params: Parameters of the whole network.
            mean_face: Mean of the training faces.

        Returns:
            The parameters to start with; by default they are not changed.
        """
        return params

    def adopt(self, params: dict[str, Any], other: "Head") -> dict[str, Any]:
        """Trained parameters of a network with another head, for this one to start from.

        Args:
            params: Parameters of the whole network.
            other: The head that they were trained with.

        Returns:
            The parameters with the layers of the other head that this one can use. By default all of them if it is the
            same head with the same fields, and otherwise none.
        """
        return params if other == self else {name: own for name, own in params.items() if not in_head(name)}

    def convert(self, params: dict[str, Any], weights: Float[np.ndarray, "new old"]) -> dict[str, Any]:
        """Trained parameters of a network for one landmark scheme, for this one to start from with another.

        Args:
            params: Parameters of the whole network, for `old` points.
            weights: Each of the `new` points as a weighted mean of the old ones.

        Returns:
            The parameters; by default they are not changed, and layers with other shapes start afresh.
        """
        return params


class WeightedPooling(nn.Module):
    """Mean of each channel over the image, weighted by a pattern of its own: a learnt sum of 4 x 4 cosines.

    A plain mean over the places of an untrained network says next to nothing about where things are, and a deep network
    takes hundreds of steps to change that (docs/results/deep_networks.md). Random patterns say it from the first step.
    As in the global depthwise convolution of Chen et al., "MobileFaceNets", 2018 (arXiv:1804.07573), but the weights
    are those of cosines, so that they fit images of other sizes. With fewer than 4 places in a row (images below 97 px
    in a ResNet) some cosines coincide or vanish there: patterns learnt at such a size mean something else at others.
    """

    @nn.compact
    def __call__(self, x: FeatureMap) -> Float[Array, "batch channels"]:
        """Pool over height and width."""
        height, width, channels = x.shape[1:]
        init = nn.initializers.normal(1 / WAVES)
        coefficients = self.param("coefficients", init, (WAVES, WAVES, channels)).astype(x.dtype)
        waves = _cosines(height, x.dtype), _cosines(width, x.dtype)
        # By default GPUs and TPUs multiply matrices with fewer digits than coordinates need.
        weights = jnp.einsum("hi,wj,ijc->hwc", *waves, coefficients, precision="highest")
        return (x * weights[None]).mean(axis=(1, 2))


def pooling_weights(coefficients: np.ndarray, size: int) -> Float[np.ndarray, "size size channels"]:
    """Weight of each place and channel in `WeightedPooling` of square features; 1 is the weight of a plain mean."""
    waves = _cosines(size, np.float64)
    return np.einsum("hi,wj,ijc->hwc", waves, waves, np.asarray(coefficients, np.float64))


def _cosines(length: int, dtype: Any) -> Float[np.ndarray, "length {WAVES}"]:
    """Cosines (DCT-II) of frequencies 0, 1, .. at `length` places; from 4 on orthonormal, with a mean square of 1."""
    places = (np.arange(length)[:, None] + 0.5) / length
    waves = np.cos(np.pi * places * np.arange(WAVES)) * np.where(np.arange(WAVES) == 0, 1, math.sqrt(2))
    return waves.astype(dtype)


@dataclasses.dataclass(frozen=True)
class DenseHead(Head):
    """Pooling over the image and a dense layer of two units per point, and one more each for sigma and visibility."""

    name = "dense"

    pooling: Literal["mean", "weighted"] = "mean"
    """Pooling before the dense layer: the mean over the image, or weighted: a learnt pattern of weights per channel."""
    visible: bool = False
    """Whether to also predict which points are seen, and not hidden."""

    def can_use(self, layer: str) -> bool:
        """Whether the head can start from a head's layer of that name."""
        return layer in (HEAD, SIGMA, POOLING) or (layer == VISIBLE and self.visible)

    def predict(self, pyramid: Pyramid, num_points: int, *, sigma: bool, init_scale: float) -> Prediction:
        """As `Head.predict`."""
        # Pooled and regressed in float32: coordinates need more digits than bfloat16 has.
        wide = pyramid[-1].astype(at_least_float32(pyramid[-1]))
        pooled = wide.mean(axis=(1, 2)) if self.pooling == "mean" else WeightedPooling(name=POOLING)(wide)
        kernel_init = nn.initializers.variance_scaling(init_scale**2, "fan_in", "normal")

        def dense(name: str, values: int, start: float = 0.0) -> Array:
            bias_init = nn.initializers.constant(start)
            return nn.Dense(values * num_points, kernel_init=kernel_init, bias_init=bias_init, name=name)(pooled)

        landmarks = dense(HEAD, 2).reshape(-1, num_points, 2)
        log_sigma = dense(SIGMA, 1, math.log(FIRST_SIGMA)) if sigma else None
        logit = dense(VISIBLE, 1, math.log(FIRST_VISIBLE / (1 - FIRST_VISIBLE))) if self.visible else None
        return Prediction(landmarks, log_sigma, logit)

    def start_at(self, params: dict[str, Any], mean_face: Float[Array, "points 2"]) -> dict[str, Any]:
        """As `Head.start_at`: the mean face is the bias."""
        return params | {HEAD: params[HEAD] | {"bias": mean_face.reshape(-1)}}

    def adopt(self, params: dict[str, Any], other: Head) -> dict[str, Any]:
        """As `Head.adopt`; a plain mean becomes the same mean as a pattern, and visibility may be new or left out.

        Raises ConfigError for a plain mean where the other head has patterns, and for a dense head where the other one
        does more, such as the refined head: without it the weights would predict something else.
        """
        if not isinstance(other, DenseHead):
            return super().adopt(params, other)
        if not isinstance(self, type(other)):
            reason = f"the weights to start from have the head {other.name}; give it, too"
            raise ConfigError(reason, field="model.head.name", value=self.name)
        if (self.pooling, other.pooling) == ("mean", "weighted"):
            reason = "the weights to start from have a head that weighs places; give weighted"
            raise ConfigError(reason, field="model.head.pooling", value=self.pooling)
        if other == self:
            return params
        own = {name: layer for name, layer in params.items() if not in_head(name) or self.can_use(name)}
        if (self.pooling, other.pooling) == ("weighted", "mean"):
            coefficients = np.zeros((WAVES, WAVES, params[HEAD]["kernel"].shape[0]), np.float32)
            coefficients[0, 0] = 1
            own[POOLING] = {"coefficients": coefficients}
        return own

    def convert(self, params: dict[str, Any], weights: Float[np.ndarray, "new old"]) -> dict[str, Any]:
        """As `Head.convert`: the predicted points are the same means, as are logarithms of sigma and logits."""
        mixed = {}
        for name, values in ((HEAD, 2), (SIGMA, 1), (VISIBLE, 1)):
            if name in params:
                mix = np.kron(weights, np.eye(values)).T  # the values of a point lie side by side
                mixed[name] = {part: np.asarray(array) @ mix for part, array in params[name].items()}
        return params | mixed
