"""From the examples of a split to batches for this process: decode, warp, change, normalise."""

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from flaxmark.config import DataConfig
from flaxmark.data.augment import RANDOM, make_face_programs
from flaxmark.data.prepare import Examples
from flaxmark.data.tensorflow_setup import tf

Batch = dict[str, np.ndarray]


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


def train_batches(
    examples: Examples,
    config: DataConfig,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    first_step: int = 0,
    process: int = 0,
    num_processes: int = 1,
) -> Iterator[Batch]:
    """One epoch of augmented batches; the remainder of the permutation is dropped.

    Args:
        examples: The training split.
        config: Size, normalisation, augmentation.
        batch_size: Global; a multiple of the processes.
        seed: Of the run.
        epoch: From 0.
        first_step: Batches of this epoch that are already done.
        process: Which rows of each batch to make: its contiguous share.
        num_processes: How many share a batch.

    Returns:
        Iterator of `{"image": float32 [n, size, size, 3], "landmarks": float32 [n, num_points, 2],
        "mask": float32 [n]}` with n = batch_size / num_processes.
    """
    steps = len(examples.encoded) // batch_size
    order = epoch_order(len(examples.encoded), seed, epoch)[: steps * batch_size]
    share = np.split(order.reshape(steps, batch_size)[first_step:], num_processes, axis=1)[process]
    arrays = _as_tensors(examples)
    epoch_seed = tf.constant(np.random.default_rng([seed, epoch, 1]).integers(2**31, size=2), tf.int32)
    augmented, _ = make_face_programs(config)

    def make(index: Any) -> dict[str, Any]:
        # The example's own random numbers: folding in the index makes them independent of order and process.
        folded = tf.random.fold_in(epoch_seed, tf.cast(index, tf.int32), alg=RANDOM)
        pixels, shape, crop, landmarks = _decode(arrays, index, config)
        image, landmarks = augmented(pixels, shape, crop, landmarks, folded)
        return {"image": image, "landmarks": landmarks, "mask": tf.ones([], tf.float32)}

    return iter(_dataset(share, make).as_numpy_iterator())


def eval_batches(
    examples: Examples, config: DataConfig, *, batch_size: int, process: int = 0, num_processes: int = 1
) -> Iterator[Batch]:
    """Every example once, in order, the last batch padded with repetitions whose mask is 0.

    Args:
        examples: A split.
        config: Size and normalisation.
        batch_size: Global; a multiple of the processes.
        process: Which rows of each batch to make.
        num_processes: How many share a batch.

    Returns:
        Iterator as from `train_batches`, without augmentation.
    """
    count = len(examples.encoded)
    steps = -(-count // batch_size)
    rows = np.arange(steps * batch_size).reshape(steps, batch_size)
    share = np.split(rows, num_processes, axis=1)[process]
    arrays = _as_tensors(examples)
    _, plain = make_face_programs(config)

    def make(row: Any) -> dict[str, Any]:
        pixels, shape, crop, landmarks = _decode(arrays, tf.minimum(row, count - 1), config)
        return {
            "image": plain(pixels, shape, crop),
            "landmarks": landmarks,
            "mask": tf.cast(row < count, tf.float32),
        }

    return iter(_dataset(share, make).as_numpy_iterator())


def _as_tensors(examples: Examples) -> tuple[Any, Any, Any]:
    """Encoded pictures, crops and landmarks where a tf.data function can index them."""
    return tf.constant(examples.encoded), tf.constant(examples.crops), tf.constant(examples.landmarks)


def _decode(arrays: tuple[Any, Any, Any], index: Any, config: DataConfig) -> tuple[Any, Any, Any, Any]:
    """Pixels uint8 `[capacity, 3]`, their height and width `[2]`, crop `[3]` and landmarks of one example."""
    encoded, crops, landmarks = arrays
    # The accurate transform decodes as Pillow does, which predict uses.
    pixels = tf.io.decode_jpeg(encoded[index], channels=3, dct_method="INTEGER_ACCURATE")
    shape = tf.shape(pixels)[:2]
    # One length for all pictures, so that one compiled program serves them: the largest region that `cut_region` cuts.
    capacity = (math.ceil(config.crop.stored_size * config.crop.margin) + 2) ** 2
    flat = tf.pad(tf.reshape(pixels, [-1, 3]), [[0, capacity - tf.reduce_prod(shape)], [0, 0]])
    return tf.ensure_shape(flat, [capacity, 3]), shape, crops[index], landmarks[index]


def _dataset(rows: np.ndarray, make: Callable[[Any], dict[str, Any]]) -> Any:
    """The examples int64 `[steps, batch]`, made and batched in their order, two batches ahead of who takes them."""
    options = tf.data.Options()
    # The thread of its autotuning sleeps longer and longer, up to a minute, and an iterator that ends waits for it
    # to wake: after half of the epochs of 45 seconds training stood still for 40 more (TensorFlow 2.21).
    options.autotune.enabled = False
    examples = tf.data.Dataset.from_tensor_slices(rows.reshape(-1)).map(make, num_parallel_calls=os.cpu_count())
    return examples.batch(rows.shape[1]).prefetch(2).with_options(options)
