"""Faces that are not upright: the search in turned copies of an image, and the way back to its own pixels."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, UInt8
from PIL import Image

from flaxmark.faces.boxes import overlap
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import Markup
from flaxmark.inference.detection.backends import shrunk
from flaxmark.inference.face import OUTPUTS, Face

# Degrees by which the image is turned counterclockwise. The network's error hardly grows up to 22 degrees
# (docs/results/accuracy.md), so all eight directions find every face.
RIGHT_ANGLES, DIAGONALS = (90, 180, 270), (45, 135, 225, 315)
SEARCHED_SIDE = 640  # pixels; a larger copy finds smaller faces, and would be kept for as many images as wait
TILTED = 30  # degrees above which the error of the network grows
SAME_FACE = 0.3  # overlap of the landmarks' boxes of one face, found in two directions


@dataclasses.dataclass(frozen=True)
class View:
    """A turned copy of an image."""

    pixels: UInt8[np.ndarray, "height width 3"]
    degrees: int
    """Counterclockwise."""
    matrix: Float64[np.ndarray, "2 3"]
    """From a pixel (x, y) of the copy to that of the image: matrix[:, :2] @ (x, y) + matrix[:, 2]."""

    def points_in_image(self, points: Float[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n 2"]:
        """The same points in pixels of the image."""
        return np.asarray(points @ self.matrix[:, :2].T + self.matrix[:, 2])

    def box_in_image(self, box: Float[np.ndarray, " 4"]) -> Float64[np.ndarray, " 4"]:
        """The same box in pixels of the image; if it lies diagonally there, the upright square of its longer side."""
        middle = self.points_in_image((box[None, :2] + box[None, 2:]) / 2)[0]
        sides = (box[2:] - box[:2]) * self._scale
        if self.degrees % 90:
            sides = np.full(2, sides.max())
        elif self.degrees % 180:
            sides = sides[::-1]
        return np.concatenate([middle - sides / 2, middle + sides / 2])

    def face_in_image(self, face: Face) -> Face:
        """The same face in pixels of the image."""
        fields: dict[str, Any] = {"box": self.box_in_image(face.box)}
        for name, output in OUTPUTS.items():
            if output.unit and (values := getattr(face, name)) is not None:
                fields[name] = self.points_in_image(values) if output.unit == "position" else values * self._scale
        return dataclasses.replace(face, **fields)

    @property
    def _scale(self) -> float:
        """Pixels of the image per pixel of the copy."""
        return math.sqrt(abs(np.linalg.det(self.matrix[:, :2])))


def turn(image: UInt8[np.ndarray, "height width 3"], degrees: int, size: tuple[int, int]) -> View:
    """Turn an image about its centre; `size` is the width and height of the image of which it is a smaller copy."""
    height, width = image.shape[:2]
    cos, sin = (round(function(math.radians(degrees)), 15) for function in (math.cos, math.sin))
    columns = math.ceil(abs(width * cos) + abs(height * sin))
    rows = math.ceil(abs(width * sin) + abs(height * cos))
    turning = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([width - 1, height - 1]) / 2 - turning @ ((columns - 1) / 2, (rows - 1) / 2)
    # Pillow counts from the edge of the first pixel, and not from its centre.
    edges = np.concatenate([turning, (shift + 0.5 - turning @ (0.5, 0.5))[:, None]], axis=1)
    turned = Image.fromarray(image).transform(
        (columns, rows), Image.Transform.AFFINE, tuple(edges.ravel()), Image.Resampling.BILINEAR
    )
    scale = np.array(size) / (width, height)
    matrix = np.concatenate([scale[:, None] * turning, (scale * (shift + 0.5) - 0.5)[:, None]], axis=1)
    return View(np.asarray(turned), degrees, matrix)


def searched_copy(image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """The copy of an image in which turned faces are searched."""
    return shrunk(image, SEARCHED_SIDE)[0]


Find = Callable[[Sequence[np.ndarray]], Sequence[tuple[list[Face], bool]]]
"""From images to the faces of each, and whether the detector found any box in it."""


def add_turned(
    faces: list[Face],
    image: UInt8[np.ndarray, "height width 3"],
    size: tuple[int, int],
    markup: Markup,
    find: Find,
    *,
    everywhere: bool,
    doubtful: bool,
) -> list[Face]:
    """The faces of an image with those in turned copies of it, and the best find of each.

    `image` is the searched copy of an image of that size. If not `everywhere`, the right angles are searched if there
    is no face; and the diagonals if one is tilted, or if there is none but the detector found boxes that the network
    does not take for faces: in the upright image (`doubtful`), or here. Faces at 45 degrees are found so.
    """
    found = list(faces)
    for angles in (RIGHT_ANGLES, DIAGONALS):
        if found:
            needed = angles == DIAGONALS and any(is_tilted(face, markup) for face in found)
        else:
            needed = angles == RIGHT_ANGLES or doubtful
        if not everywhere and not needed:
            continue
        views = [turn(image, degrees, size) for degrees in angles]
        for view, (seen, has_boxes) in zip(views, find([view.pixels for view in views]), strict=True):
            own = [view.face_in_image(face) for face in seen]
            if faces and not everywhere:  # those that are upright stay as they are
                own = [face for face in own if _overlaps(face, [other for other in faces if is_tilted(other, markup)])]
            found.extend(own)
            doubtful |= has_boxes
    return distinct(found) if len(found) > len(faces) else faces


def is_tilted(face: Face, markup: Markup) -> bool:
    """Whether the line through the eyes is steeper than `TILTED`, in either direction."""
    left, right = (np.nanmean(face.landmarks[list(eye)], axis=0) for eye in markup.eyes)
    along, down = np.abs(right - left)
    return bool(down > along * math.tan(math.radians(TILTED)))


def distinct(faces: Sequence[Face]) -> list[Face]:
    """Of the finds of one face, the one with the best score, or the first without scores; the largest face first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -1.0 if face.score is None else -face.score):
        if not _overlaps(face, kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -np.ptp(face.box.reshape(2, 2), axis=0).max())


def _overlaps(face: Face, others: Sequence[Face]) -> bool:
    """Whether one of the others is the same face."""
    boxes = np.array([landmark_box(other.landmarks) for other in others]).reshape(-1, 4)
    return bool(overlap(boxes, landmark_box(face.landmarks)).max(initial=0) >= SAME_FACE)
