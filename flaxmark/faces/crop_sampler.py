"""The crop sampler: pixels of a square crop under an affine map, antialiased where it shrinks.

Training, evaluation, predict and export all sample with this module. A pixel of the result is the mean of k x k
bilinear samples spread evenly over its area, black outside the image; k is the smallest number that uses every source
pixel. Rotated crops are sampled in one of two equivalent forms, upright ones also as two matrix products.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, BFloat16, Float32, UInt8
from scipy.sparse import csr_array

from flaxmark.faces.array_library import JAX, NUMPY, ArrayLibrary, Values
from flaxmark.faces.crop import FaceRegion, sampled_window

# A bilinear sample is 2 source pixels wide, so samples may be 1.5 pixels apart, plus rounding.
REACH, ROUNDING = 0.5, 1e-4


class Affine(NamedTuple):
    """A map from the result to the crop, in crop units about the centre of the crop.

    source = matrix @ (target - 0.5) + 0.5 + shift; the determinant is negative if it mirrors.
    """

    matrix: Float32[Array, "2 2"]
    shift: Float32[Array, "2"]


def most_samples(side: float, size: int, zoom: float = 1.0) -> int:
    """The largest number of samples along an axis that any crop needs: the length of compiled loops.

    `side` is that of the largest crop, `size` that of the result, both in pixels; `zoom` is the smallest scale that an
    affine map gives to the face.
    """
    return max(1, math.ceil(side / (zoom * size) - REACH - ROUNDING))


def sample_crop(
    pixels: UInt8[Array, "height width 3"],
    crop: Float32[Array, "3"],
    size: int,
    most: int,
    affine: Affine | None = None,
) -> Float32[Array, "size size 3"]:
    """Sample a crop (left, top, side, in pixels) at the network's resolution, in [0, 255].

    `most` is from `most_samples`. `affine` rotates, scales, shifts and mirrors the crop; without it, it is upright.
    """
    linear, origin, count = _source_map(crop, size, most, affine)
    gathers, products = (partial(form, size=size, most=most) for form in (sample_by_gathers, sample_by_products))
    return by_platform(pixels, linear, origin, count, gathers=gathers, products=products)


def by_platform(*arguments: jax.Array, gathers: Any, products: Any) -> jax.Array:
    """Call the form of a computation that is fast on the platform: `products` on TPUs, else `gathers`.

    TPUs gather single pixels slowly, and XLA computes the weights of a product inside it there
    (docs/results/predicted_cost.md). GPUs and CPUs gather fast, and would write those weights to memory.
    """
    return jax.lax.platform_dependent(*arguments, tpu=products, default=gathers)


def _source_map(
    crop: Float32[Array, "3"], size: int, most: int, affine: Affine | None
) -> tuple[Float32[Array, "2 2"], Float32[Array, "2"], Float32[Array, ""]]:
    """`linear` and `origin` of source = linear @ (pixel from the centre) + origin, in pixels, and samples per axis."""
    corner, side = crop[:2], crop[2]
    matrix, shift = (jnp.eye(2, dtype=jnp.float32), jnp.zeros(2, jnp.float32)) if affine is None else affine
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    count = jnp.minimum(_count(JAX, side * jnp.sqrt(jnp.abs(determinant)) / size), float(most))
    return matrix * (side / size), (shift + 0.5) * side + corner - 0.5, count


def _count(xp: ArrayLibrary, reach: Values) -> Values:
    """Samples along each axis for one pixel that covers `reach` pixels of the source."""
    return xp.maximum(0.0 - xp.floor((REACH + ROUNDING) - reach), 1.0)


def sample_by_gathers(
    pixels: UInt8[Array, "height width 3"],
    linear: Float32[Array, "2 2"],
    origin: Float32[Array, "2"],
    count: Float32[Array, ""],
    size: int,
    most: int,
) -> Float32[Array, "size size 3"]:
    """Bilinear gathers of single pixels, for CPUs and GPUs; the result is in [0, 255].

    `linear` maps a step (x, y) in the result to a step in the source, `origin` is the centre of the result in the
    source, both in pixels; `count` is the number of samples along each axis of a pixel, a whole number up to `most`.
    """
    height, width, _ = pixels.shape
    flat, middle = pixels.reshape(-1, 3), jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2

    def at(row: jax.Array, column: jax.Array) -> jax.Array:
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return jnp.where(inside[..., None], flat[jnp.where(inside, row * width + column, 0)].astype(jnp.float32), 0.0)

    def sample(right: Values, down: Values) -> jax.Array:
        x, y = (middle + right)[None, :], (middle + down)[:, None]
        source_x = linear[0, 0] * x + linear[0, 1] * y + origin[0]
        source_y = linear[1, 0] * x + linear[1, 1] * y + origin[1]
        left, top = jnp.floor(source_x), jnp.floor(source_y)
        across, along = (source_x - left)[..., None], (source_y - top)[..., None]
        column, row = left.astype(jnp.int32), top.astype(jnp.int32)
        upper = at(row, column) * (1 - across) + at(row, column + 1) * across
        lower = at(row + 1, column) * (1 - across) + at(row + 1, column + 1) * across
        return upper * (1 - along) + lower * along

    if most == 1:
        return sample(0.0, 0.0)

    def add(number: jax.Array, total: jax.Array) -> jax.Array:
        right, down = (number % most).astype(jnp.float32), (number // most).astype(jnp.float32)
        # Compiled for one face, samples that are not needed are skipped; for a batch, they are computed and dropped.
        return jax.lax.cond(
            jnp.maximum(right, down) < count,
            lambda: total + sample(_within(right, count), _within(down, count)),
            lambda: total,
        )

    return jax.lax.fori_loop(0, most * most, add, jnp.zeros((size, size, 3), jnp.float32)) / (count * count)


def _within(number: Values, count: Values) -> Values:
    """Position of a sample in its pixel, from the pixel's centre, in (-0.5, 0.5)."""
    return (number + 0.5) / count - 0.5


