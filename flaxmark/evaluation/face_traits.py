"""Traits that make a face hard: head yaw from its landmarks, sharpness from its pixels."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flaxmark.faces.missing import present

TRAIT_SIZE = 112
"""Side in pixels at which sharpness is measured, the same for all runs so that it can be compared."""

# Without the jaw, whose points move along the visible contour as the head turns.
RIGID = slice(17, 68)
MIN_POINTS = 12
"""Fewer points do not tell how a head is turned."""


def head_yaw(landmarks: Float[np.ndarray, "*faces 68 2"]) -> Float[np.ndarray, "*faces"]:
    """Rotation of heads about the vertical axis in degrees, positive where the nose points to the image's right.

    From the 68 points alone, in any unit with y downwards: the affine camera that maps the mean head onto them in the
    least squares sense (Gold Standard algorithm, Hartley and Zisserman, "Multiple View Geometry", 2nd edition, section
    14.2), its rows made orthonormal. Missing points are left out; NaN where fewer than `MIN_POINTS` are there.
    """
    points = np.asarray(landmarks, np.float64)[..., RIGID, :]
    there = present(points)
    if there.all():
        return _yaw(points, _mean_head())
    found = np.full(there.shape[:-1], np.nan)
    for known in np.unique(there[there.sum(axis=-1) >= MIN_POINTS], axis=0):
        faces = (there == known).all(axis=-1)
        head = _mean_head()[known]
        found[faces] = _yaw(points[faces][:, known], head - head.mean(axis=0))
    return found


def _yaw(points: Float[np.ndarray, "*faces m 2"], head: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "*faces"]:
    """As `head_yaw`, from some points and the same of the mean head about their centroid."""
    camera = np.einsum("kp,...pc->...ck", np.linalg.pinv(head), points - points.mean(axis=-2, keepdims=True))
    # The nearest matrix with orthonormal rows; their cross product is the line of sight.
    left, _, right = np.linalg.svd(camera, full_matrices=False)
    sight = np.cross(*np.moveaxis(left @ right, -2, 0))
    return np.degrees(np.arctan2(-sight[..., 0], sight[..., 2]))


@functools.cache
def _mean_head() -> Float[np.ndarray, "51 3"]:
    """Rigid points of the drawn mean head about their centroid, face units."""
    from flaxmark.data.drawn.head.parameters import FaceParameters
    from flaxmark.data.drawn.head.shape import Head

    head = Head(FaceParameters())
    points = head.lift(head.points)[RIGID]
    return points - points.mean(axis=0)


def sharpness(image: Float[Array, "height width 3"]) -> Float[Array, ""]:
    """Sharpness of an image: the variance of its Laplacian over that of its brightness; 0 for an even image.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000; divided by the variance of the
    brightness so that contrast does not count as sharpness. Only images of the same size can be compared.
    """
    grey = image.mean(axis=-1)
    grey = grey - grey.mean()  # small numbers are more precise in float32
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    spread = inner.var()
    return jnp.where(spread > 0, laplacian.var() / jnp.where(spread > 0, spread, 1.0), 0.0)
