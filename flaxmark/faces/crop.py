"""Boxes, the one crop of training and of predict, and the pixels around it; `sampler` has how those are sampled.

Pixel centres are integers, (0, 0) the top left one, so a image reaches from -0.5 to width - 0.5.
A crop is a square `(left, top, side)` of pixels, whose first column has its centre at `left`;
its unit is u = (x - left + 0.5) / side: 0 and 1 are its edges. All of it is float64.
"""

import dataclasses
import math

import numpy as np
from PIL import Image

from flaxmark.schema import bounded


@dataclasses.dataclass(frozen=True)
class CropDefinition:
    """How a face box becomes what the network sees; it travels in the checkpoint.

    Attributes:
        scale: Side of the crop over the longer side of the face box.
        box: What the box is: `landmarks` (the points' bounding box) or `source` (the data set's own).
        stored_size: Longest crop side in pixels before the final warp; a larger face is first shrunk to it.
        margin: Side of the region kept around the face, over the crop's side: room for augmentation.
    """

    scale: float = bounded(1.5, "(0.5, 10]")
    box: str = "landmarks"
    stored_size: int = bounded(256, "[32, 4096] pixels")
    margin: float = bounded(1.5, "[1, 10]")


@dataclasses.dataclass(frozen=True)
class FaceRegion:
    """The part of a image around one face, at most `stored_size` pixels per crop side.

    Attributes:
        pixels: uint8 `[height, width, 3]`, RGB.
        crop: float64 `[3]`, the crop `(left, top, side)` in pixels of `pixels`.
    """

    pixels: np.ndarray
    crop: np.ndarray


def landmark_box(landmarks_px: np.ndarray) -> np.ndarray:
    """Bounding box of points.

    Args:
        landmarks_px: `[..., num_points, 2]`, pixels.

    Returns:
        float64 `[..., 4]`: left, top, right, bottom, pixels.
    """
    points = np.asarray(landmarks_px, np.float64)
    return np.concatenate([points.min(axis=-2), points.max(axis=-2)], axis=-1)


def square_crop(box: np.ndarray, scale: float) -> np.ndarray:
    """The square crop around a face box.

    Args:
        box: `[..., 4]`: left, top, right, bottom, pixels.
        scale: Side of the crop over the longer side of the box.

    Returns:
        float64 `[..., 3]`: left, top, side, pixels; the crop's middle is the box's middle.
    """
    box = np.asarray(box, np.float64)
    side = scale * np.maximum(box[..., 2] - box[..., 0], box[..., 3] - box[..., 1])
    centre = (box[..., :2] + box[..., 2:]) / 2
    return np.concatenate([centre + 0.5 - side[..., None] / 2, side[..., None]], axis=-1)


def image_crop(width: int, height: int) -> np.ndarray:
    """The smallest centred square that holds a whole image, for a image that is the crop itself.

    Args:
        width: Pixels.
        height: Pixels.

    Returns:
        float64 `[3]`: left, top, side, pixels.
    """
    side = float(max(width, height))
    return np.array([(width - side) / 2, (height - side) / 2, side])


def to_crop_units(points_px: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Pixels of the image to units of the crop.

    Args:
        points_px: `[..., num_points, 2]`, pixels.
        crop: `[..., 3]`: left, top, side, pixels.

    Returns:
        float64 like `points_px`; [0, 1] inside the crop, never clipped.
    """
    crop = np.asarray(crop, np.float64)[..., None, :]
    return (np.asarray(points_px, np.float64) - crop[..., :2] + 0.5) / crop[..., 2:]


def to_pixels(points: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Units of the crop to pixels of the image; the inverse of `to_crop_units`.

    Args:
        points: `[..., num_points, 2]`, crop units.
        crop: `[..., 3]`: left, top, side, pixels.

    Returns:
        float64 like `points`, pixels.
    """
    crop = np.asarray(crop, np.float64)[..., None, :]
    return np.asarray(points, np.float64) * crop[..., 2:] + crop[..., :2] - 0.5


def cut_region(image: np.ndarray, crop: np.ndarray, definition: CropDefinition, *, margin: bool = True) -> FaceRegion:
    """Cut the surroundings of a crop out of a image, shrunk with antialiasing if they are large.

    Nothing is invented: the region ends where the image ends, and a small face is not enlarged.

    Args:
        image: uint8 `[height, width, 3]`.
        crop: `[3]`: left, top, side, pixels of `image`.
        definition: Gives the margin and the largest stored side.
        margin: With the margin that augmentation needs; without it, only the pixels that an upright crop samples.

    Returns:
        The region and the same crop in its pixels.

    Raises:
        ValueError: The crop has no extent, is not finite or does not touch the image.
    """
    left, top, side = (float(v) for v in crop)
    if not (math.isfinite(left) and math.isfinite(top) and math.isfinite(side) and side > 0):
        raise ValueError(f"crop {left:g}, {top:g}, side {side:g} is not a square of positive size")
    height, width = image.shape[:2]
    room = side * (definition.margin - 1) / 2
    x0, y0 = max(0, math.floor(left - room)), max(0, math.floor(top - room))
    x1, y1 = min(width, math.ceil(left + side + room)), min(height, math.ceil(top + side + room))
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"crop {left:g}, {top:g}, side {side:g} lies outside the {width} x {height} image")
    shrink = min(definition.stored_size / side, 1.0)
    # `left` is also the edge of the crop counted from the edge of the image, which is what scales.
    inside = np.array([left - x0, top - y0, side]) * shrink
    columns, rows = (max(1, int(n * shrink)) for n in (x1 - x0, y1 - y0))
    window = (0, 0, columns, rows) if margin else sampled_window(inside, columns, rows)
    pixels = _shrink_window(image[y0:y1, x0:x1], shrink, window)
    return FaceRegion(np.ascontiguousarray(pixels), inside - np.array([*window[:2], 0]))


Window = tuple[int, int, int, int]
"""Left, top, right and bottom of some pixels, the last two excluded."""


def sampled_window(crop: np.ndarray, columns: int, rows: int) -> Window:
    """The pixels that bilinear samples of an upright crop read, and one more all around.

    Args:
        crop: `[3]`: left, top, side, pixels.
        columns: Of the image.
        rows: Of the image.

    Returns:
        A window inside the image, at least one pixel wide and high.
    """
    left, top, side = crop
    x0, x1 = (min(max(0, value), columns - 1) for value in (math.floor(left) - 2, math.ceil(left + side) + 2))
    y0, y1 = (min(max(0, value), rows - 1) for value in (math.floor(top) - 2, math.ceil(top + side) + 2))
    return x0, y0, x1 + 1, y1 + 1


def sampled_side(definition: CropDefinition) -> int:
    """The side of the square, in pixels, that holds each region that `cut_region` cuts without its margin."""
    return definition.stored_size + 8  # the window has 5 more around the crop, and up to 2 for fractions


def _shrink_window(pixels: np.ndarray, factor: float, window: Window) -> np.ndarray:
    """Part of a image shrunk by exactly `factor` in both directions, less than a pixel at its far edges dropped."""
    x0, y0, x1, y1 = window
    if factor == 1:
        return pixels[y0:y1, x0:x1]
    height, width = pixels.shape[:2]
    box = (x0 / factor, y0 / factor, min(width, x1 / factor), min(height, y1 / factor))
    return np.asarray(Image.fromarray(pixels).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=box))
