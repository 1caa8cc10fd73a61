"""The one crop as a chain of matrix products, for programs that are exported.

The same pixels as `geometry.cut_region` and `geometry.warp_crop` give: first a large face is shrunk by Pillow's
bilinear filter, which rounds after each direction, then each pixel of the network's input is the mean of a few bilinear
samples. Both are separable: a matrix for each direction, which depends on the box alone.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp

from flaxmark.geometry import CropDefinition

PILLOW_UNIT = 2.0**22  # Pillow's weights are whole numbers of its inverse

Array = Any  # of whatever library traces


class ArrayLibrary(Protocol):
    """The few functions that the crop needs: of jax.numpy, or of a graph that is being written."""

    def floor(self, x: Array) -> Array:
        """Largest whole number not above x."""

    def maximum(self, x: Array, y: Array) -> Array:
        """The larger of two."""

    def minimum(self, x: Array, y: Array) -> Array:
        """The smaller of two."""

    def less(self, x: Array, y: Array) -> Array:
        """1.0 where x < y, else 0.0."""

    def sum_last(self, x: Array) -> Array:
        """Sum over the last axis, which stays with length 1."""

    def absolute(self, x: Array) -> Array:
        """Its size without its sign."""

    def arange(self, count: int) -> Array:
        """float32 `[count]`: 0, 1 .."""

    def column(self, x: Array) -> Array:
        """`[count]` as `[count, 1]`."""


class AxisWeights(NamedTuple):
    """What makes one axis of a crop: `sample @ shrink @ pixels`.

    Attributes:
        shrink: float32 `[n, window, length]`: pixels of the picture to shrunk ones around the crop.
        sample: float32 `[n, size, window]`: those to the network's input.
    """

    shrink: Array
    sample: Array


def axis_weights(
    xp: ArrayLibrary, pixels: Array, length: Array, start: Array, side: Array, definition: CropDefinition, size: int
) -> AxisWeights:
    """The matrices of one axis.

    Args:
        xp: Whose arrays they are.
        pixels: float32 `[length]`: 0, 1 ..
        length: float32 scalar: pixels of the picture along this axis.
        start: float32 `[n, 1, 1]`: left or top of the crops, pixels.
        side: float32 `[n, 1, 1]`: of the crops, pixels.
        definition: Of the crop.
        size: Side of the network's input, pixels.

    Returns:
        For crops that touch the picture.
    """
    cells = xp.arange(definition.stored_size + 8)  # as many shrunk pixels as a crop and its border can have
    shrink = xp.minimum(definition.stored_size / side, 1.0)
    room = side * ((definition.margin - 1) / 2)
    first = xp.maximum(xp.floor(start - room), 0.0)
    last = xp.minimum(0.0 - xp.floor(0.0 - (start + side + room)), length)
    inside, extent = (start - first) * shrink, side * shrink
    columns = xp.maximum(xp.floor((last - first) * shrink), 1.0)
    origin = xp.minimum(xp.maximum(xp.floor(inside) - 2.0, 0.0), columns - 1.0)
    end = xp.minimum(xp.maximum(xp.floor(inside + extent) + 2.0, 0.0), columns - 1.0)
    # Pillow's bilinear filter: a triangle that reaches a shrunk pixel to either side, over the pixels that there are.
    centre = (origin + xp.column(cells) + 0.5) / shrink
    triangle = xp.maximum(1.0 - xp.absolute(pixels - first + 0.5 - centre) * shrink, 0.0)
    triangle = triangle * xp.less(first - 0.5, pixels) * xp.less(pixels, last - 0.5)
    weights = triangle / xp.maximum(xp.sum_last(triangle), 1e-6) * xp.less(xp.column(cells), end - origin + 0.5)
    weights = xp.floor(weights * PILLOW_UNIT + 0.5) / PILLOW_UNIT
    # As geometry.warp_crop: the mean of `count` bilinear samples in each direction.
    count = xp.maximum(0.0 - xp.floor(0.0 - (extent / size - 0.5 - 1e-6)), 1.0)
    step = extent / (size * count)
    rows, sampled = xp.column(xp.arange(size)), 0.0 * shrink
    for number in range(math.ceil(definition.stored_size / size)):
        place = inside - origin - 0.5 + (rows * count + (number + 0.5)) * step
        near = xp.maximum(1.0 - xp.absolute(place - cells), 0.0)
        sampled = sampled + near * xp.less(number + 0.5, count + 0.5)
    kept = xp.less(cells, end - origin + 0.5)
    return AxisWeights(weights, sampled / count * kept)


def square_crops(xp: ArrayLibrary, edges: Sequence[Array], scale: float) -> tuple[Array, Array, Array]:
    """As `geometry.square_crop`.

    Args:
        xp: Whose arrays they are.
        edges: Left, top, right and bottom of the boxes, each float32 `[n, 1, 1]`, pixels.
        scale: Side of the crop over the longer side of the box.

    Returns:
        Left, top and side of the crops, each float32 `[n, 1, 1]`, pixels.
    """
    left, top, right, bottom = edges
    side = xp.maximum(right - left, bottom - top) * scale
    return (left + right) / 2.0 + 0.5 - side / 2.0, (top + bottom) / 2.0 + 0.5 - side / 2.0, side


def cut_crops(xp: "ImageLibrary", picture: Array, crops: Array, definition: CropDefinition, size: int) -> Array:
    """What the network is fed, before normalisation.

    Args:
        xp: Whose arrays they are.
        picture: float32 `[3, height, width]` in [0, 255], whole numbers.
        crops: float32 left, top and side of the crops, each `[n, 1, 1]`, pixels.
        definition: Of the crop.
        size: Side of the network's input, pixels.

    Returns:
        float32 `[n, 3, size, size]` in [0, 255].
    """
    left, top, side = crops
    height, width = xp.lengths(picture)
    across = axis_weights(xp, xp.counting(width), xp.scalar(width), left, side, definition, size)
    down = axis_weights(xp, xp.counting(height), xp.scalar(height), top, side, definition, size)
    rows = xp.floor(xp.across(picture, across.shrink) + 0.5)
    shrunk = xp.floor(xp.down(rows, down.shrink) + 0.5)
    return xp.across(xp.down(shrunk, down.sample), across.sample)


class ImageLibrary(ArrayLibrary, Protocol):
    """And those that know of pictures."""

    def lengths(self, picture: Array) -> tuple[Any, Any]:
        """Height and width."""

    def counting(self, length: Any) -> Array:
        """float32 `[length]`: 0, 1 .. of a length that is known only when the program runs."""

    def scalar(self, length: Any) -> Array:
        """Such a length as a float32 scalar."""

    def across(self, pictures: Array, weights: Array) -> Array:
        """`[3, h, w]` or `[n, 3, h, w]` and `[n, columns, w]` to `[n, 3, h, columns]`."""

    def down(self, pictures: Array, weights: Array) -> Array:
        """`[n, 3, h, w]` and `[n, rows, h]` to `[n, 3, rows, w]`."""


class JaxLibrary:
    """The crop's functions in jax.numpy."""

    floor, absolute = staticmethod(jnp.floor), staticmethod(jnp.abs)

    def maximum(self, x: Any, y: Any) -> Any:
        """The larger of two."""
        return jnp.maximum(x, jnp.float32(y))

    def minimum(self, x: Any, y: Any) -> Any:
        """The smaller of two."""
        return jnp.minimum(jnp.float32(x), jnp.float32(y))

    def less(self, x: Any, y: Any) -> Any:
        """1.0 where x < y, else 0.0."""
        return (jnp.float32(x) < jnp.float32(y)).astype(jnp.float32)

    def sum_last(self, x: Any) -> Any:
        """Sum over the last axis, which stays with length 1."""
        return x.sum(axis=-1, keepdims=True)

    def arange(self, count: int) -> Any:
        """float32 `[count]`: 0, 1 .."""
        return jnp.arange(count, dtype=jnp.float32)

    def column(self, x: Any) -> Any:
        """`[count]` as `[count, 1]`."""
        return x[:, None]

    def lengths(self, picture: Any) -> tuple[Any, Any]:
        """Height and width."""
        return picture.shape[1:]

    def counting(self, length: Any) -> Any:
        """float32 `[length]`: 0, 1 .."""
        return jnp.arange(length).astype(jnp.float32)

    def scalar(self, length: Any) -> Any:
        """A length as a float32 scalar."""
        return jnp.asarray(length, jnp.float32)

    def across(self, pictures: Any, weights: Any) -> Any:
        """`[.., 3, h, w]` and `[n, columns, w]` to `[n, 3, h, columns]`."""
        return jnp.matmul(pictures, weights[:, None].swapaxes(-1, -2), precision="highest")

    def down(self, pictures: Any, weights: Any) -> Any:
        """`[n, 3, h, w]` and `[n, rows, h]` to `[n, 3, rows, w]`."""
        return jnp.matmul(weights[:, None], pictures, precision="highest")
