"""Records to batches of regions: order, shares, decoding."""

import io
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.small_examples import EXAMPLES
from PIL import Image

from flaxmark.data.input.batches import _dataset, epoch_order, eval_rows, load_regions, region_batches, train_rows
from flaxmark.data.input.region_tiles import pack_region, pick_region, unpack_region
from flaxmark.data.records.examples import Examples
from flaxmark.errors import DataError


def test_an_epoch_is_a_permutation_without_its_remainder() -> None:
    rows = train_rows(22, batch_size=8, seed=3, epoch=5)
    assert rows.tolist() == epoch_order(22, 3, 5)[:16].reshape(2, 8).tolist()
    assert epoch_order(22, 3, 5).tolist() != epoch_order(22, 3, 6).tolist()
    assert epoch_order(22, 3, 5).tolist() != epoch_order(22, 4, 5).tolist()
    assert train_rows(22, batch_size=8, seed=3, epoch=5, first_step=1).tolist() == rows[1:].tolist()


def test_processes_share_the_batches_of_one() -> None:
    whole = train_rows(22, batch_size=8, seed=0, epoch=0)
    shares = [train_rows(22, batch_size=8, seed=0, epoch=0, process=p, num_processes=2) for p in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), whole)


@pytest.mark.parametrize("batch_size", [1, 8, 11, 22, 64])
def test_evaluation_sees_every_face_once(batch_size: int) -> None:
    rows, mask = eval_rows(22, batch_size=batch_size)
    assert rows[mask == 1].tolist() == list(range(22))
    assert rows.shape == mask.shape == (-(-22 // batch_size), batch_size)
    assert rows.max() == 21


def test_regions_are_pillows_pixels_in_the_order_that_was_asked_for() -> None:
    rows = np.array([[3, 0, 21], [3, 7, 8]])
    batches = list(region_batches(EXAMPLES, lambda: iter(rows), 3))
    assert [batch["landmarks"][:, 0, 0].tolist() for batch in batches] == rows.tolist()
    for chosen, batch in zip(rows, batches, strict=True):
        for row, words in zip(chosen, batch["pixels"], strict=True):
            pixels = np.asarray(Image.open(io.BytesIO(EXAMPLES.encoded(row))))
            np.testing.assert_array_equal(unpack_region(words)[:112, :120], pixels)
            assert not np.asarray(unpack_region(words))[112:].any()
            np.testing.assert_array_equal(words, pack_region(pixels, 128))


def test_a_split_in_memory_is_what_batches_are_read_from() -> None:
    regions = load_regions(EXAMPLES)
    (batch,) = region_batches(EXAMPLES, lambda: iter([np.arange(22)]), 22)
    np.testing.assert_array_equal(regions, batch["pixels"])
    np.testing.assert_array_equal(load_regions(EXAMPLES, np.array([5, 2])), regions[[5, 2]])


def test_faces_are_picked_tile_by_tile() -> None:
    regions = load_regions(EXAMPLES)
    faces = {"pixels": regions.reshape(-1, 8, 128), "crop": EXAMPLES.crops, "landmarks": EXAMPLES.landmarks}
    for row in (21, 0, 7):
        picked = pick_region(jax.tree.map(jnp.asarray, faces), jnp.uint32(row))
        np.testing.assert_array_equal(picked["pixels"], regions[row])
        np.testing.assert_array_equal(picked["landmarks"], EXAMPLES.landmarks[row])


def test_the_error_of_a_damaged_record_is_raised_as_it_is() -> None:
    class Damaged:
        def __getitem__(self, index: int) -> bytes:
            raise DataError(f"record {index} is damaged")

    examples = Examples(**(vars(EXAMPLES) | {"records": Damaged()}))
    with pytest.raises(DataError, match="record 4 is damaged"):
        list(region_batches(examples, lambda: iter([np.array([4])]), 1))


def test_reading_begins_before_the_rows_have_ended() -> None:
    """Rows of a set that is far larger than memory are never listed as a whole."""

    def endless() -> Iterator[np.ndarray]:
        while True:
            yield np.arange(4)

    batches = region_batches(EXAMPLES, endless, 4)
    assert [next(batches)["landmarks"][3, 0, 0] for _ in range(3)] == [3, 3, 3]
    batches.close()  # type: ignore[attr-defined]


def test_no_thread_of_tensorflow_keeps_an_ended_epoch_waiting() -> None:
    letters = [[b"a", b"b"], [b"c", b"d"]]
    dataset = _dataset(lambda: iter(letters), 2, lambda letter: letter)
    assert not dataset.options().autotune.enabled
    assert [batch.tolist() for batch in dataset.as_numpy_iterator()] == letters
