"""Missing points: landmarks that an annotation does not give.

A missing point is NaN, NaN in every array of landmarks. Nothing else marks it, so that the mark stays with its point
through crops, flips and files.
"""

from typing import TYPE_CHECKING, Any, overload

import numpy as np
from jaxtyping import Bool, Float, Float64

if TYPE_CHECKING:  # readers and their worker processes need no JAX
    from jax import Array


@overload
def present(landmarks: Float[np.ndarray, "*faces points 2"]) -> Bool[np.ndarray, "*faces points"]: ...
@overload
def present(landmarks: "Float[Array, '*faces points 2']") -> "Bool[Array, '*faces points']": ...
def present(landmarks: Any) -> Any:
    """Whether each point is there, from landmarks `[..., points, 2]` of NumPy or JAX."""
    return (landmarks == landmarks).all(axis=-1)  # NaN alone differs from itself


def count_missing(landmarks: Float[np.ndarray, "*faces points 2"]) -> int:
    """Number of missing points."""
    return int((~present(landmarks)).sum())


def mean_where(
    values: Float[np.ndarray, "..."], there: Bool[np.ndarray, "..."], axis: int | tuple[int, ...] | None = None
) -> Float[np.ndarray, "..."]:
    """Mean of the values that are there, along axes; NaN where none is. With all of them it is `np.mean`."""
    values = np.asarray(values)
    there = np.broadcast_to(there, values.shape)
    total = np.where(there, values, 0).sum(axis=axis, dtype=values.dtype)
    count = there.sum(axis=axis)
    return np.divide(total, count, out=np.full_like(total, np.nan, dtype=np.result_type(total, 1.0)), where=count > 0)


def mean_points(landmarks: Float[np.ndarray, "faces points 2"]) -> Float64[np.ndarray, "points 2"]:
    """Mean position of each point over the faces that have it; NaN for a point that no face has."""
    return mean_where(np.asarray(landmarks, np.float64), present(landmarks)[..., None], axis=0)


def mean_shape(landmarks: Float[np.ndarray, "faces points 2"], rounds: int = 5) -> Float64[np.ndarray, "points 2"]:
    """Mean of faces that are shifted, rotated and scaled onto each other, in the unit of the faces.

    Where each point is known of other faces, this is closer to the shape of a face than `mean_points`, which also
    averages where the faces lie. Gower, "Generalized Procrustes analysis", Psychometrika 1975, with missing points.
    """
    z, there = np.asarray(landmarks, np.float64) @ np.array([1, 1j]), present(landmarks)
    mean = mean_points(landmarks) @ np.array([1, 1j])
    for _ in range(rounds):
        middles = mean_where(z, there, axis=1)[:, None]
        target = np.broadcast_to(mean, z.shape)
        target_middles = mean_where(target, there, axis=1)[:, None]
        faces, wanted = (np.where(there, part, 0) for part in (z - middles, target - target_middles))
        turns = (faces.conj() * wanted).sum(axis=1) / np.square(np.abs(faces)).sum(axis=1)
        mean = mean_where(turns[:, None] * faces + target_middles, there, axis=0)
    return np.stack([mean.real, mean.imag], axis=-1)
