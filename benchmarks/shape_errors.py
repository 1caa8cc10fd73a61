"""How predicted face shapes differ from true ones: constants of each point, ratios, and modes of shape.

All shapes are 68 points in the face's own frame: the outer eye corners of the true landmarks lie at (-0.5, 0) and
(0.5, 0), and y points down.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from flaxmark.faces.head_pose import rotation
from flaxmark.faces.markup import IBUG_68

Shapes = Float[np.ndarray, "n 68 2"]
LEFT_EYE, RIGHT_EYE = (36, 39), (42, 45)
MIRRORED = list(IBUG_68.flip_order or ())


def _length(shapes: Shapes, first: int, second: int) -> Float[np.ndarray, " n"]:
    return np.linalg.norm(shapes[:, first] - shapes[:, second], axis=-1)


def _below_eyes(shapes: Shapes, points: list[int]) -> Float[np.ndarray, " n"]:
    """Distance of the mean of points from the middle between the outer eye corners."""
    return np.linalg.norm(shapes[:, points].mean(axis=1) - shapes[:, [36, 45]].mean(axis=1), axis=-1)


def _openness(shapes: Shapes) -> Float[np.ndarray, " n"]:
    """Height of the eyes relative to their width."""
    heights = sum(_length(shapes, a, b) for a, b in ((37, 41), (38, 40), (43, 47), (44, 46))) / 2
    return np.asarray(heights / (_length(shapes, *LEFT_EYE) + _length(shapes, *RIGHT_EYE)))


RATIOS: Mapping[str, Callable[[Shapes], Float[np.ndarray, " n"]]] = {
    "mouth width": lambda s: _length(s, 48, 54) / _length(s, 36, 45),
    "eyes to nose base": lambda s: _below_eyes(s, [33]) / _length(s, 36, 45),
    "eyes to mouth": lambda s: _below_eyes(s, [48, 54]) / _length(s, 36, 45),
    "eyes to chin": lambda s: _below_eyes(s, [8]) / _length(s, 36, 45),
    "eye corners to jaw": lambda s: _length(s, 36, 45) / _length(s, 0, 16),
    "eye openness": _openness,
    "brow gap": lambda s: _length(s, 21, 22) / _length(s, 36, 45),
    "brow height": lambda s: np.abs(s[:, 17:27, 1].mean(axis=1) - s[:, 36:48, 1].mean(axis=1)) / _length(s, 36, 45),
    "nose width": lambda s: _length(s, 31, 35) / _length(s, 36, 45),
    "inner eye distance": lambda s: _length(s, 39, 42) / _length(s, 36, 45),
    "lip gap": lambda s: _length(s, 62, 66) / _length(s, 36, 45),
}
"""Ratios of lengths, relative to the distance of the outer eye corners unless they say otherwise."""


def in_face_frame(points: Shapes, true: Shapes) -> Shapes:
    """Points in pixels in the frame of the true landmarks."""
    z, w = (np.asarray(values, np.float64) @ np.array([1, 1j]) for values in (points, true))
    left, right = w[:, 36, None], w[:, 45, None]
    z = (z - (left + right) / 2) / (right - left)
    return np.stack([z.real, z.imag], axis=-1)


def mirror(shapes: Shapes) -> Shapes:
    """Mirrored shapes, their points in the usual order."""
    return shapes[:, MIRRORED] * (-1, 1)


def constants(predicted: Shapes, true: Shapes) -> Float[np.ndarray, "68 2"]:
    """What to add to each predicted point on average, the same on both sides of the face."""
    differences = true - predicted
    return (differences.mean(axis=0) + mirror(differences).mean(axis=0)) / 2


def habits(
    predicted: Shapes, true: Shapes, yaw: Float[np.ndarray, " n"], pitch: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "68 5"]:
    """What to add to each predicted point on the head, the same on both sides, of heads turned by degrees.

    To the right, down and forward, and right and down once more times the sine of the yaw without its sign; in units
    of the distance of the outer eye corners. By least squares; what heads that all look the same way cannot tell apart
    is as small as possible.
    """
    differences = np.concatenate([true - predicted, mirror(true - predicted)])
    axes = head_axes(np.concatenate([yaw, -yaw]), np.concatenate([pitch, pitch]))
    turned = np.abs(np.sin(np.radians(np.concatenate([yaw, yaw]))))
    causes = np.concatenate([axes, turned[:, None, None] * axes[..., :2]], axis=-1)
    moves = differences.transpose(0, 2, 1).reshape(-1, true.shape[1])
    return np.linalg.lstsq(causes.reshape(-1, causes.shape[-1]), moves)[0].T


def head_axes(yaw: Float[np.ndarray, " n"], pitch: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2 3"]:
    """A head's unit vectors to the right, down and forward in the face frame, as columns; angles in degrees."""
    turns = np.array([rotation(a, b, 0.0) for a, b in zip(yaw, pitch, strict=True)])
    image = turns[:, 0] + 1j * turns[:, 1]
    image /= image[:, :1]  # of the line of the eyes, which is level and of length 1 there
    return np.stack([image.real, image.imag], axis=1)


def sideways(predicted: Shapes, true: Shapes) -> float:
    """How far predictions have to move to the image's right on average."""
    return float((true - predicted)[..., 0].mean())


def correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Pearson's correlation; NaN without variation."""
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else float("nan")


def modes(shapes: Shapes, count: int) -> tuple[Float[np.ndarray, " 136"], Float[np.ndarray, "count 136"]]:
    """Mean and first principal components of shapes and of their mirror images."""
    both = np.concatenate([shapes, mirror(shapes)]).reshape(-1, 136)
    mean = both.mean(axis=0)
    return mean, np.linalg.svd(both - mean, full_matrices=False)[2][:count]


def learnt(
    predicted: Shapes, true: Shapes, mean: Float[np.ndarray, " 136"], components: Float[np.ndarray, "count 136"]
) -> Float[np.ndarray, " count"]:
    """Share of the variance of each component that predictions explain (R2); their mean error does not count."""
    found, own = ((shapes.reshape(-1, 136) - mean) @ components.T for shapes in (predicted, true))
    residual = (found - own) - (found - own).mean(axis=0)
    return np.asarray(1 - residual.var(axis=0) / own.var(axis=0))
