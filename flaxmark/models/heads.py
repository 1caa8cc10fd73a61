"""Heads: from a backbone's features to landmarks."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import flax.struct
import jax

from flaxmark.models.batch_norm import at_least_float32
from flaxmark.schema import Choice

FIRST_SIGMA = 0.05
"""Crop units: the error of the mean face, with which a network starts, is about that."""


@flax.struct.dataclass
class Prediction:
    """What a network predicts for a batch of faces.

    Attributes:
        landmarks: float32 `[batch, num_points, 2]`, crop units.
        log_sigma: float32 `[batch, num_points]`, log of the expected error in crop units, or None.
    """

    landmarks: jax.Array
    log_sigma: jax.Array | None = None


class Head(Choice):
    """A head, chosen by name; a member is a frozen dataclass with a `name` and these two methods."""

    default_name = "dense"

    def predict(self, features: jax.Array, num_points: int, *, sigma: bool, init_scale: float) -> Prediction:
        """Create the head's layers and apply them.

        Args:
            features: `[batch, height, width, channels]`, in the backbone's dtype.
            num_points: Points per face.
            sigma: Also predict `log_sigma`.
            init_scale: Kernels start at this multiple of LeCun's normal initialisation.

        Returns:
            The prediction. The names of all layers start with `head`, so that `init-from` can leave them out.
        """
        raise NotImplementedError

    def start_at(self, params: dict[str, Any], mean_face: jax.Array) -> dict[str, Any]:
        """Fresh parameters, changed so that the network predicts the mean face float32 `[num_points, 2]`."""
        return params


@dataclasses.dataclass(frozen=True)
class DenseHead(Head):
    """Global average pooling and a dense layer of two units per point, and one more for sigma."""

    name = "dense"

    def predict(self, features: jax.Array, num_points: int, *, sigma: bool, init_scale: float) -> Prediction:
        """As `Head.predict`."""
        # Pooled and regressed in float32: a coordinate needs more digits than bfloat16 has.
        pooled = features.astype(at_least_float32(features)).mean(axis=(1, 2))
        kernel_init = nn.initializers.variance_scaling(init_scale**2, "fan_in", "normal")
        flat = nn.Dense(2 * num_points, kernel_init=kernel_init, name="head")(pooled)
        landmarks = flat.reshape(-1, num_points, 2)
        if not sigma:
            return Prediction(landmarks)
        start = nn.initializers.constant(math.log(FIRST_SIGMA))
        log_sigma = nn.Dense(num_points, kernel_init=kernel_init, bias_init=start, name="head_sigma")(pooled)
        return Prediction(landmarks, log_sigma)

    def start_at(self, params: dict[str, Any], mean_face: jax.Array) -> dict[str, Any]:
        """The mean face is the bias."""
        return params | {"head": params["head"] | {"bias": mean_face.reshape(-1)}}
