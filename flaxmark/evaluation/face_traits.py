"""Traits that make a face hard: head yaw from its landmarks, sharpness from its pixels."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

TRAIT_SIZE = 112
"""Side in pixels at which sharpness is measured, the same for all runs so that it can be compared."""

# Without the jaw, whose points move along the visible contour as the head turns.
RIGID = slice(17, 68)


def head_yaw(landmarks: Float[np.ndarray, "*faces 68 2"]) -> Float[np.ndarray, "*faces"]:
    """Rotation of heads about the vertical axis in degrees, positive where the nose points to the image's right.

    From the 68 points alone, in any unit with y downwards: the affine camera that maps the mean head onto them in the
    least squares sense (Gold Standard algorithm, Hartley and Zisserman, "Multiple View Geometry", 2nd edition, section
    14.2), its rows made orthonormal.
    """
    head = _mean_head()
    points = np.asarray(landmarks, np.float64)[..., RIGID, :]
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
