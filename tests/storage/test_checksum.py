"""One number for all arrays of a part: the same wherever they are, another one where a bit is."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from flaxmark.storage.checksum import METHOD, check_checksums, crc32, make_checksums, sums_on_device, sums_on_host

DTYPES = (np.float32, np.int32, np.uint8, np.bool_, ml_dtypes.bfloat16, np.float16, np.float64, np.int64, np.complex64)


def random_bits(dtype: Any, *shape: int) -> np.ndarray:
    """Any bits, also those of NaN."""
    rng, dtype = np.random.default_rng(sum(shape)), np.dtype(dtype)
    if dtype == np.bool_:
        return np.asarray(rng.integers(0, 2, shape) == 1)
    return rng.integers(0, 256, (*shape, dtype.itemsize), dtype=np.uint8).view(dtype).reshape(shape)


def on_device(array: np.ndarray) -> int:
    return int(sums_on_device([jnp.asarray(array)], ((0,),))[0])


def on_host(array: np.ndarray) -> int:
    return sums_on_host([array], ((0,),))[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (70_001,), (0, 4)])
def test_host_and_device_come_to_the_same(dtype: Any, shape: tuple[int, ...]) -> None:
    array = random_bits(dtype, *shape)
    with jax.enable_x64(True):
        assert on_device(array) == on_host(array)
    assert on_host(np.asfortranarray(array)) == on_host(array)


def test_the_number_does_not_change_from_version_to_version() -> None:
    assert on_host(np.arange(100_000, dtype=np.float32)) == 3922585898
    assert make_checksums({"a": [np.float32(1), np.int32(2)], "b": []}) == {"method": "mix32", "a": 3752297639, "b": 0}


def test_one_device_and_eight_and_numpy() -> None:
    host = {"kernel": random_bits(np.float32, 3, 3, 16), "step": np.array(7, np.int32)}
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ("data",))
    assert mesh.size == 8
    everywhere = jax.device_put(host, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    made = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))(everywhere)
    expected = make_checksums({"state": host})
    assert expected["method"] == METHOD
    for tree in (jax.device_put(host), everywhere, made):
        assert make_checksums({"state": tree}) == expected
    arrays = jax.tree.leaves(everywhere)
    assert sums_on_device(arrays, ((0, 1),)).tolist() == [expected["state"]]
    assert sums_on_device([array.addressable_data(3) for array in arrays], ((0, 1),)).tolist() == [expected["state"]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_flipped_bit_is_noticed(dtype: Any) -> None:
    array = random_bits(dtype, 5)
    if np.dtype(dtype) == np.bool_:
        others = [np.where(np.arange(5) == i, ~array, array) for i in range(5)]
    else:
        flat = array.view(np.uint8)
        others = [
            np.where(np.arange(flat.size) == i, flat ^ np.uint8(1 << bit), flat).view(dtype)
            for i in range(flat.size)
            for bit in range(8)
        ]
    assert on_host(array) not in {on_host(other) for other in others}


def test_whatever_changes_places_is_noticed() -> None:
    """Also what differs in few bits, far apart: zeros of either sign, powers of two, rows of a kernel."""
    rng, size = np.random.default_rng(0), 1 << 14
    values = rng.choice(np.array([0.0, -0.0, 1, -1, 2, 0.5], np.float32), size)
    expected = on_host(values)
    for _ in range(2000):
        one, other = rng.integers(0, size, 2)
        if values[one].tobytes() != values[other].tobytes():
            swapped = values.copy()
            swapped[[one, other]] = values[[other, one]]
            assert on_host(swapped) != expected
    rows = values.reshape(64, 256)
    assert on_host(rows[[1, 0, *range(2, 64)]]) != expected
    a, b = random_bits(np.float32, 8), random_bits(np.float32, 3, 3)
    assert make_checksums({"x": [a, b]})["x"] != make_checksums({"x": [b, a]})["x"]
    assert make_checksums({"x": [a, a]})["x"] != make_checksums({"x": [a]})["x"]


def test_what_is_shared_by_parts_counts_in_each() -> None:
    a, b = random_bits(np.float32, 8), random_bits(np.float32, 9)
    together = make_checksums({"state": [a, b], "model": [b]})
    assert together["model"] == make_checksums({"model": [b.copy()]})["model"]
    assert together["state"] == make_checksums({"state": [a, b.copy()]})["state"]


def test_one_program_for_all_states_of_the_same_shapes() -> None:
    before = sums_on_device._cache_size()
    for seed in range(3):
        array = jnp.full((4, 7), seed, jnp.int32)
        sums_on_device([array, array + 1], ((0, 1), (1,)))
    assert sums_on_device._cache_size() == before + 1


def test_the_method_is_told_by_what_was_saved() -> None:
    parts = {"state": [random_bits(np.float32, 40)], "model": [random_bits(np.float32, 4)]}
    check_checksums(parts, make_checksums(parts))
    check_checksums({"model": parts["model"]}, make_checksums(parts))
    old = {name: crc32(tree) for name, tree in parts.items()}
    check_checksums(parts, old)
    for saved in (make_checksums(parts), old):
        with pytest.raises(ValueError, match="model is not what was saved"):
            check_checksums(parts, saved | {"model": saved["model"] ^ 1})
        with pytest.raises(ValueError, match="sha9, which this version does not know"):
            check_checksums(parts, saved | {"method": "sha9"})
