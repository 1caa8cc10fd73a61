"""Random changes of a training face, drawn from (seed, epoch, index) alone.

Everything that moves pixels is one affine warp: rotation, scale, shift, flip and crop at once.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

from flaxmark.config import AugmentConfig, DataConfig
from flaxmark.data.tensorflow_setup import tf
from flaxmark.landmarks import Markup

Tensor = Any  # TensorFlow ships no type stubs.
RANDOM = "philox"


@functools.cache
def make_face_programs(config: DataConfig) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What is done to a decoded face, compiled by XLA: several times as fast as TensorFlow's operations one by one.

    Args:
        config: Size, normalisation, augmentation.

    Returns:
        For training `(pixels, shape, crop, landmarks, seed) -> (image, landmarks)`, for evaluation
        `(pixels, shape, crop) -> image`; both called again and again without being compiled anew. `pixels`, `shape`
        and `crop` are those of `warp_pixels`, `landmarks` float32 `[num_points, 2]` in crop units, `seed` int32 `[2]`.
    """

    @tf.function(jit_compile=True)
    def augmented(
        pixels: Tensor, shape: Tensor, crop: Tensor, landmarks: Tensor, seed: Tensor
    ) -> tuple[Tensor, Tensor]:
        geometric, photometric = tf.unstack(tf.random.split(seed, 2, alg=RANDOM))
        matrix, shift = affine_of_crop(config.augment, geometric)
        image = warp_pixels(pixels, shape, crop, matrix, shift, config.image_size)
        return change_pixels(image, config, photometric), warp_landmarks(landmarks, matrix, shift, config.markup)

    @tf.function(jit_compile=True)
    def plain(pixels: Tensor, shape: Tensor, crop: Tensor) -> Tensor:
        image = warp_pixels(pixels, shape, crop, tf.eye(2), tf.zeros(2), config.image_size)
        return config.normalize(image / 255)

    return augmented, plain


def uniform(count: int, seed: Tensor, low: float = 0.0) -> Tensor:
    """Draw numbers; from bits, as XLA's own uniform numbers are others than TensorFlow's.

    Args:
        count: How many.
        seed: int32 `[2]`.
        low: The range is [low, 1).

    Returns:
        float32 `[count]`, the same compiled or not.
    """
    bits = tf.random.stateless_uniform([count], seed, minval=None, maxval=None, dtype=tf.int32, alg=RANDOM)
    # 24 bits, as many as a float32 holds; the sign bit is left out.
    return low + (1 - low) * tf.cast(tf.bitwise.bitwise_and(bits, 0xFFFFFF), tf.float32) / 2**24


