"""Other landmark schemes of a drawn face, computed from its 68 points."""

from collections.abc import Sequence

import numpy as np

from flaxmark.data.drawn.arrays import Floats, Mask, Points

Weights = dict[int, float]
"""Weight of each of the 68 points, by its index, in one point of another scheme."""


def convert_landmarks(landmarks: Floats, markup: str) -> Floats:
    """Convert 68 points `[..., 68, 2]`, in any unit, to `ibug_68`, `five_points` or `wflw_98`.

    Each point is a weighted mean of the 68, exact where both schemes define the same place. Raises ValueError for
    another scheme.
    """
    return landmarks if markup == "ibug_68" else point_weights(markup) @ landmarks


def convert_visible(visible: Mask, markup: str) -> Mask:
    """Which points of `ibug_68`, `five_points` or `wflw_98` are seen, from the 68 that are, `[..., 68]`.

    A mean of several points is seen where at least half of its weight is. Raises ValueError for another scheme.
    """
    if markup == "ibug_68":
        return visible
    weights = np.abs(point_weights(markup))
    # Half of the weight may be less than one half by a rounding error.
    return np.asarray(visible @ weights.T > 0.499 * weights.sum(1))


def point_weights(markup: str) -> Points:
    """Weights `[points, 68]` of the 68 points in each point of `five_points` or `wflw_98`; else as above."""
    places = {"five_points": _five_points, "wflw_98": _wflw_98}
    if markup not in places:
        raise ValueError(f"drawn faces have the points of ibug_68, {' or '.join(places)}, not of {markup}")
    weights = places[markup]()
    matrix = np.zeros((len(weights), 68))
    for row, point in zip(matrix, weights, strict=True):
        row[list(point)] = list(point.values())
    return matrix


def _five_points() -> list[Weights]:
    """Centres of the eyes, tip of the nose, corners of the mouth."""
    return [_mean(range(36, 42)), _mean(range(42, 48)), {30: 1}, {48: 1}, {54: 1}]


def _wflw_98() -> list[Weights]:
    """Points in the order of WFLW: finer jaw and eyes, brows with a lower edge, pupils."""
    left_brow, right_brow = range(17, 22), range(22, 27)
    return [
        *_halved(range(17)),
        *_own(left_brow),
        *_lower_edge(list(reversed(left_brow)), 39, 36),
        *_own(right_brow),
        *reversed(_lower_edge(right_brow, 42, 45)),
        *_own(range(27, 36)),
        *_eye(range(36, 42)),
        *_eye(range(42, 48)),
        *_own(range(48, 68)),
        _mean(range(36, 42)),
        _mean(range(42, 48)),
    ]


def _own(points: Sequence[int]) -> list[Weights]:
    return [{point: 1.0} for point in points]


def _mean(points: Sequence[int]) -> Weights:
    return dict.fromkeys(points, 1 / len(points))


def _between(first: int, second: int, share: float) -> Weights:
    return {first: 1 - share, second: share}


def _halved(points: Sequence[int]) -> list[Weights]:
    """Points of a line and those halfway between them, on the cubic through the nearest four."""
    placed: list[Weights] = []
    for i, point in enumerate(points[:-1]):
        inner = 0 < i < len(points) - 2
        half = dict(zip(points[i - 1 : i + 3], (-1 / 16, 9 / 16, 9 / 16, -1 / 16), strict=True)) if inner else None
        placed += [{point: 1.0}, half or _between(point, points[i + 1], 0.5)]
    return [*placed, {points[-1]: 1.0}]


def _lower_edge(brow: Sequence[int], inner: int, outer: int) -> list[Weights]:
    """Four points of a brow's lower edge: between its points, an eighth of the way to the eye.

    `brow` begins at its inner end; `inner` and `outer` are the corners of the eye below.
    """
    edge = []
    for i in range(4):
        share = (i + 0.5) / 4
        corners = {inner: (1 - share) / 8, outer: share / 8}
        edge.append({brow[i]: 7 / 16, brow[i + 1]: 7 / 16} | corners)
    return edge


def _eye(points: Sequence[int]) -> list[Weights]:
    """Eight points of an eye from its six: a quarter, half and three quarters along each lid."""
    a, b, c, d, e, f = points
    upper = [_between(a, b, 0.75), _between(b, c, 0.5), _between(c, d, 0.25)]
    lower = [_between(d, e, 0.75), _between(e, f, 0.5), _between(f, a, 0.25)]
    return [{a: 1.0}, *upper, {d: 1.0}, *lower]
