"""Regions around faces as they lie in memory: four bytes a pixel, cut into tiles that any device fetches whole.

A TPU pads the last two axes of an array to 8 x 128 words: arrays `[height, width, 3]` would take 42 times their size
there. So a pixel is one 32-bit word (red, green, blue, nothing), and a region a list of tiles of 8 x 128 words.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from flaxmark.faces.crop_sampler import by_platform

TILE = (8, 128)
STEP = 32  # a square region whose side is a multiple of it fills whole tiles

Arrays = Mapping[str, jax.Array]


def padded_side(side: int) -> int:
    """The side of the square that holds regions of at most `side` pixels."""
    return -(-side // STEP) * STEP


def num_tiles(side: int) -> int:
    """Tiles of a padded region."""
    return side * side // (TILE[0] * TILE[1])


def pack_region(pixels: np.ndarray, side: int) -> np.ndarray:
    """Lay a region out in memory, black beyond its right and lower edge.

    Args:
        pixels: uint8 `[height, width, 3]`, at most `side` pixels high and wide.
        side: From `padded_side`.

    Returns:
        uint32 `[num_tiles, 8, 128]`.
    """
    words = np.zeros((side, side, 4), np.uint8)
    words[: pixels.shape[0], : pixels.shape[1], :3] = pixels
    return words.view("<u4").reshape(-1, *TILE)


def unpack_region(words: jax.Array) -> jax.Array:
    """Read a packed region.

    Args:
        words: uint32 `[num_tiles, 8, 128]`.

    Returns:
        uint8 `[side, side, 3]`.
    """
    side = round((words.shape[0] * TILE[0] * TILE[1]) ** 0.5)

    def cast(words: jax.Array) -> jax.Array:
        return jax.lax.bitcast_convert_type(words.reshape(side, side), jnp.uint8)[..., :3]

    def shifted(words: jax.Array) -> jax.Array:
        square = words.reshape(side, side)
        return jnp.stack([(square >> shift) & 255 for shift in (0, 8, 16)], axis=-1).astype(jnp.uint8)

    return by_platform(words, gathers=cast, products=shifted)


def join_regions(pixels: np.ndarray) -> np.ndarray:
    """Regions `[n, num_tiles, 8, 128]` as one list of tiles: the form that `pick_region` picks from."""
    return pixels.reshape(-1, *TILE)


def pick_region(faces: Arrays, row: jax.Array) -> dict[str, jax.Array]:
    """Pick one of the faces that lie on the device.

    Args:
        faces: `pixels` uint32 `[n * num_tiles, 8, 128]` and others `[n, ...]`.
        row: uint32 `[]`.

    Returns:
        The same names: `pixels` uint32 `[num_tiles, 8, 128]`, others `[...]`.
    """
    tiles = faces["pixels"].shape[0] // faces["crop"].shape[0]
    # Tile by tile: of whole regions XLA for TPUs copies the data set in halves first, each step.
    places = row * jnp.uint32(tiles) + jnp.arange(tiles, dtype=jnp.uint32)
    return {name: array[places if name == "pixels" else row] for name, array in faces.items()}
