"""A split of faces as batches for compiled steps: from memory or from disk, two batches ahead of the step."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from flaxmark.data.config import DataConfig
from flaxmark.data.input.batches import eval_rows, load_regions, region_batches, train_rows
from flaxmark.data.input.network_input import (
    InputForm,
    epoch_key,
    make_training_images,
    make_upright_images,
    one_after_another,
)
from flaxmark.data.input.region_tiles import join_regions
from flaxmark.data.prepare.prepare import Examples
from flaxmark.system.cores import usable_cores
from flaxmark.system.devices import in_32_bits, replicate, shard_batch
from flaxmark.system.threads import ahead

Batch = dict[str, Any]

# One thread makes several hundred images a second, more than any network on a CPU needs; a second one fills gaps.
IMAGE_THREADS = 2


class BatchConfig(Protocol):
    """What a feed reads of a run's `train` settings; `flaxmark.config.TrainConfig` has it."""

    @property
    def batch_size(self) -> int: ...  # noqa: D102

    @property
    def eval_batch_size(self) -> int: ...  # noqa: D102

    @property
    def epochs(self) -> int: ...  # noqa: D102

    @property
    def seed(self) -> int: ...  # noqa: D102

    @property
    def compile(self) -> Literal["jit", "pmap"]: ...  # noqa: D102


class FeedConfig(Protocol):
    """What a feed reads of a run's config."""

    @property
    def data(self) -> DataConfig: ...  # noqa: D102

    @property
    def train(self) -> BatchConfig: ...  # noqa: D102


class TrainingFeed:
    """The training faces of a run, in batches for its step.

    Attributes:
        faces: Second argument of the step: all regions, on every device; or empty.
    """

    def __init__(self, examples: Examples, config: FeedConfig, mesh: Mesh, form: InputForm) -> None:
        """Load what has to be in memory for this form of the input."""
        self._examples, self._config, self._mesh, self._form = examples, config, mesh, form
        resident: Batch = {}
        if form.resident:
            pixels = join_regions(load_regions(examples))
            points = {"landmarks": examples.landmarks, "visible": examples.visible}
            resident = {"pixels": pixels, "crop": examples.crops, **points}
        self.faces = replicate(resident, mesh) if form.in_step else {}
        # One program per batch of this process; steps run at the same time on the same cores.
        self._images = in_32_bits(jax.jit(make_training_images(config.data, form.largest_side, one_after_another)))
        self._host_faces = {} if form.in_step else jax.device_put(resident, jax.local_devices()[0])

    def batches(self, first_step: int = 0) -> Generator[Batch]:
        """This process's share of all batches from a step on to the end of the last epoch, on its devices.

        They depend on (seed, epoch, index) alone, not on the form of the input. Close it where it is left early.
        """
        put, regions = (self._put if self._form.in_step else self._make), self._read(first_step)
        tasks = (
            partial(put, next(regions), rows, key)
            for epoch in self._epochs(first_step)
            for key in [epoch_key(self._config.train.seed, epoch)]
            for rows in self._rows(epoch, first_step)
        )
        if self.faces:  # a few numbers each: a thread would cost more
            return (task() for task in tasks)
        return ahead(tasks, 1 if self._form.in_step else min(IMAGE_THREADS, usable_cores()))

    @property
    def _steps(self) -> int:
        """Steps of an epoch."""
        return len(self._examples) // self._config.train.batch_size

    def _epochs(self, first_step: int) -> range:
        """Epochs that have steps to make."""
        return range(first_step // self._steps, self._config.train.epochs)

    def _rows(self, epoch: int, first_step: int) -> np.ndarray:
        """This process's faces of an epoch's steps that are to make, int64 `[steps, batch / processes]`."""
        train = self._config.train
        return train_rows(
            len(self._examples),
            batch_size=train.batch_size,
            seed=train.seed,
            epoch=epoch,
            first_step=max(0, first_step - epoch * self._steps),
            process=jax.process_index(),
            num_processes=jax.process_count(),
        )

    def warm_up(self) -> None:
        """Compile the function that makes images on the host."""
        if not self._form.in_step:
            size = self._config.train.batch_size // jax.process_count()
            shapes = dataclasses.replace(self._form, in_step=True).batch_shapes(self._config.data, size)
            zeros = {name: np.zeros(x.shape, x.dtype) for name, x in shapes.items()}
            jax.block_until_ready(self._images(self._host_faces, zeros))

    def _read(self, first_step: int) -> Iterator[Batch]:
        """Regions of the faces of each step, where they are not in memory."""
        if self._form.resident:
            return itertools.repeat({})
        size = self._config.train.batch_size // jax.process_count()

        def rows() -> Iterator[np.ndarray]:
            return (rows for epoch in self._epochs(first_step) for rows in self._rows(epoch, first_step))

        return region_batches(self._examples, rows, size)

    def _put(self, regions: Batch, rows: np.ndarray, key: np.ndarray) -> Batch:
        """Put on the devices what the step makes images from."""
        return shard_batch({**regions, **_numbers(rows, key)}, self._mesh, self._config.train.compile)

    def _make(self, regions: Batch, rows: np.ndarray, key: np.ndarray) -> Batch:
        """Make images on the host and put them on the devices."""
        images = self._images(self._host_faces, {**regions, **_numbers(rows, key)})
        return shard_batch(images, self._mesh, self._config.train.compile)


def _numbers(rows: np.ndarray, key: np.ndarray) -> Batch:
    """Arrays of a batch besides its regions."""
    count = len(rows)
    return {"row": rows.astype(np.uint32), "key": np.tile(key, (count, 1)), "mask": np.ones(count, np.float32)}


class EvalFeed:
    """A split in its order, in batches of one shape, without augmentation."""

    def __init__(self, examples: Examples, config: FeedConfig, mesh: Mesh, keep: bool = False) -> None:
        """Take a split; with `keep`, its batches stay on the devices for the next time."""
        self.examples = examples
        self._config, self._mesh, self._keep = config, mesh, keep
        self._kept: list[Batch] = []

    def batches(self) -> Iterator[Batch]:
        """Every face once; the mask of padding at the end of the last batch is 0."""
        if self._kept:
            return iter(self._kept)
        batches = ahead(self._tasks(), 1)
        if not self._keep:
            return batches
        self._kept = list(batches)
        return iter(self._kept)

    def _tasks(self) -> Iterator[Callable[[], Batch]]:
        """Regions are read when a task is drawn, and copied to the devices when it is run."""
        rows, mask = eval_rows(
            len(self.examples),
            batch_size=self._config.train.eval_batch_size,
            process=jax.process_index(),
            num_processes=jax.process_count(),
        )
        for number, regions in enumerate(region_batches(self.examples, lambda: iter(rows), rows.shape[1])):
            batch = {**regions, "mask": mask[number]}
            yield partial(shard_batch, batch, self._mesh, self._config.train.compile)


def crops_of(
    examples: Examples, rows: Sequence[int] | np.ndarray, data: DataConfig, size: int
) -> Float[np.ndarray, "n size size 3"]:
    """Crops of a few faces, `size` pixels a side, as the network sees them before normalisation: RGB in [0, 255]."""
    chosen = np.asarray(rows)
    batch = {"pixels": load_regions(examples, chosen), "crop": examples.crops[chosen]}
    return np.asarray(_compiled_crops(data, size)(batch))


@functools.cache
def _compiled_crops(data: DataConfig, size: int) -> Callable[..., jax.Array]:
    """The function that `crops_of` runs, compiled once for many calls."""
    return in_32_bits(jax.jit(make_upright_images(data, size)))