def affine_of_crop(config: AugmentConfig, seed: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the affine map from the warped crop to the crop, both in crop units about the crop's middle.

    Args:
        config: Ranges.
        seed: int32 `[2]`.

    Returns:
        Matrix float32 `[2, 2]` and shift float32 `[2]`: source = matrix @ (target - 0.5) + 0.5 + shift;
        a flip is in the matrix (its determinant is negative then).
    """
    draws = uniform(5, seed, low=-1.0)
    angle = draws[0] * (config.rotation * math.pi / 180)
    zoom = 1.0 + draws[1] * config.scale
    shift = draws[2:4] * config.shift
    mirror = tf.where((draws[4] < 0) & config.flip, -1.0, 1.0)
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    matrix = tf.stack([tf.stack([cos * mirror, -sin]), tf.stack([sin * mirror, cos])])
    return matrix, shift


def warp_landmarks(landmarks: Tensor, matrix: Tensor, shift: Tensor, markup: Markup) -> Tensor:
    """Move landmarks as `warp_pixels` moves the picture.

    Args:
        landmarks: float32 `[num_points, 2]`, crop units.
        matrix: `[2, 2]`, from `affine_of_crop`.
        shift: `[2]`.
        markup: Says how points are renamed by a flip.

    Returns:
        float32 `[num_points, 2]`, units of the warped crop.
    """
    adjugate = tf.stack([tf.stack([matrix[1, 1], -matrix[0, 1]]), tf.stack([-matrix[1, 0], matrix[0, 0]])])
    inverse = adjugate / _determinant(matrix)
    moved = tf.linalg.matmul(landmarks - 0.5 - shift, inverse, transpose_b=True) + 0.5
    if markup.flip_order is None:  # nothing is mirrored then
        return moved
    flipped = _determinant(matrix) < 0
    return tf.where(flipped, tf.gather(moved, list(markup.flip_order)), moved)


def _determinant(matrix: Tensor) -> Tensor:
    """Of a `[2, 2]` matrix; XLA has none of its own."""
    return matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]


def warp_pixels(pixels: Tensor, shape: Tensor, crop: Tensor, matrix: Tensor, shift: Tensor, size: int) -> Tensor:
    """Sample the warped crop; the same samples as `geometry.warp_crop` where the map is the identity.

    Args:
        pixels: uint8 `[at least height * width, 3]`: the picture's rows one after another, so that XLA sees one shape.
        shape: int32 `[2]`: height and width.
        crop: float32 `[3]`: left, top, side in pixels of the picture.
        matrix: `[2, 2]`, from `affine_of_crop`.
        shift: `[2]`.
        size: Side of the result in pixels.

    Returns:
        float32 `[size, size, 3]` in [0, 255]; each pixel is the mean of k x k bilinear samples, black
        beyond the picture.
    """
    side = crop[2]
    # How far one output pixel reaches in the source, so that shrinking stays antialiased when zooming out.
    reach = side * tf.sqrt(tf.abs(_determinant(matrix))) / size
    count = tf.maximum(1, tf.cast(tf.math.ceil(reach - 0.5 - 1e-4), tf.int32))  # as geometry.samples_per_pixel
    units = (tf.range(size, dtype=tf.float32) + 0.5) / size - 0.5
    origin = (shift + 0.5) * side + crop[:2] - 0.5

    def add_sample(number: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        row, column = number // count, number % count
        within = ((tf.cast(tf.stack([column, row]), tf.float32) + 0.5) / tf.cast(count, tf.float32) - 0.5) / size
        x, y = (units + within[0])[None, :], (units + within[1])[:, None]
        source_x = (matrix[0, 0] * x + matrix[0, 1] * y) * side + origin[0]
        source_y = (matrix[1, 0] * x + matrix[1, 1] * y) * side + origin[1]
        return number + 1, total + _bilinear(pixels, shape, source_x, source_y)

    start = (0, tf.zeros([size, size, 3]))
    _, total = tf.while_loop(lambda number, _: number < count * count, add_sample, start)
    return total / tf.cast(count * count, tf.float32)


def _bilinear(pixels: Tensor, shape: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Pixels at places between pixels float32 `[size, size, 3]`; those beyond the picture are black."""
    left, top = tf.floor(x), tf.floor(y)
    right_share, lower_share = (x - left)[..., None], (y - top)[..., None]
    column, row = tf.cast(left, tf.int32), tf.cast(top, tf.int32)

    def at(row: Tensor, column: Tensor) -> Tensor:
        inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        taken = tf.gather(pixels, tf.where(inside, row * shape[1] + column, 0))
        return tf.where(inside[..., None], tf.cast(taken, tf.float32), 0.0)

    upper = at(row, column) * (1 - right_share) + at(row, column + 1) * right_share
    lower = at(row + 1, column) * (1 - right_share) + at(row + 1, column + 1) * right_share
    return upper * (1 - lower_share) + lower * lower_share


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
    augment, seeds = config.augment, tf.random.split(seed, 3, alg=RANDOM)
    draws = uniform(3, seeds[0], low=-1.0)
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
    draws = uniform(2, seed)
    sigma = draws[0] * largest * size
    reach = max(1, math.ceil(2 * largest * size))
    weights = tf.exp(-tf.square(tf.range(-reach, reach + 1, dtype=tf.float32)) / (2 * tf.square(sigma) + 1e-6))

    def along_rows(picture: Tensor) -> Tensor:
        padded = tf.pad(picture, [[reach, reach], [0, 0], [0, 0]])
        # What lies beyond the picture has no weight.
        inside = tf.pad(tf.ones([size, 1, 1]), [[reach, reach], [0, 0], [0, 0]])
        terms = range(2 * reach + 1)
        total = tf.add_n([weights[k] * inside[k : k + size] for k in terms])
        return tf.add_n([weights[k] * padded[k : k + size] for k in terms]) / total

    def blurred() -> Tensor:
        return tf.transpose(along_rows(tf.transpose(along_rows(image), [1, 0, 2])), [1, 0, 2])

    return tf.cond(draws[1] < 0.5, blurred, lambda: image)


def _occlude(image: Tensor, config: DataConfig, seed: Tensor) -> Tensor:
    """Cover a rectangle of half of the pictures, which are normalised, with one colour."""
    size = image.shape[0]
    draws = uniform(8, seed)
    extent = draws[:2] * config.augment.occlusion
    start = draws[3:5] * (1 - extent)

    def occluded() -> Tensor:
        units = (tf.range(size, dtype=tf.float32) + 0.5) / size
        rows = (units >= start[1]) & (units < start[1] + extent[1])
        columns = (units >= start[0]) & (units < start[0] + extent[0])
        covered = (rows[:, None] & columns[None, :])[..., None]
        return tf.where(covered, config.normalize(draws[5:8]), image)

    return tf.cond(draws[2] < 0.5, occluded, lambda: image)
