"""Face boxes that callers give: checks and crops."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64

from flaxmark.errors import ConfigError
from flaxmark.faces.crop import image_crop, square_crop

Boxes = np.ndarray | Sequence[Any] | Literal["image"]
"""`[4]` or `[n, 4]`: left, top, right, bottom in pixels; `"image"`: the image is itself the crop of a face."""

# Smaller or larger boxes are mistakes.
MIN_SIDE = 4  # pixels
MAX_SIDE = 4  # times the longer side of the image


def crops_of_boxes(
    boxes: Boxes, width: int, height: int, scale: float
) -> tuple[Float64[np.ndarray, "n 3"], Float64[np.ndarray, "n 4"]]:
    """Crops (left, top, side) and boxes as an array, in pixels of an image of that width and height.

    `scale` is the side of the crop over the longer side of the box. Raises ConfigError for anything but boxes around
    faces of this image.
    """
    if isinstance(boxes, str):
        if boxes != "image":
            raise ConfigError('give numbers, or "image"', field="boxes", value=boxes)
        return image_crop(width, height)[None], np.array([[0.0, 0.0, width - 1.0, height - 1.0]])
    array = as_numbers(boxes)
    array = array[None] if array.shape == (4,) else array
    if array.size == 0 and array.ndim == 1:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise ConfigError("must be finite numbers left, top, right, bottom: shape [4] or [n, 4]", field="boxes")
    for box, usable in zip(array, in_image(array, width, height), strict=True):
        if not usable:
            numbers = ", ".join(f"{edge:g}" for edge in box)
            raise ConfigError(_what_is_wrong(box, width, height), field="boxes", value=numbers)
    return square_crop(array, scale), array


def in_image(boxes: Float64[np.ndarray, "n 4"], width: int, height: int) -> Bool[np.ndarray, " n"]:
    """Whether each box can belong to a face in an image: its centre is inside, and its size plausible; pixels."""
    sizes, middles = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((middles >= 0) & (middles <= (width - 1, height - 1))).all(axis=1)
    longest = sizes.max(axis=1, initial=0)
    fits = (sizes > 0).all(axis=1) & (longest >= MIN_SIDE) & (longest <= MAX_SIDE * max(width, height))
    return np.asarray(inside & fits)


def _what_is_wrong(box: Float64[np.ndarray, "4"], width: int, height: int) -> str:
    """Why a box is not `in_image`."""
    left, top, right, bottom = box
    if min(box) >= 0 and max(box) <= 1:
        return "is given in fractions; give pixels: left, top, right, bottom"
    if right <= left or bottom <= top:
        return "is empty; the order is left, top, right, bottom"
    if max(right - left, bottom - top) < MIN_SIDE:
        return f"is tiny: less than {MIN_SIDE} pixels"
    return f"is not around a face of the {width} x {height} image: the order is left, top, right, bottom, in pixels"


def as_numbers(values: Any) -> np.ndarray:
    """Any value as a float64 array; a scalar, which is never a list of boxes or points, if it is not numeric."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.empty(())


def overlap(boxes: Float64[np.ndarray, "n 4"], box: Float64[np.ndarray, "4"]) -> Float64[np.ndarray, " n"]:
    """Intersection over union of each box with one box, in [0, 1]."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = np.prod(np.maximum(0, high - low), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(common / (areas - common))
