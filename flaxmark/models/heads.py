"""Heads: from a backbone's features to landmarks."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import flax.struct
from jaxtyping import Array, Float

from flaxmark.models.batch_norm import at_least_float32
from flaxmark.schema import Choice

FIRST_SIGMA = 0.05
"""First sigma, crop units: about the error of the mean face, which a fresh network predicts."""


@flax.struct.dataclass
class Prediction:
    """What a network predicts for a batch of faces."""

    landmarks: Float[Array, "batch points 2"]
    """Crop units."""
    log_sigma: Float[Array, "batch points"] | None = None
    """Logarithm of the expected error in crop units, or None."""


class Head(Choice):
    """Base of all heads, which are chosen by name: a head is a frozen dataclass with a `name` and these two methods."""

    default_name = "dense"

    def predict(
        self, features: Float[Array, "batch height width channels"], num_points: int, *, sigma: bool, init_scale: float
    ) -> Prediction:
        """Create the head's layers and apply them.

        Args:
            features: Output of the backbone, in its dtype.
            num_points: Points per face.
            sigma: Whether to predict `log_sigma`, too.
            init_scale: Kernels start at this multiple of LeCun's normal initialisation.

        Returns:
            The prediction. The names of all layers must start with `head`: `init-from` leaves those out.
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


@dataclasses.dataclass(frozen=True)
class DenseHead(Head):
    """Global average pooling and a dense layer of two units per point, and one more for sigma."""

    name = "dense"

    def predict(
        self, features: Float[Array, "batch height width channels"], num_points: int, *, sigma: bool, init_scale: float
    ) -> Prediction:
        """As `Head.predict`."""
        # Pooled and regressed in float32: coordinates need more digits than bfloat16 has.
        pooled = features.astype(at_least_float32(features)).mean(axis=(1, 2))
        kernel_init = nn.initializers.variance_scaling(init_scale**2, "fan_in", "normal")
        flat = nn.Dense(2 * num_points, kernel_init=kernel_init, name="head")(pooled)
        landmarks = flat.reshape(-1, num_points, 2)
        if not sigma:
            return Prediction(landmarks)
        start = nn.initializers.constant(math.log(FIRST_SIGMA))
        log_sigma = nn.Dense(num_points, kernel_init=kernel_init, bias_init=start, name="head_sigma")(pooled)
        return Prediction(landmarks, log_sigma)

    def start_at(self, params: dict[str, Any], mean_face: Float[Array, "points 2"]) -> dict[str, Any]:
        """As `Head.start_at`: the mean face is the bias."""
        return params | {"head": params["head"] | {"bias": mean_face.reshape(-1)}}
