"""The crop around a face that training and prediction share; `crop_sampler` samples its pixels.

Pixel centres are integers, (0, 0) the top left one, so an image reaches from -0.5 to width - 0.5.
A crop is a square (left, top, side) in pixels; the centre of its first column is at `left`.
Crop units are u = (x - left + 0.5) / side: 0 and 1 are the edges of the crop. All of it is float64.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Float64, UInt8
from PIL import Image

from flaxmark.schema import bounded


@dataclasses.dataclass(frozen=True)
class CropDefinition:
    """From a face box to the network's input; every checkpoint has it."""

    scale: float = bounded(1.5, "(0.5, 10]")
    """Side of the crop over the longer side of the face box."""
    box: str = "landmarks"
    """The face box: landmarks (bounding box of the points) or source (the data set's own box). Around missing points
    the bounding box is smaller than the face: prefer source if the data set has boxes."""
    stored_size: int = bounded(256, "[32, 4096] pixels")
    """Longest crop side before the final warp; larger faces are first shrunk to it."""
    margin: float = bounded(1.5, "[1, 10]")
    """Side of the region kept around the face over the side of the crop: room for augmentation."""


@dataclasses.dataclass(frozen=True)
class FaceRegion:
    """The part of an image around one face, at most `stored_size` pixels per crop side."""

    pixels: UInt8[np.ndarray, "height width 3"]
    """RGB."""
    crop: Float64[np.ndarray, "3"]
    """Left, top and side of the crop in pixels of `pixels`."""


def landmark_box(landmarks_px: Float[np.ndarray, "*faces points 2"]) -> Float64[np.ndarray, "*faces 4"]:
    """Bounding box of the points that are not missing: left, top, right, bottom in pixels; NaN without points."""
    points = np.asarray(landmarks_px, np.float64)
    return np.concatenate([np.fmin.reduce(points, axis=-2), np.fmax.reduce(points, axis=-2)], axis=-1)


def square_crop(box: Float[np.ndarray, "*faces 4"], scale: float) -> Float64[np.ndarray, "*faces 3"]:
    """The crop (left, top, side) centred on a box (left, top, right, bottom), `scale` times its longer side; pixels."""
    box = np.asarray(box, np.float64)
    side = scale * np.maximum(box[..., 2] - box[..., 0], box[..., 3] - box[..., 1])
    centre = (box[..., :2] + box[..., 2:]) / 2
    return np.concatenate([centre + 0.5 - side[..., None] / 2, side[..., None]], axis=-1)


def image_crop(width: int, height: int) -> Float64[np.ndarray, "3"]:
    """The smallest centred square that contains a whole image, for an image that is itself a crop; pixels."""
    side = float(max(width, height))
    return np.array([(width - side) / 2, (height - side) / 2, side])


def to_crop_units(
    points_px: Float[np.ndarray, "*faces points 2"], crop: Float[np.ndarray, "*faces 3"]
) -> Float64[np.ndarray, "*faces points 2"]:
    """Convert pixels of the image to crop units: [0, 1] inside the crop, never clipped."""
    crop = np.asarray(crop, np.float64)[..., None, :]
    return (np.asarray(points_px, np.float64) - crop[..., :2] + 0.5) / crop[..., 2:]


def to_pixels(
    points: Float[np.ndarray, "*faces points 2"], crop: Float[np.ndarray, "*faces 3"]
) -> Float64[np.ndarray, "*faces points 2"]:
    """Convert crop units to pixels of the image; the inverse of `to_crop_units`."""
    crop = np.asarray(crop, np.float64)[..., None, :]
    return np.asarray(points, np.float64) * crop[..., 2:] + crop[..., :2] - 0.5


def cut_region(
    image: UInt8[np.ndarray, "height width 3"],
    crop: Float[np.ndarray, "3"],
    definition: CropDefinition,
    *,
    margin: bool = True,
) -> FaceRegion:
    """Cut the surroundings of a crop (left, top, side, in pixels) out of an image, shrunk with antialiasing if large.

    The region ends where the image ends, and a small face is not enlarged. Without `margin` it holds only the pixels
    that an upright crop samples, and not those that augmentation needs. Raises ValueError for a crop that is empty, not
    finite or outside the image.
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
"""Left, top, right and bottom of a part of an image, the last two exclusive."""


def sampled_window(crop: Float[np.ndarray, "3"], columns: int, rows: int) -> Window:
    """The pixels that bilinear samples of an upright crop read, and one more on each side.

    It lies inside the image of that many columns and rows, and is at least one pixel wide and high.
    """
    left, top, side = crop
    x0, x1 = (min(max(0, value), columns - 1) for value in (math.floor(left) - 2, math.ceil(left + side) + 2))
    y0, y1 = (min(max(0, value), rows - 1) for value in (math.floor(top) - 2, math.ceil(top + side) + 2))
    return x0, y0, x1 + 1, y1 + 1


def sampled_side(definition: CropDefinition) -> int:
    """Side in pixels of a square that contains every region that `cut_region` cuts without margin."""
    return definition.stored_size + 8  # the window adds 5 pixels around the crop, and up to 2 for fractions


def _shrink_window(
    pixels: UInt8[np.ndarray, "height width 3"], factor: float, window: Window
) -> UInt8[np.ndarray, "rows columns 3"]:
    """A window of an image shrunk by exactly `factor` in both directions; less than a pixel at its far edges is cut."""
    x0, y0, x1, y1 = window
    if factor == 1:
        return pixels[y0:y1, x0:x1]
    height, width = pixels.shape[:2]
    box = (x0 / factor, y0 / factor, min(width, x1 / factor), min(height, y1 / factor))
    return np.asarray(Image.fromarray(pixels).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=box))
