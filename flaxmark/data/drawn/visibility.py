"""Which landmarks of a drawn face are seen: neither the head itself nor anything in front of it hides them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flaxmark.data.drawn.arrays import Array, Image, Landmarks, Mask, Plane, Points
from flaxmark.data.drawn.paint.raster import Fragments

NEAR = 0.11
"""How much the depth of a landmark may differ from that of the surface seen there, face units.

It allows for the outline, where the depth changes by so much from pixel to pixel, and for points at the edge of a fold
such as the base of the nose. Surfaces that hide others are farther apart.
"""

AROUND = 0.03
"""Half the side of a square around a landmark, face units: the landmark is hidden where half of the square is covered.

In images of less than about 40 pixels the square is one pixel."""

FINE = 320
"""Side of an image, pixels, from which on NEAR holds. Within a pixel of a round outline the depth changes by as much as
the root of the pixel's size."""


@dataclass
class PaintedImage:
    """An image of a face, and how much of the face is covered by what was painted after it.

    Attributes:
        image: `[rows, columns, 3]`.
        cover: `[rows, columns]`, opacity of everything in front of the head.
    """

    image: Image
    cover: Plane

    def paint(self, opacity: Plane, colour: Array) -> None:
        """Lay something over the image, in place.

        `opacity` is `[rows, columns]`, `colour` is `[rows, columns, 3]` or one colour `[3]`.
        """
        self.image += opacity[..., None] * (colour - self.image)
        self.cover += opacity * (1 - self.cover)

    def below(self, row: int) -> PaintedImage:
        """The part of the image from a row downwards; painting there paints the whole."""
        return PaintedImage(self.image[row:], self.cover[row:])


def on_visible_surface(places: Points, face: Fragments, size: int) -> Mask:
    """Whether the pixels around each landmark show the face where the landmark lies on it, `[68]`.

    They show something else where the landmark is beyond the outline, or where hair, a hat or the nose is in front.

    Args:
        places: Landmarks `[68, 3]`: x, y in pixels, depth in face units.
        face: The visible pixels of the face.
        size: Side of the image in pixels.
    """
    # A border of one pixel, for the neighbours of the outermost ones.
    surface = np.full((size + 2, size + 2), np.inf, np.float32)
    surface[face.pixels // size + 1, face.pixels % size + 1] = face.depths
    points, depths = places[:, :2], places[:, 2]
    around = surroundings(points, surface, 1)
    return inside(points, size) & (np.abs(around - depths) < NEAR * max(1.0, FINE / size) ** 0.5).any(0)


def uncovered(points: Landmarks, cover: Plane, scale: float) -> Mask:
    """Whether things in front of the head leave each landmark at least half visible, `[68]`.

    It is the mean over a small square that counts, so that a hair or the rim of glasses hides nothing. Landmarks are in
    pixels, `cover` is the opacity of each pixel, `scale` are pixels per face unit.
    """
    reach = round(AROUND * scale)
    square = surroundings(points, np.pad(cover, reach, "edge"), reach)
    return inside(points, len(cover)) & (square.mean(0) < 0.5)


def surroundings(points: Landmarks, padded: Plane, reach: int) -> Plane:
    """Values `[pixels, 68]` in the square around each landmark, of a plane that has a border of `reach` pixels more."""
    side = 2 * reach + 1
    x, y = np.clip(np.round(points).astype(int), 0, len(padded) - side).T
    return np.stack([padded[y + i, x + j] for i in range(side) for j in range(side)])


def inside(points: Landmarks, size: int) -> Mask:
    """Whether each landmark is in the image, `[68]`; landmarks and size in pixels."""
    return np.asarray(((points > -0.5) & (points < size - 0.5)).all(-1))
