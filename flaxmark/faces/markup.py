"""Landmark schemes (mark-ups): number, names and mirror images of the points of a face."""

import dataclasses
from typing import Any

import numpy as np

from flaxmark.errors import DataError


@dataclasses.dataclass(frozen=True)
class Markup:
    """A scheme of points on a face; all indices start at 0.

    Attributes:
        name: Name of the scheme.
        num_points: Points per face.
        flip_order: `num_points` indices; point i of a mirrored face is point `flip_order[i]` of the face. None if
            faces must not be mirrored.
        parts: Name of a part -> the indices of its points.
        outlines: Points that a drawing joins, in order; closed lines end with their first point.
        interocular: The two points whose distance normalises errors (outer eye corners).
        eyes: The points of the left and of the right eye, whose centres give the inter-pupil distance.

    Raises:
        DataError: An index out of range, or a flip order that is not its own inverse; the reason names the field.
    """

    name: str
    num_points: int
    flip_order: tuple[int, ...] | None
    parts: dict[str, tuple[int, ...]] = dataclasses.field(hash=False)
    outlines: tuple[tuple[int, ...], ...]
    interocular: tuple[int, int]
    eyes: tuple[tuple[int, ...], tuple[int, ...]]

    def __post_init__(self) -> None:
        """Check all indices."""
        groups = {"interocular": self.interocular, "eyes[0]": self.eyes[0], "eyes[1]": self.eyes[1]}
        groups |= {f"parts.{name}": points for name, points in self.parts.items()}
        groups |= {f"outlines[{i}]": line for i, line in enumerate(self.outlines)}
        for field, points in groups.items():
            if not points:
                raise DataError(f"{field} is empty")
            for point in points:
                if not 0 <= point < self.num_points:
                    raise DataError(f"{field} has point {point}; there are 0 to {self.num_points - 1}")
        if self.interocular[0] == self.interocular[1]:
            raise DataError(f"interocular is point {self.interocular[0]} twice: it has no length to divide by")
        order = self.flip_order
        if order is None:
            return
        if len(order) != self.num_points:
            raise DataError(f"flip_order has {len(order)} entries for {self.num_points} points")
        for point, other in enumerate(order):
            if not 0 <= other < self.num_points:
                raise DataError(f"flip_order[{point}] is {other}; there are 0 to {self.num_points - 1}")
            if order[other] != point:
                raise DataError(
                    f"flip_order[{point}] is {other}, but flip_order[{other}] is {order[other]}: "
                    "two points that mirror onto each other must name each other"
                )


def _mirror(*pairs: tuple[range, range]) -> tuple[int, ...]:
    """The permutation that swaps each pair of ranges."""
    order = {a: b for left, right in pairs for a, b in zip(left, right, strict=True)}
    return tuple(order[i] for i in range(len(order)))


# Sagonas et al., "300 Faces in-the-Wild Challenge", ICCV workshops 2013, figure 1; 0-based.
IBUG_68 = Markup(
    name="ibug_68",
    num_points=68,
    flip_order=_mirror(
        (range(0, 17), range(16, -1, -1)),  # jaw
        (range(17, 27), range(26, 16, -1)),  # brows
        (range(27, 31), range(27, 31)),  # nose bridge
        (range(31, 36), range(35, 30, -1)),  # nostrils
        (range(36, 40), range(45, 41, -1)),  # left eye: outer corner, over the top to the inner corner
        (range(40, 42), range(47, 45, -1)),  # left eye: lower lid
        (range(42, 46), range(39, 35, -1)),
        (range(46, 48), range(41, 39, -1)),
        (range(48, 55), range(54, 47, -1)),  # outer lip, upper
        (range(55, 60), range(59, 54, -1)),  # outer lip, lower
        (range(60, 65), range(64, 59, -1)),  # inner lip, upper
        (range(65, 68), range(67, 64, -1)),  # inner lip, lower
    ),
    parts={
        "jaw": tuple(range(0, 17)),
        "brows": tuple(range(17, 27)),
        "nose": tuple(range(27, 36)),
        "eyes": tuple(range(36, 48)),
        "mouth": tuple(range(48, 68)),
    },
    outlines=(
        tuple(range(0, 17)),  # jaw
        tuple(range(17, 22)),  # brows
        tuple(range(22, 27)),
        tuple(range(27, 31)),  # nose
        tuple(range(31, 36)),
        (*range(36, 42), 36),  # eyes
        (*range(42, 48), 42),
        (*range(48, 60), 48),  # lips
        (*range(60, 68), 60),
    ),
    interocular=(36, 45),
    eyes=(tuple(range(36, 42)), tuple(range(42, 48))),
)


def flip_landmarks(landmarks: Any, markup: Markup = IBUG_68) -> Any:
    """Landmarks of the mirrored crop, reordered to the scheme, as an array of NumPy or JAX like the input.

    `landmarks` are `[..., num_points, 2]` in crop units. Raises ValueError for a scheme without `flip_order`.
    """
    if markup.flip_order is None:
        raise ValueError(f"mark-up {markup.name} has no flip_order")
    swapped = landmarks[..., np.array(markup.flip_order), :]
    shape = (1,) * (landmarks.ndim - 1) + (2,)  # without rank promotion, which JAX may be told to refuse
    sign, shift = (np.array(pair, landmarks.dtype).reshape(shape) for pair in ((-1, 1), (1, 0)))
    return swapped * sign + shift
