"""The crop of predict as matrix products, for exported programs.

A large face is first shrunk as in `faces.crop.cut_region`, by Pillow's bilinear filter, which rounds after each
direction. Then it is sampled with `faces.crop_sampler.upright_weights`. Both are separable: one matrix for each
direction, which depends only on the box.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp

from flaxmark.faces.array_library import ArrayLibrary, ModuleLibrary, Values
from flaxmark.faces.crop import CropDefinition, sampled_side
from flaxmark.faces.crop_sampler import most_samples, upright_weights

PILLOW_UNIT = 2.0**22  # Pillow's weights are multiples of its inverse


class ImageLibrary(ArrayLibrary, Protocol):
    """The array functions that the crop needs, in JAX or ONNX."""

    def sum_last(self, x: Values) -> Values:
        """Sum over the last axis, which stays with length 1."""

    def lengths(self, image: Values) -> tuple[Any, Any]:
        """Height and width."""

    def counting(self, length: Any) -> Values:
        """float32 `[length]`: 0, 1, ..., for a length that is only known when the program runs."""

    def scalar(self, length: Any) -> Values:
        """A length as a float32 scalar."""

    def across(self, images: Values, weights: Values) -> Values:
        """`[3, h, w]` or `[n, 3, h, w]` and `[n, columns, w]` to `[n, 3, h, columns]`."""

    def down(self, images: Values, weights: Values) -> Values:
        """`[n, 3, h, w]` and `[n, rows, h]` to `[n, 3, rows, w]`."""


class JaxLibrary(ModuleLibrary):
    """These functions in jax.numpy."""

    def __init__(self) -> None:
        """Use jax.numpy."""
        super().__init__(jnp)

    def sum_last(self, x: Any) -> Any:
        """Sum over the last axis, which stays with length 1."""
        return x.sum(axis=-1, keepdims=True)

    def lengths(self, image: Any) -> tuple[Any, Any]:
        """Height and width."""
        return image.shape[1:]

    def counting(self, length: Any) -> Any:
        """float32 `[length]`: 0, 1, ..."""
        return jnp.arange(length).astype(jnp.float32)

    def scalar(self, length: Any) -> Any:
        """A length as a float32 scalar."""
        return jnp.asarray(length, jnp.float32)

    def across(self, images: Any, weights: Any) -> Any:
        """`[.., 3, h, w]` and `[n, columns, w]` to `[n, 3, h, columns]`."""
        return jnp.matmul(images, weights[:, None].swapaxes(-1, -2), precision="highest")

    def down(self, images: Any, weights: Any) -> Any:
        """`[n, 3, h, w]` and `[n, rows, h]` to `[n, 3, rows, w]`."""
        return jnp.matmul(weights[:, None], images, precision="highest")


class ShrunkAxis(NamedTuple):
    """One axis of shrunk faces.

    Attributes:
        weights: float32 `[n, window, length]`, from pixels of the image to shrunk pixels in a window around the crop.
        start: float32 `[n, 1, 1]`, left or top of the crops in shrunk pixels of the window.
        side: float32 `[n, 1, 1]`, side of the crops in shrunk pixels.
    """

    weights: Values
    start: Values
    side: Values


def shrink_axis(
    xp: ImageLibrary, pixels: Values, length: Values, start: Values, side: Values, definition: CropDefinition
) -> ShrunkAxis:
    """Shrink faces along one axis as `faces.crop.cut_region` does without margin, for crops that touch the image.

    `pixels` float32 `[length]` are 0, 1, ... of the image along this axis; `start` and `side` float32 `[n, 1, 1]` are
    left or top and side of the crops in pixels.
    """
    cells = xp.arange(sampled_side(definition))
    shrink = xp.minimum(definition.stored_size / side, 1.0)
    room = side * ((definition.margin - 1) / 2)
    first = xp.maximum(xp.floor(start - room), 0.0)
    last = xp.minimum(0.0 - xp.floor(0.0 - (start + side + room)), length)
    inside, extent = (start - first) * shrink, side * shrink
    columns = xp.maximum(xp.floor((last - first) * shrink), 1.0)
    origin = xp.minimum(xp.maximum(xp.floor(inside) - 2.0, 0.0), columns - 1.0)
    end = xp.minimum(xp.maximum(xp.floor(inside + extent) + 2.0, 0.0), columns - 1.0)
    # Pillow's bilinear filter: a triangle that reaches one shrunk pixel to either side, cut off at the image's edges.
    centre = (origin + xp.column(cells) + 0.5) / shrink
    triangle = xp.maximum(1.0 - xp.absolute(pixels - first + 0.5 - centre) * shrink, 0.0)
    triangle = triangle * xp.less(first - 0.5, pixels) * xp.less(pixels, last - 0.5)
    weights = triangle / xp.maximum(xp.sum_last(triangle), 1e-6) * xp.less(xp.column(cells), end - origin + 0.5)
    return ShrunkAxis(xp.floor(weights * PILLOW_UNIT + 0.5) / PILLOW_UNIT, inside - origin, extent)


def square_crops(xp: ArrayLibrary, edges: Sequence[Values], scale: float) -> tuple[Values, Values, Values]:
    """Left, top and side of crops as in `faces.crop.square_crop`, from left, top, right and bottom of the boxes.

    All are float32 `[n, 1, 1]` in pixels; `scale` is the side of the crop over the longer side of the box.
    """
    left, top, right, bottom = edges
    side = xp.maximum(right - left, bottom - top) * scale
    return (left + right) / 2.0 + 0.5 - side / 2.0, (top + bottom) / 2.0 + 0.5 - side / 2.0, side


def cut_crops(xp: ImageLibrary, image: Values, crops: Values, definition: CropDefinition, size: int) -> Values:
    """The network's input before normalisation, float32 `[n, 3, size, size]` in [0, 255].

    `image` is float32 `[3, height, width]` with integers in [0, 255]; `crops` are left, top and side of the crops, each
    float32 `[n, 1, 1]` in pixels.
    """
    left, top, side = crops
    height, width = xp.lengths(image)
    across = shrink_axis(xp, xp.counting(width), xp.scalar(width), left, side, definition)
    down = shrink_axis(xp, xp.counting(height), xp.scalar(height), top, side, definition)
    rows = xp.floor(xp.across(image, across.weights) + 0.5)
    shrunk = xp.floor(xp.down(rows, down.weights) + 0.5)

    def sample(axis: ShrunkAxis) -> Values:
        most = most_samples(definition.stored_size, size)
        return upright_weights(xp, axis.start, axis.side, size, sampled_side(definition), most)

    return xp.across(xp.down(shrunk, sample(down)), sample(across))
