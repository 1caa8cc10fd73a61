"""One checksum for all arrays of each part of a checkpoint: orbax does not notice a flipped bit in its files."""

import functools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8, UInt32

from flaxmark.system.devices import in_32_bits

METHOD = "mix32"  # of new checkpoints; older ones name none, and have CRC-32
_CHUNK = 1 << 15  # words that stay in a core's cache
Words = TypeVar("Words", np.ndarray, jax.Array)


@in_32_bits
def make_checksums(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Checksums of the parts of a checkpoint: name -> 0 to 2^32 - 1, and `method`; ready for JSON.

    `parts` are trees of arrays, of any shapes and dtypes of whole bytes, on the host or on devices, each complete on
    every process.

    An array is read as words of 32 bits. Each word is mixed with its position, and all are added up; so are the sums
    of a part's arrays. A changed word always changes the sum; words or arrays that change places do, but for one
    chance in 2^32. An accelerator computes the sums itself, and only they leave it. For arrays in the host's memory
    NumPy does, with the same result and without compiling anything.
    """
    leaves, members = _distinct(parts)
    arrays = [_local(leaf) for leaf in leaves]
    if all(isinstance(array, np.ndarray) for array in arrays):
        sums = sums_on_host(arrays, members)
    else:  # NumPy's among them as words, since JAX may cut 64 bits to 32
        arrays = [_words_on_host(array) if isinstance(array, np.ndarray) else array for array in arrays]
        sums = jax.device_get(sums_on_device(arrays, members)).tolist()
    return {"method": METHOD, **dict(zip(parts, sums, strict=True))}


@in_32_bits
def compile_checksums(parts: Mapping[str, Any], device: jax.Device) -> None:
    """Compile the program of `make_checksums` for shapes on a device, for JAX's cache of compiled programs."""
    leaves, members = _distinct(parts)
    place = jax.sharding.SingleDeviceSharding(device)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place) for leaf in leaves]
    sums_on_device.lower(shapes, members).compile()


def _distinct(parts: Mapping[str, Any]) -> tuple[list[Any], tuple[tuple[int, ...], ...]]:
    """The distinct leaves of all parts (the model is in the state, too), and the indices of those in each part."""
    leaves = [jax.tree.leaves(tree) for tree in parts.values()]
    distinct = {id(leaf): leaf for own in leaves for leaf in own}
    numbers = {key: index for index, key in enumerate(distinct)}
    return list(distinct.values()), tuple(tuple(numbers[id(leaf)] for leaf in own) for own in leaves)


def check_checksums(parts: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Compare all or some parts with their saved checksums, in the host's memory; ValueError where they differ.

    Checkpoints before `method` have CRC-32 by name; another method than the known ones is a ValueError, too.
    """
    method = saved.get("method")
    if method not in (None, METHOD):
        raise ValueError(f"its checksums are {method}, which this version does not know; load it with a newer one")
    parts = {name: jax.tree.map(lambda leaf: np.asarray(_local(leaf)), tree) for name, tree in parts.items()}
    found = make_checksums(parts) if method == METHOD else {name: crc32(tree) for name, tree in parts.items()}
    for name in parts:
        if found[name] != saved[name]:
            raise ValueError(f"{name} is not what was saved: another checksum")


def crc32(tree: Any) -> int:
    """CRC-32 of all NumPy arrays of a tree, in its order, as older checkpoints have it."""
    return functools.reduce(lambda total, leaf: zlib.crc32(_bytes(leaf).data, total), jax.tree.leaves(tree), 0)


def sums_on_host(arrays: Sequence[np.ndarray], members: Sequence[Sequence[int]]) -> list[int]:
    """The checksum of each part, 0 to 2^32 - 1; `members` are the indices of its arrays, in its order."""
    sums = [_sum_on_host(_words_on_host(array)) for array in arrays]
    return [_sum_on_host(np.array([sums[index] for index in own], np.uint32)) for own in members]


@functools.partial(jax.jit, static_argnums=1)
def sums_on_device(arrays: Sequence[jax.Array], members: Sequence[Sequence[int]]) -> UInt32[Array, " parts"]:
    """As `sums_on_host`, by one program, which is compiled once for all states of the same shapes."""
    sums = [_sum_on_device(_words_on_device(array)) for array in arrays]
    parts = [jnp.stack([sums[index] for index in own]) if own else jnp.zeros(0, jnp.uint32) for own in members]
    return jnp.stack(list(map(_sum_on_device, parts)))


def _local(leaf: Any) -> Any:
    """An array on one device; NumPy's where that is the host."""
    if isinstance(leaf, jax.Array):
        leaf = leaf.addressable_data(0)
        if next(iter(leaf.devices())).platform != "cpu":
            return leaf
    return np.asarray(leaf)


def _bytes(array: np.ndarray) -> UInt8[np.ndarray, " n"]:
    """The memory of an array."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _words_on_host(array: np.ndarray) -> UInt32[np.ndarray, " n"]:
    """The bits of an array; elements of less than 32 bits have a word each."""
    size = array.dtype.itemsize
    return _bytes(array).view(f"u{min(size, 4)}").astype(np.uint32, copy=False)


def _words_on_device(array: jax.Array) -> UInt32[Array, " n"]:
    """As `_words_on_host`."""
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        array = jnp.stack([array.real, array.imag], axis=-1)
    if array.dtype == jnp.bool_:
        array = array.astype(jnp.uint8)
    word = {1: jnp.uint8, 2: jnp.uint16}.get(array.dtype.itemsize, jnp.uint32)
    return jax.lax.bitcast_convert_type(array, word).astype(jnp.uint32).reshape(-1)


def _sum_on_host(words: UInt32[np.ndarray, " n"]) -> int:
    """Sum of words, each mixed with its position, modulo 2^32."""
    total = 0
    for first in range(0, words.size, _CHUNK):
        part = words[first : first + _CHUNK]
        mixed = _mix(part, np.arange(first, first + part.size, dtype=np.uint32))
        total += int(np.sum(mixed, dtype=np.uint32))
    return total % 2**32


def _sum_on_device(words: UInt32[Array, " n"]) -> UInt32[Array, ""]:
    """As `_sum_on_host`."""
    return jnp.sum(_mix(words, jnp.arange(words.size, dtype=jnp.uint32)), dtype=jnp.uint32)


def _mix(words: Words, positions: Words) -> Words:
    """Spread the differences of words and positions over all 32 bits; at one position no two words become equal.

    The constants are lowbias32's (https://nullprogram.com/blog/2018/07/31/, public domain).
    """
    mixed: Any = words + positions * np.uint32(0x9E3779B1)
    mixed = (mixed ^ (mixed >> 16)) * np.uint32(0x7FEB352D)
    mixed = (mixed ^ (mixed >> 15)) * np.uint32(0x846CA68B)
    return mixed ^ (mixed >> 16)