def sample_by_products(
    pixels: UInt8[Array, "height width 3"],
    linear: Float32[Array, "2 2"],
    origin: Float32[Array, "2"],
    count: Float32[Array, ""],
    size: int,
    most: int,
) -> Float32[Array, "size size 3"]:
    """As `sample_by_gathers`, as two banded matrix products in bfloat16: for TPUs.

    Rows first, then columns (Catmull and Smith, SIGGRAPH 1980). For a source at (a x + b y + c, d x + e y + g), row v
    of the source is needed where y = (v - d x - g) / e, at the column (a - b d / e) x + (b / e) (v - g) + c. For faces
    rotated by more than 45 degrees e is small, and the transposed image is sampled instead.
    """
    # Square, so that the transposed image has the same shape.
    longest = max(pixels.shape[:2])
    pixels = jnp.pad(pixels, [(0, longest - pixels.shape[0]), (0, longest - pixels.shape[1]), (0, 0)])
    lying = jnp.abs(linear[1, 1]) < jnp.abs(linear[0, 1])
    pixels = jnp.where(lying, pixels.swapaxes(0, 1), pixels).astype(jnp.bfloat16)
    (a, b), (d, e) = jnp.where(lying, linear[::-1], linear)
    c, g = jnp.where(lying, origin[::-1], origin)
    middle, source = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2, jnp.arange(longest, dtype=jnp.float32)
    total = jnp.zeros((size, size, 3), jnp.float32)
    for number in range(most):  # columns of samples
        x = middle + _within(jnp.minimum(float(number), count - 1), count)
        columns = (a - b * d / e) * x[None, :] + (b / e) * (source[:, None] - g) + c
        rows = jnp.einsum("vxu,vuk->vxk", _tent(columns, longest), pixels, preferred_element_type=jnp.bfloat16)
        weights: Values = 0.0
        for other in range(most):
            y = middle + _within(jnp.minimum(float(other), count - 1), count)
            weights += _tent(d * x[:, None] + e * y[None, :] + g, longest) * (other < count).astype(jnp.bfloat16)
        part = jnp.einsum("xyv,vxk->yxk", weights, rows, preferred_element_type=jnp.float32)
        total += part * (number < count).astype(jnp.float32)
    return total / (count * count)


def _tent(positions: Float32[Array, "*shape"], length: int) -> BFloat16[Array, "*shape length"]:
    """Weights of bilinear sampling at positions, for each of `length` pixels."""
    distance = jnp.abs(positions[..., None] - jnp.arange(length, dtype=jnp.float32)[None, None, :])
    return jnp.maximum(1 - distance, 0).astype(jnp.bfloat16)


def upright_weights(xp: ArrayLibrary, start: Values, side: Values, size: int, length: int, most: int) -> Values:
    """Weights float32 `[n, size, length]` that sample one axis of upright crops: `weights @ pixels`.

    `start` (left or top of the crops) and `side` are float32 `[n, 1, 1]` in pixels, arrays of the library `xp`; the
    source has `length` pixels along this axis; `most` is from `most_samples`. The samples are those of `sample_crop`.
    """
    count = _count(xp, side / float(size))
    step = side / (float(size) * count)
    rows, source, weights = xp.column(xp.arange(size)), xp.arange(length), 0.0 * side
    for number in range(most):
        place = start - 0.5 + (rows * count + (number + 0.5)) * step
        near = xp.maximum(1.0 - xp.absolute(place - source), 0.0)
        weights = weights + near * xp.less(float(number), count)
    return weights / count


def crop_image(region: FaceRegion, size: int) -> Float32[np.ndarray, "size size 3"]:
    """Sample the upright crop of one face on the host as `sample_crop` does, without compiling or starting a device."""
    left, top, side = region.crop
    # Pixels that no sample reads are left out first.
    x0, y0, x1, y1 = sampled_window(region.crop, region.pixels.shape[1], region.pixels.shape[0])
    pixels, most = region.pixels[y0:y1, x0:x1].astype(np.float32), most_samples(side, size)

    def along(pixels: np.ndarray, start: float) -> np.ndarray:
        first, extent = (np.full((1, 1, 1), value, np.float32) for value in (start, side))
        # Sparse: each pixel needs a few others. After a dense product the threads of BLAS would go on spinning.
        weights = csr_array(upright_weights(NUMPY, first, extent, size, len(pixels), most)[0])
        return (weights @ pixels.reshape(len(pixels), -1)).reshape(size, -1, 3)

    return along(along(pixels, top - y0).swapaxes(0, 1), left - x0).swapaxes(0, 1)
