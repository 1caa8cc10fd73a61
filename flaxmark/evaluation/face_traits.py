"""What makes a face hard, read from its points and pixels: pose, size, blur."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

# One size for all runs, so that the sharpness of a face is the same in each.
TRAIT_SIZE = 112
# The jaw is not a place on the head: its points move along the visible contour as the head turns.
RIGID = slice(17, 68)


def head_yaw(landmarks: np.ndarray) -> np.ndarray:
    """How far heads are turned, from their points alone.

    The affine camera that maps the mean head onto the points in the least squares sense (Gold Standard algorithm,
    Hartley and Zisserman, "Multiple View Geometry", 2nd edition, section 14.2), its rows made orthonormal.

    Args:
        landmarks: `[..., 68, 2]`, any unit, y downwards.

    Returns:
        float64 `[...]`, degrees, positive where the nose points to the image's right.
    """
    head = _mean_head()
    points = np.asarray(landmarks, np.float64)[..., RIGID, :]
    camera = np.einsum("kp,...pc->...ck", np.linalg.pinv(head), points - points.mean(axis=-2, keepdims=True))
    # The nearest matrix with orthonormal rows; the third row is what is left for the line of sight.
    left, _, right = np.linalg.svd(camera, full_matrices=False)
    sight = np.cross(*np.moveaxis(left @ right, -2, 0))
    return np.degrees(np.arctan2(-sight[..., 0], sight[..., 2]))


@functools.cache
def _mean_head() -> np.ndarray:
    """float64 `[51, 3]`: the points of the drawn mean head that are fixed to it, about their mean; face units."""
    from flaxmark.data.drawn.head.parameters import FaceParameters
    from flaxmark.data.drawn.head.shape import Head

    head = Head(FaceParameters())
    points = head.lift(head.points)[RIGID]
    return points - points.mean(axis=0)


def sharpness(image: jax.Array) -> jax.Array:
    """How sharp an image is: the variance of its Laplacian over that of its brightness.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000; divided by the variance of the
    brightness so that contrast does not count as sharpness.

    Args:
        image: float32 `[height, width, 3]`, any range; compare images of one size only.

    Returns:
        float32 `[]`, at least 0; 0 for an even image.
    """
    grey = image.mean(axis=-1)
    grey = grey - grey.mean()  # float32 keeps more of small numbers
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    spread = inner.var()
    return jnp.where(spread > 0, laplacian.var() / jnp.where(spread > 0, spread, 1.0), 0.0)
