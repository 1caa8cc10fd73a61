"""Random changes of a training face, drawn from (seed, epoch, index) alone.

Everything that moves pixels is one affine warp: rotation, scale, shift, flip and crop at once.
"""

import math
from typing import Any

import numpy as np

from flaxmark.config import AugmentConfig, DataConfig
from flaxmark.data.tensorflow_setup import tf
from flaxmark.landmarks import IBUG_68, Markup

Tensor = Any  # TensorFlow ships no type stubs.


def affine_of_crop(config: AugmentConfig, seed: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the affine map from the warped crop to the crop, both in crop units about the crop's middle.

    Args:
        config: Ranges.
        seed: int32 `[2]`.

    Returns:
        Matrix float32 `[2, 2]` and shift float32 `[2]`: source = matrix @ (target - 0.5) + 0.5 + shift;
        a flip is in the matrix (its determinant is negative then).
    """
    draws = tf.random.stateless_uniform([5], seed, -1.0, 1.0)
    angle = draws[0] * (config.rotation * math.pi / 180)
    zoom = 1.0 + draws[1] * config.scale
    shift = draws[2:4] * config.shift
    mirror = tf.where((draws[4] < 0) & config.flip, -1.0, 1.0)
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    matrix = tf.stack([tf.stack([cos * mirror, -sin]), tf.stack([sin * mirror, cos])])
    return matrix, shift


def warp_landmarks(landmarks: Tensor, matrix: Tensor, shift: Tensor, markup: Markup = IBUG_68) -> Tensor:
    """Move landmarks as `warp_pixels` moves the picture.

    Args:
        landmarks: float32 `[num_points, 2]`, crop units.
        matrix: `[2, 2]`, from `affine_of_crop`.
        shift: `[2]`.
        markup: Says how points are renamed by a flip.

    Returns:
        float32 `[num_points, 2]`, units of the warped crop.
    """
    moved = tf.linalg.matmul(landmarks - 0.5 - shift, tf.linalg.inv(matrix), transpose_b=True) + 0.5
    flipped = tf.linalg.det(matrix) < 0
    return tf.where(flipped, tf.gather(moved, list(markup.flip_order)), moved)


def warp_pixels(pixels: Tensor, crop: Tensor, matrix: Tensor, shift: Tensor, size: int) -> Tensor:
    """Sample the warped crop; the same samples as `geometry.warp_crop` where the map is the identity.

    Args:
        pixels: uint8 `[height, width, 3]`.
        crop: float32 `[3]`: left, top, side in `pixels`.
        matrix: `[2, 2]`, from `affine_of_crop`.
        shift: `[2]`.
        size: Side of the result in pixels.

    Returns:
        float32 `[size, size, 3]` in [0, 255]; each pixel is the mean of k x k bilinear samples, black
        beyond the picture.
    """
    side = crop[2]
    # How far one output pixel reaches in the source, so that shrinking stays antialiased when zooming out.
    reach = side * tf.sqrt(tf.abs(tf.linalg.det(matrix))) / size
    count = tf.maximum(1, tf.cast(tf.math.ceil(reach - 0.5 - 1e-4), tf.int32))  # as geometry.samples_per_pixel
    samples = count * size
    step = side / tf.cast(samples, tf.float32)
    # Sample (x, y) has crop units (x + 0.5) / samples; ImageProjectiveTransform wants source pixel = A (x, y) + b.
    linear = matrix * step
    middle = tf.linalg.matvec(matrix, tf.fill([2], 0.5 / tf.cast(samples, tf.float32) - 0.5))
    offset = (middle + 0.5 + shift) * side + crop[:2] - 0.5
    transform = tf.stack([linear[0, 0], linear[0, 1], offset[0], linear[1, 0], linear[1, 1], offset[1], 0.0, 0.0])
    sampled = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(pixels, tf.float32)[None],
        transforms=transform[None],
        output_shape=tf.stack([samples, samples]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
    grouped = tf.reshape(sampled, tf.stack([size, count, size, count, 3]))
    return tf.ensure_shape(tf.reduce_mean(grouped, axis=[1, 3]), [size, size, 3])


def change_pixels(image: Tensor, config: DataConfig, seed: Tensor) -> Tensor:
    """Change light, colour, sharpness and visibility, each only where its range is not 0, and normalise.

    Args:
        image: float32 `[size, size, 3]` in [0, 255].
        config: Ranges and normalisation.
        seed: int32 `[2]`.

    Returns:
        float32 like `image`, what the network is fed; not clipped to the range of pixels, so that nothing is lost in
        highlights and shadows.
    """
    augment, seeds = config.augment, tf.random.split(seed, 3)
    draws = tf.random.stateless_uniform([3], seeds[0], -1.0, 1.0)
    if augment.blur:
        image = _blur(image, augment.blur / 100, seeds[1])
    saturation, contrast = 1 + draws[0] * augment.saturation, 1 + draws[1] * augment.contrast
    # Both are linear in RGB and neither changes the mean, so with the normalisation they are one matrix and one shift.
    matrix = contrast * (saturation * tf.eye(3) + (1 - saturation) / 3)
    shift = (1 - contrast) * tf.reduce_mean(image) / 255 + draws[2] * augment.brightness
    image = apply_colours(image, matrix, shift, config)
    if augment.occlusion:
        image = _occlude(image, config, seeds[2])
    return image


def apply_colours(image: Tensor, matrix: Tensor, shift: Tensor, config: DataConfig) -> Tensor:
    """Map colours and normalise, in one pass.

    Args:
        image: float32 `[size, size, 3]` in [0, 255].
        matrix: `[3, 3]`, symmetric, of RGB in [0, 1].
        shift: `[]`, added to all channels in [0, 1].
        config: Normalisation.

    Returns:
        float32 like `image`, what the network is fed.
    """
    size = image.shape[0]
    mapped = tf.linalg.matmul(tf.reshape(image, [-1, 3]), matrix / (255 * tf.constant(config.pixel_std, tf.float32)))
    # Rows as long as the picture's: adding to the last three values alone is several times slower.
    rows = tf.reshape(mapped, [size, 3 * size]) + tf.tile(config.normalize(tf.fill([3], shift)), [size])
    return tf.reshape(rows, [size, size, 3])


def _blur(image: Tensor, largest: float, seed: Tensor) -> Tensor:
    """Gaussian blur of half of the pictures, up to `largest` of the side as standard deviation."""
    size = image.shape[0]
    draws = tf.random.stateless_uniform([2], seed)
    sigma = draws[0] * largest * size
    reach = max(1, math.ceil(2 * largest * size))
    offsets = tf.range(-reach, reach + 1, dtype=tf.float32)
    distance = np.arange(size)[None, :] - np.arange(size)[:, None]
    inside = np.abs(distance) <= reach

    def blurred() -> Tensor:
        weights = tf.exp(-tf.square(offsets) / (2 * tf.square(sigma) + 1e-6))
        # Rows then columns as two banded matrix products, several times faster here than a depthwise convolution.
        band = tf.gather(weights, np.clip(distance + reach, 0, 2 * reach)) * inside.astype(np.float32)
        band /= tf.reduce_sum(band, axis=1, keepdims=True)
        return tf.einsum("ij,jkc,lk->ilc", band, image, band)

    return tf.cond(draws[1] < 0.5, blurred, lambda: image)


def _occlude(image: Tensor, config: DataConfig, seed: Tensor) -> Tensor:
    """Cover a rectangle of half of the pictures, which are normalised, with one colour."""
    size = image.shape[0]
    draws = tf.random.stateless_uniform([8], seed)
    extent = draws[:2] * config.augment.occlusion
    start = draws[3:5] * (1 - extent)

    def occluded() -> Tensor:
        units = (tf.range(size, dtype=tf.float32) + 0.5) / size
        rows = (units >= start[1]) & (units < start[1] + extent[1])
        columns = (units >= start[0]) & (units < start[0] + extent[0])
        covered = (rows[:, None] & columns[None, :])[..., None]
        return tf.where(covered, config.normalize(draws[5:8]), image)

    return tf.cond(draws[2] < 0.5, occluded, lambda: image)
