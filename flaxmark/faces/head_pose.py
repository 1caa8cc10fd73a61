"""Head pose: the rotation of a mean head, seen from far away, that a face's landmarks show.

It is that of the affine camera which maps the mean head onto the landmarks with the least weighted squared error (Gold
Standard algorithm, Hartley and Zisserman, "Multiple View Geometry", 2nd edition, section 14.2), its rows made
orthogonal and equally long.

Yaw, pitch and roll in degrees, 0 for a face that looks into the camera, upright. Positive yaw turns the nose to the
image's right, positive pitch turns it down, and positive roll turns the head clockwise in the image. The head rolls
last: the rotation matrix is that of roll times that of pitch times that of yaw.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from flaxmark.faces.missing import present

FLAT = 0.1
"""Smallest extent of the points of a head in any direction for a fit, relative to the largest."""

LEAST_WEIGHT = 4.99  # five points of weight 1, whatever the sums of their parts round to
"""Smallest sum of the weights of the points that are there."""

NARROW = 0.25
"""Least area of a projection relative to the squares of its lengths, at most 0.5: other points are no face."""


class AngleLibrary(Protocol):
    """Functions of NumPy, JAX or an exported graph."""

    def sqrt(self, x: Any, /) -> Any:
        """Square root."""

    def arctan2(self, y: Any, x: Any, /) -> Any:
        """Angle of (x, y) in radians."""


def rotation(yaw: float, pitch: float, roll: float) -> Float[np.ndarray, "3 3"]:
    """Rotation matrix of a head, for column vectors: x to the image's right, y down, z towards the camera."""
    a, b, c = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def fit_matrix(
    head: Float[np.ndarray, "points 3"], weights: Float[np.ndarray, " points"]
) -> Float[np.ndarray, "3 points"] | None:
    """Linear map from landmarks `[points, 2]` to the projection `[3, 2]` of the head with the least squared error.

    The head `[points, 3]` times the projection, shifted, gives the landmarks. None where the head's points are nearly
    in a plane, which leaves the projection open.
    """
    centred = head - weights @ head / weights.sum()
    weighted = weights[:, None] * centred
    extents = np.linalg.eigvalsh(weighted.T @ centred)
    if not extents[0] > FLAT**2 * extents[-1]:
        return None
    return np.linalg.solve(weighted.T @ centred, weighted.T)


def angles(library: AngleLibrary, u: Sequence[Any], v: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Yaw, pitch and roll in degrees from the columns u (to the image's x) and v (to its y) of a projection.

    Their cross product points forward. Roll is that of the orthogonal columns of equal length that are nearest to them:
    (u v) times the inverse square root of the matrix S of their products. Of two columns that is, but for a factor,
    the inverse of S + sqrt(det S) I; sqrt(det S) is the length of the cross product.
    """
    uu, uv, vv = (a[0] * b[0] + a[1] * b[1] + a[2] * b[2] for a, b in ((u, u), (u, v), (v, v)))
    right, down, forward = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
    area = library.sqrt(right * right + down * down + forward * forward)
    yaw = library.arctan2(-1.0 * right, forward)
    pitch = library.arctan2(-1.0 * down, library.sqrt(right * right + forward * forward))
    roll = library.arctan2(uv * v[1] - (vv + area) * u[1], (uu + area) * v[1] - uv * u[1])
    degrees = 180 / np.pi
    return yaw * degrees, pitch * degrees, roll * degrees


def head_poses(
    landmarks: Float[np.ndarray, "*faces points 2"],
    head: Float[np.ndarray, "points 3"],
    weights: Float[np.ndarray, " points"],
) -> Float[np.ndarray, "*faces 3"]:
    """Yaw, pitch and roll of faces in degrees; NaN where too few points are there, or where they form no face."""
    points = np.asarray(landmarks, np.float64)
    there = present(points)
    poses = np.full((*there.shape[:-1], 3), np.nan)
    for known in np.unique(there[there @ weights >= LEAST_WEIGHT], axis=0):
        matrix = fit_matrix(head[known], weights[known])
        if matrix is not None:
            faces = (there == known).all(axis=-1)
            poses[faces] = _poses(points[faces][:, known], matrix)
    return poses


def _poses(points: Float[np.ndarray, "n known 2"], matrix: Float[np.ndarray, "3 known"]) -> Float[np.ndarray, "n 3"]:
    """As `head_poses`, for faces with the same points, from the matrix of `fit_matrix` for them."""
    u, v = np.moveaxis(matrix @ (points - points[:, :1]), -1, 0)
    area, size = np.linalg.norm(np.cross(u, v), axis=-1), (u * u + v * v).sum(axis=-1)
    found = np.stack(angles(np, tuple(u.T), tuple(v.T)), axis=-1)
    return np.where((area > NARROW * size)[:, None], found, np.nan)
