"""What cameras do to an image: motion blur, colour temperature, grey, noise of the sensor, JPEG compression.

Each function is a `PixelChange` of `flaxmark.data.input.augment`: float32 RGB in [0, 1], the face's own key, and the
config whose field of the same name sets its strength.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flaxmark.data.config import AugmentConfig
from flaxmark.data.drawn.camera import cosine_basis

Image = Float[Array, "size size 3"]

LUMA = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""

DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Of motion: steps down and to the right from pixel to pixel."""

# Quantisation tables of JPEG for luma and chroma: ITU-T T.81, annex K.1.
TABLES = np.array(
    [
        [
            [16, 11, 10, 16, 24, 40, 51, 61],
            [12, 12, 14, 19, 26, 58, 60, 55],
            [14, 13, 16, 24, 40, 57, 69, 56],
            [14, 17, 22, 29, 51, 87, 80, 62],
            [18, 22, 37, 56, 68, 109, 103, 77],
            [24, 35, 55, 64, 81, 104, 113, 92],
            [49, 64, 78, 87, 103, 121, 120, 101],
            [72, 92, 95, 98, 112, 100, 103, 99],
        ],
        [
            [17, 18, 24, 47, 99, 99, 99, 99],
            [18, 21, 26, 66, 99, 99, 99, 99],
            [24, 26, 56, 99, 99, 99, 99, 99],
            [47, 66, 99, 99, 99, 99, 99, 99],
            *[[99] * 8] * 4,
        ],
    ],
    np.float32,
)


def move(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Blur half of the images along a line, as a camera or a head that moves; the border is repeated.

    `config.motion` is the largest length of the line, in 1/100 of the side.
    """
    draws = jax.random.uniform(key, (3,), jnp.float32)
    size = image.shape[0]
    longest = config.motion / 100 * size
    reach = max(1, math.ceil(longest / 2))
    steps = np.arange(-reach, reach + 1)

    def along(direction: tuple[int, int]) -> Image:
        # A diagonal step is longer.
        half = draws[0] * longest / 2 / math.hypot(*direction)
        weights = jnp.clip(half + 0.5 - jnp.abs(steps.astype(np.float32)), 0, 1)
        weights = jnp.where(steps == 0, jnp.maximum(weights, 1e-3), weights)
        padded = jnp.pad(image, ((reach, reach), (reach, reach), (0, 0)), "edge")
        starts = [(reach + step * direction[0], reach + step * direction[1]) for step in steps.tolist()]
        pieces = [padded[row : row + size, column : column + size] for row, column in starts]
        return sum(weights[i] * piece for i, piece in enumerate(pieces)) / weights.sum()

    branches = [functools.partial(along, direction) for direction in DIRECTIONS]
    chosen = jnp.floor(draws[1] * len(branches)).astype(jnp.int32)
    return jax.lax.cond(draws[2] < 0.5, lambda: jax.lax.switch(chosen, branches), lambda: image)


def change_temperature(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Make an image warmer, with more red and less blue, or colder."""
    amount = config.temperature * jax.random.uniform(key, (), jnp.float32, -1.0)
    return image * (1 + amount * jnp.array([1.0, 0.0, -1.0], jnp.float32))[None, None]


def make_grey(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Take the colour from a share of the images."""
    grey = LUMA[0] * image[..., 0:1] + LUMA[1] * image[..., 1:2] + LUMA[2] * image[..., 2:3]
    return jnp.where(jax.random.uniform(key, (), jnp.float32) < config.grey, jnp.tile(grey, (1, 1, 3)), image)


def add_noise(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Add Gaussian noise to half of the images, to each value its own."""
    draws = jax.random.uniform(jax.random.fold_in(key, 0), (2,), jnp.float32)

    def noisy() -> Image:
        noise = jax.random.normal(jax.random.fold_in(key, 1), image.shape, jnp.float32)
        return image + draws[0] * config.noise * noise

    return jax.lax.cond(draws[1] < 0.5, noisy, lambda: image)


def compress(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Round half of the images as JPEG does, at a random quality down to 100 (1 - `config.jpeg`).

    Quality scales the tables as in libjpeg (https://ijg.org); chroma keeps its resolution.
    """
    draws = jax.random.uniform(key, (2,), jnp.float32)
    return jax.lax.cond(draws[1] < 0.5, lambda: quantise(image, 100 * (1 - draws[0] * config.jpeg)), lambda: image)


def quantise(image: Image, quality: Float[Array, ""]) -> Image:
    """Round the cosine coefficients of blocks of 8 x 8 pixels to multiples of JPEG's tables at a quality, 0 to 100."""
    size = image.shape[0]
    room = -size % 8
    padded = jnp.pad(255 * image - 128, ((0, room), (0, room), (0, 0)), "edge")
    blocks = (size + room) // 8
    to_planes = _colour_planes()
    planes = jnp.einsum("yxc,pc->pyx", padded, to_planes, precision="highest")
    tiles = planes.reshape(3, blocks, 8, blocks, 8).transpose(0, 1, 3, 2, 4)
    cosines = cosine_basis()
    scale = jnp.where(quality < 50, jnp.floor(5000 / jnp.maximum(quality, 1)), 200 - 2 * quality)
    tables = jnp.clip(jnp.floor((TABLES[[0, 1, 1]] * scale + 50) / 100), 1, 255)[:, None, None]
    coefficients = jnp.einsum("ij,pabjk,lk->pabil", cosines, tiles, cosines, precision="highest")
    rounded = jnp.round(coefficients / tables) * tables
    tiles = jnp.einsum("ji,pabjk,kl->pabil", cosines, rounded, cosines, precision="highest")
    planes = tiles.transpose(0, 1, 3, 2, 4).reshape(3, 8 * blocks, 8 * blocks)[:, :size, :size]
    back = np.linalg.inv(to_planes.astype(np.float64)).astype(np.float32)
    return (jnp.einsum("pyx,cp->yxc", planes, back, precision="highest") + 128) / 255


def _colour_planes() -> Float[np.ndarray, "3 3"]:
    """Brightness, blue and red difference of a colour, centred (JFIF)."""
    luma = np.array(LUMA)
    blue, red = (np.eye(3)[2] - luma) / (2 * (1 - LUMA[2])), (np.eye(3)[0] - luma) / (2 * (1 - LUMA[0]))
    return np.stack([luma, blue, red]).astype(np.float32)
