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
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def mean_points(landmarks: Float[np.ndarray, "faces points 2"]) -> Float64[np.ndarray, "points 2"]:
    """Mean position of each point over the faces that have it; NaN for a point that no face has."""
    return mean_where(np.asarray(landmarks, np.float64), present(landmarks)[..., None], axis=0)
