"""Regions around faces as they are stored in memory: four bytes a pixel, in tiles that any device copies as a whole.

A TPU pads the last two axes of an array to 8 x 128 words: arrays `[height, width, 3]` would take 42 times their size
there. So a pixel is one 32-bit word (red, green, blue, unused), and a region is a list of tiles of 8 x 128 words.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8, UInt32

from flaxmark.faces.crop_sampler import by_platform

TILE = (8, 128)
STEP = 32  # a square region whose side is a multiple of it fills whole tiles

Arrays = Mapping[str, jax.Array]


def padded_side(side: int) -> int:
    """Side of the square that holds regions of at most `side` pixels."""
    return -(-side // STEP) * STEP


def num_tiles(side: int) -> int:
    """Number of tiles of a padded region."""
    return side * side // (TILE[0] * TILE[1])


def pack_region(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> UInt32[np.ndarray, "num_tiles 8 128"]:
    """Pack a region of at most `side` (from `padded_side`) pixels a side; black beyond its right and lower edge."""
    words = np.zeros((side, side, 4), np.uint8)
    words[: pixels.shape[0], : pixels.shape[1], :3] = pixels
    return words.view("<u4").reshape(-1, *TILE)


def unpack_region(words: UInt32[Array, "num_tiles 8 128"]) -> UInt8[Array, "side side 3"]:
    """Pixels of a packed region."""
    side = round((words.shape[0] * TILE[0] * TILE[1]) ** 0.5)

    def cast(words: jax.Array) -> jax.Array:
        return jax.lax.bitcast_convert_type(words.reshape(side, side), jnp.uint8)[..., :3]

    def shifted(words: jax.Array) -> jax.Array:
        square = words.reshape(side, side)
        return jnp.stack([(square >> shift) & 255 for shift in (0, 8, 16)], axis=-1).astype(jnp.uint8)

    return by_platform(words, gathers=cast, products=shifted)


def join_regions(pixels: UInt32[np.ndarray, "n num_tiles 8 128"]) -> UInt32[np.ndarray, "tiles 8 128"]:
    """Regions as one list of tiles, the form that `pick_region` picks from."""
    return pixels.reshape(-1, *TILE)


def pick_region(faces: Arrays, row: UInt32[Array, ""]) -> dict[str, jax.Array]:
    """Pick one of the faces that are stored on the device.

    `faces` has `pixels` uint32 `[n * num_tiles, 8, 128]` and other arrays `[n, ...]`; the result has the same names
    with `pixels` `[num_tiles, 8, 128]` and others `[...]`.
    """
    tiles = faces["pixels"].shape[0] // faces["crop"].shape[0]
    # Tile by tile: for whole regions, XLA for TPUs first copies the data set in halves, at each step.
    places = row * jnp.uint32(tiles) + jnp.arange(tiles, dtype=jnp.uint32)
    return {name: array[places if name == "pixels" else row] for name, array in faces.items()}
