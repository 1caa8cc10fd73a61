"""From the records of a split to batches of regions: order, reading by index, decoding, batching, prefetching."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from flaxmark.data.input.region_tiles import TILE, num_tiles, padded_side
from flaxmark.data.prepare.prepare import Examples
from flaxmark.data.tensorflow_setup import tf
from flaxmark.system.cores import usable_cores

Batch = dict[str, np.ndarray]

LOADED_TOGETHER = 32


def epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the training examples in one epoch, the same on every process.

    Args:
        num_examples: Examples of the split.
        seed: Of the run.
        epoch: From 0.

    Returns:
        int64 `[num_examples]`, a permutation.
    """
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
) -> np.ndarray:
    """Which faces the steps of an epoch learn from; the remainder of the permutation is dropped.

    Args:
        num_examples: Examples of the split.
        batch_size: Global; a multiple of the processes.
        seed: Of the run.
        epoch: From 0.
        first_step: Batches of this epoch that are already done.
        process: Which rows of each batch to take: its contiguous share.
        num_processes: How many share a batch.

    Returns:
        int64 `[steps, batch_size / num_processes]`.
    """
    steps = num_examples // batch_size
    order = epoch_order(num_examples, seed, epoch)[: steps * batch_size]
    return np.split(order.reshape(steps, batch_size)[first_step:], num_processes, axis=1)[process]


def eval_rows(
    num_examples: int, *, batch_size: int, process: int = 0, num_processes: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Every face once, in order; the last batch is padded with repetitions of the last face.

    Args:
        num_examples: Examples of the split.
        batch_size: Global; a multiple of the processes.
        process: Which rows of each batch to take.
        num_processes: How many share a batch.

    Returns:
        Rows int64 and mask float32 (1 = a real example), each `[steps, batch_size / num_processes]`.
    """
    steps = -(-num_examples // batch_size)
    rows = np.arange(steps * batch_size).reshape(steps, batch_size)
    share = np.split(rows, num_processes, axis=1)[process]
    return np.minimum(share, num_examples - 1), (share < num_examples).astype(np.float32)


def region_batches(examples: Examples, rows: Callable[[], Iterator[np.ndarray]], batch_size: int) -> Iterator[Batch]:
    """Read and decode faces in a given order, two batches ahead of who takes them.

    Args:
        examples: A split, whose images are on disk.
        rows: Called twice; each time gives the faces of each batch, int64 `[batch_size]`, perhaps without end.
        batch_size: Faces of a batch.

    Yields:
        `{"pixels": uint32 [batch, num_tiles, 8, 128], "crop": float32 [batch, 3], "landmarks": float32
        [batch, num_points, 2]}`, regions as `regions.pack_region` lays them out.

    Raises:
        ConfigError: A record is damaged or gone.
    """
    side = padded_side(examples.region_size)
    failed: list[Exception] = []

    def encoded() -> Iterator[list[bytes]]:
        try:
            for chosen in rows():
                yield [examples.encoded(row) for row in chosen]
        except Exception as error:  # TensorFlow would give it another kind and a page of text
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
            yield {"pixels": pixels, "crop": examples.crops[chosen], "landmarks": examples.landmarks[chosen]}
    except tf.errors.OpError as error:
        raise failed[0] if failed else error from None


@tf.function(jit_compile=True)
def _pack(pixels: Any) -> Any:
    """Square regions as `regions.pack_region`; compiled, as TensorFlow pads pixel by pixel."""
    words = tf.bitcast(tf.pad(pixels, [[0, 0], [0, 0], [0, 1]]), tf.uint32)
    return tf.reshape(words, [num_tiles(pixels.shape[0]), *TILE])


def load_regions(examples: Examples, rows: np.ndarray | None = None) -> np.ndarray:
    """Decode a whole split, or some of its faces, into memory.

    Args:
        examples: A split.
        rows: int64 `[n]`; all faces in order by default.

    Returns:
        uint32 `[n, num_tiles, 8, 128]`.
    """
    chosen = np.arange(len(examples)) if rows is None else np.asarray(rows)
    whole = _empty(len(chosen), num_tiles(padded_side(examples.region_size)), *TILE)
    padded = np.pad(chosen, (0, -len(chosen) % LOADED_TOGETHER), "edge").reshape(-1, LOADED_TOGETHER)
    for number, batch in enumerate(region_batches(examples, lambda: iter(padded), LOADED_TOGETHER)):
        place = whole[number * LOADED_TOGETHER : (number + 1) * LOADED_TOGETHER]
        place[:] = batch["pixels"][: len(place)]
    return whole


def _empty(*shape: int) -> np.ndarray:
    """uint32, at an address from which JAX takes it over without a copy: a multiple of 64."""
    size = 4 * math.prod(shape)
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(np.uint32).reshape(shape)


def _dataset(encoded: Callable[[], Iterator[list[bytes]]], batch_size: int, region_of: Any) -> Any:
    """Regions made and batched in their order, two batches ahead of who takes them."""
    options = tf.data.Options()
    # The thread of its autotuning sleeps longer and longer, up to a minute, and an iterator that ends waits for it
    # to wake: after half of the epochs of 45 seconds training stood still for 40 more (TensorFlow 2.21).
    options.autotune.enabled = False
    batches = tf.data.Dataset.from_generator(encoded, output_signature=tf.TensorSpec([batch_size], tf.string))
    regions = batches.unbatch().map(region_of, num_parallel_calls=usable_cores())
    return regions.batch(batch_size, drop_remainder=True).prefetch(2).with_options(options)
