"""Face boxes as callers give them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from flaxmark.errors import ConfigError
from flaxmark.faces.crop import image_crop, square_crop

Boxes = np.ndarray | Sequence[Any] | Literal["image"]
"""`[4]` or `[n, 4]`: left, top, right, bottom in pixels; `"image"`: the image is the crop itself."""

# What is smaller or larger is a mistake.
MIN_SIDE = 4  # pixels
MAX_SIDE = 4  # longer sides of the image


def crops_of_boxes(boxes: Boxes, width: int, height: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Check boxes and make crops of them.

    Args:
        boxes: As a caller gave them.
        width: Of the image, pixels.
        height: Of the image, pixels.
        scale: Side of the crop over the longer side of the box.

    Returns:
        Crops float64 `[n, 3]` (left, top, side) and boxes float64 `[n, 4]`, pixels.

    Raises:
        ConfigError: They are no boxes, or not around a face of this image.
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


def in_image(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Which boxes can be those of faces in a image.

    Args:
        boxes: float64 `[n, 4]`: left, top, right, bottom, pixels.
        width: Of the image, pixels.
        height: Of the image, pixels.

    Returns:
        bool `[n]`: its middle lies in the image, and it is neither tiny nor much larger than the image.
    """
    sizes, middles = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((middles >= 0) & (middles <= (width - 1, height - 1))).all(axis=1)
    longest = sizes.max(axis=1, initial=0)
    fits = (sizes > 0).all(axis=1) & (longest >= MIN_SIDE) & (longest <= MAX_SIDE * max(width, height))
    return np.asarray(inside & fits)


def _what_is_wrong(box: np.ndarray, width: int, height: int) -> str:
    """With a box that is not `in_image`."""
    left, top, right, bottom = box
    if min(box) >= 0 and max(box) <= 1:
        return "is in fractions; give pixels: left, top, right, bottom"
    if right <= left or bottom <= top:
        return "is empty; the order is left, top, right, bottom"
    if max(right - left, bottom - top) < MIN_SIDE:
        return f"is tiny: less than {MIN_SIDE} pixels"
    return f"is not around a face of the {width} x {height} image: the order is left, top, right, bottom, in pixels"


def as_numbers(values: Any) -> np.ndarray:
    """An array of what somebody else made.

    Args:
        values: Anything.

    Returns:
        float64; a scalar, which no list of boxes or points is, of what is no numbers.
    """
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.empty(())


def overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes with one box.

    Args:
        boxes: float64 `[n, 4]`.
        box: float64 `[4]`.

    Returns:
        float64 `[n]`, in [0, 1].
    """
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = np.prod(np.maximum(0, high - low), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(common / (areas - common))
