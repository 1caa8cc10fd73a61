"""The pixels of a face, addressed by their place on the frontal map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.paint.curves import Array

SOFT = 0.007  # half width of a drawn edge, in face units
Pixels = NDArray[np.intp] | slice


def gauss(x: Array, y: Array, centre: tuple[float, float], width: float, height: float) -> Array:
    """Bell-shaped spot.

    Args:
        x: float32 [n], face units.
        y: float32 [n], face units.
        centre: (x, y) of the spot.
        width: horizontal deviation times sqrt(2).
        height: vertical deviation times sqrt(2).

    Returns:
        float32 [n], 1 at the centre.
    """
    return np.exp(-(((x - centre[0]) / width) ** 2) - ((y - centre[1]) / height) ** 2)


def blend(colour: Array, where: Pixels, target: object, share: NDArray[np.floating]) -> None:
    """Mixes a colour into some pixels, in place.

    Args:
        colour: float32 [n, 3], changed.
        where: which pixels.
        target: one colour or float32 [m, 3].
        share: float32 [m], in [0, 1].
    """
    old = colour[where]
    colour[where] = old + share[:, None] * (np.asarray(target, np.float32) - old)


class Canvas:
    """What is painted: every step changes `colour` and `shine` in place.

    Attributes:
        head: the face.
        rng: source of the small variation.
        x: float32 [n], frontal coordinate of each pixel, face units.
        y: float32 [n], the same.
        u: float32 [n], angle around the head in radians.
        colour: float32 [n, 3], display scale.
        shine: float32 [n], gloss.
    """

    def __init__(self, head: Head, coordinates: Array, rng: np.random.Generator) -> None:
        """Starts with bare skin.

        Args:
            head: the face.
            coordinates: float32 [n, 3], frontal x, y and angle u of every pixel.
            rng: source of the small variation.
        """
        self.head, self.p, self.rng = head, head.p, rng
        # Single precision, for a double precision scalar would make every pixel operation double.
        self.points = head.points.astype(np.float32)
        self.x, self.y, self.u = np.ascontiguousarray(coordinates.T)
        self.front = np.abs(self.u) < 1.5
        self.colour = np.empty((len(self.x), 3), np.float32)
        self.colour[:] = self.p.skin
        self.shine = np.full(len(self.x), self.p.shine, np.float32)

    def within(self, part: slice, margin: float) -> NDArray[np.intp]:
        """Pixels near some landmarks.

        Args:
            part: the landmarks.
            margin: added to their box on each side, face units.

        Returns:
            int [m], indices of pixels.
        """
        low, high = self.points[part].min(0) - margin, self.points[part].max(0) + margin
        near = (self.x > low[0]) & (self.x < high[0]) & (self.y > low[1]) & (self.y < high[1])
        return np.flatnonzero(near & self.front)
