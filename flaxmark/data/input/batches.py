"""From the records of a split to batches of regions: order, reading by index, decoding, batching, prefetching."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt32

from flaxmark.data.input.region_tiles import TILE, num_tiles, padded_side
from flaxmark.data.prepare.prepare import Examples
from flaxmark.data.tensorflow_setup import tf
from flaxmark.system.cores import usable_cores

Batch = dict[str, np.ndarray]

LOADED_TOGETHER = 32


def epoch_order(num_examples: int, seed: int, epoch: int) -> Int64[np.ndarray, " num_examples"]:
    """Order of the training examples in one epoch (from 0), a permutation that is the same on every process."""
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def train_rows(
    num_examples: int,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    first_step: int = 0,
    process: int = 0,
    num_processes: int = 1,
) -> Int64[np.ndarray, "steps share"]:
    """Faces of each step of an epoch; the remainder of the permutation is dropped.

    Batches before `first_step` are left out, and of each batch only the contiguous share of one of several processes is
    taken. `batch_size` is global and a multiple of the number of processes.
    """
    steps = num_examples // batch_size
    order = epoch_order(num_examples, seed, epoch)[: steps * batch_size]
    return np.split(order.reshape(steps, batch_size)[first_step:], num_processes, axis=1)[process]


def eval_rows(
    num_examples: int, *, batch_size: int, process: int = 0, num_processes: int = 1
) -> tuple[Int64[np.ndarray, "steps share"], Float32[np.ndarray, "steps share"]]:
    """Rows of every face once, in order, and a mask: 1 for a face, 0 for the padding of the last batch.

    The padding repeats the last face. Each process takes its share of every batch; `batch_size` is global and a
    multiple of the number of processes.
    """
    steps = -(-num_examples // batch_size)
    rows = np.arange(steps * batch_size).reshape(steps, batch_size)
    share = np.split(rows, num_processes, axis=1)[process]
    return np.minimum(share, num_examples - 1), (share < num_examples).astype(np.float32)


def region_batches(examples: Examples, rows: Callable[[], Iterator[np.ndarray]], batch_size: int) -> Iterator[Batch]:
    """Read and decode faces in a given order, two batches ahead of the consumer.

    `rows` is called twice; each time it gives the faces of each batch, int64 `[batch_size]`, perhaps without end.
    Batches are `{"pixels": uint32 [batch, num_tiles, 8, 128], "crop": float32 [batch, 3], "landmarks": float32
    [batch, num_points, 2], "visible": float32 [batch, num_points]}`, with regions as `pack_region` lays them out.
    Raises DataError for a damaged record.
    """
    side = padded_side(examples.region_size)
    failed: list[Exception] = []

    def encoded() -> Iterator[list[bytes]]:
        try:
            for chosen in rows():
                yield [examples.encoded(row) for row in chosen]
        except Exception as error:  # TensorFlow would raise another kind with a page of text
            failed.append(error)
            raise

    def region_of(image: Any) -> Any:
        # The accurate transform decodes as Pillow does, which predict uses.
        pixels = tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE")
        shape = tf.shape(pixels)
        lines = tf.pad(tf.reshape(pixels, [shape[0], -1]), [[0, side - shape[0]], [0, 3 * (side - shape[1])]])
        return _pack(tf.reshape(lines, [side, side, 3]))

    try:
        regions = _dataset(encoded, batch_size, region_of).as_numpy_iterator()
        for chosen, pixels in zip(rows(), regions, strict=True):
            points = {"landmarks": examples.landmarks[chosen], "visible": examples.visible[chosen]}
            yield {"pixels": pixels, "crop": examples.crops[chosen], **points}
    except tf.errors.OpError as error:
        raise failed[0] if failed else error from None


@tf.function(jit_compile=True)
def _pack(pixels: Any) -> Any:
    """Pack square regions as `pack_region` does; compiled, as TensorFlow pads pixel by pixel."""
    words = tf.bitcast(tf.pad(pixels, [[0, 0], [0, 0], [0, 1]]), tf.uint32)
    return tf.reshape(words, [num_tiles(pixels.shape[0]), *TILE])


def load_regions(
    examples: Examples, rows: Int64[np.ndarray, " n"] | None = None
) -> UInt32[np.ndarray, "n num_tiles 8 128"]:
    """Decode a whole split, or the faces of `rows`, into memory."""
    chosen = np.arange(len(examples)) if rows is None else np.asarray(rows)
    whole = _empty(len(chosen), num_tiles(padded_side(examples.region_size)), *TILE)
    padded = np.pad(chosen, (0, -len(chosen) % LOADED_TOGETHER), "edge").reshape(-1, LOADED_TOGETHER)
    for number, batch in enumerate(region_batches(examples, lambda: iter(padded), LOADED_TOGETHER)):
        place = whole[number * LOADED_TOGETHER : (number + 1) * LOADED_TOGETHER]
        place[:] = batch["pixels"][: len(place)]
    return whole


def _empty(*shape: int) -> np.ndarray:
    """Uninitialised uint32 array at a multiple of 64 bytes, an address that JAX takes over without a copy."""
    size = 4 * math.prod(shape)
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(np.uint32).reshape(shape)


def _dataset(encoded: Callable[[], Iterator[list[bytes]]], batch_size: int, region_of: Any) -> Any:
    """Regions made and batched in their order, two batches ahead of the consumer."""
    options = tf.data.Options()
    # The thread of the autotuner sleeps for up to a minute, and the end of an iterator waits for it to wake: training
    # stood still for 40 seconds after half of its epochs of 45 seconds (TensorFlow 2.21).
    options.autotune.enabled = False
    batches = tf.data.Dataset.from_generator(encoded, output_signature=tf.TensorSpec([batch_size], tf.string))
    regions = batches.unbatch().map(region_of, num_parallel_calls=usable_cores())
    return regions.batch(batch_size, drop_remainder=True).prefetch(2).with_options(options)
