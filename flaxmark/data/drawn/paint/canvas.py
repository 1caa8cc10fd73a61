"""The visible pixels of a face, addressed by their frontal coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flaxmark.data.drawn.arrays import Array, Colours, Floats, Values
from flaxmark.data.drawn.head.shape import Head

SOFT = 0.007
"""Half width of a drawn edge, face units."""

Pixels = NDArray[np.intp] | slice


def gauss(x: Values, y: Values, centre: tuple[float, float], width: float, height: float) -> Values:
    """Bell-shaped spot that is 1 at its centre (x, y); width and height are standard deviations times sqrt(2)."""
    return np.exp(-(((x - centre[0]) / width) ** 2) - ((y - centre[1]) / height) ** 2)


def blend(colour: Colours, where: Pixels, target: object, share: Floats) -> None:
    """Mix one colour, or one for each pixel, into the selected pixels in place; `share` is in [0, 1]."""
    old = colour[where]
    colour[where] = old + share[:, None] * (np.asarray(target, np.float32) - old)


class Canvas:
    """Pixels of a face; each painting step changes `colour` and `shine` in place.

    Attributes:
        x: Frontal coordinate of each pixel, face units.
        y: Likewise.
        u: Angle around the head, radians.
        colour: Surface colour of each pixel.
        shine: Strength of the gloss.
    """

    def __init__(self, head: Head, coordinates: Array, rng: np.random.Generator) -> None:
        """Start with bare skin; the coordinates `[n, 3]` are frontal x, y and angle u of every pixel."""
        self.head, self.p, self.rng = head, head.p, rng
        # Single precision: one double precision scalar would make every operation on the pixels double.
        self.points = head.points.astype(np.float32)
        self.x, self.y, self.u = np.ascontiguousarray(coordinates.T)
        self.front = np.abs(self.u) < 1.5
        self.colour = np.empty((len(self.x), 3), np.float32)
        self.colour[:] = self.p.skin
        self.shine = np.full(len(self.x), self.p.shine, np.float32)

    def within(self, part: slice, margin: float) -> NDArray[np.intp]:
        """Indices of the pixels in the bounding box of some landmarks, widened by `margin` face units."""
        low, high = self.points[part].min(0) - margin, self.points[part].max(0) + margin
        near = (self.x > low[0]) & (self.x < high[0]) & (self.y > low[1]) & (self.y < high[1])
        return np.flatnonzero(near & self.front)
