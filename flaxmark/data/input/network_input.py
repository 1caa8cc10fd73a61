"""From regions of faces to what the network is fed, as pure functions that are compiled into steps."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxmark.data.config import DataConfig
from flaxmark.data.input.augment import augment_face
from flaxmark.data.input.region_tiles import TILE, num_tiles, pick_region, unpack_region
from flaxmark.faces.crop_sampler import most_samples, sample_crop

Batch = Mapping[str, Any]
"""Either `image`, `landmarks` and `mask`; or what images are made from: `row` uint32 `[batch]` (the face's number in
its split) and `key` uint32 `[batch, 2]` (of the epoch), with `pixels`, `crop` and `landmarks` unless those lie on the
device."""

KEY_KIND = "threefry2x32"  # named, as a user's JAX may have another default
AUGMENTATION = 1_000_003  # apart from the keys that initial weights are drawn from

Shapes = dict[str, jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True)
class InputForm:
    """How training faces reach the step.

    Attributes:
        in_step: The step makes the images; otherwise the host has made them, ahead of it.
        resident: All regions are in memory, that of the devices where the step makes the images.
        faces: Training faces.
        side: Of their regions, padded, pixels.
        largest_side: Largest side of a crop, pixels of its region.
        validation: Validation faces, whose regions stay where the resident ones are.
    """

    in_step: bool
    resident: bool
    faces: int
    side: int
    largest_side: float
    validation: int = 0

    def given(self) -> "InputForm":
        """The same faces, with their images made by the host."""
        return dataclasses.replace(self, in_step=False)

    @property
    def region_bytes(self) -> int:
        """Of one region in memory."""
        return 4 * self.side * self.side

    def face_shapes(self, points: int) -> Shapes:
        """What lies on every device; empty where nothing does."""
        if not (self.in_step and self.resident):
            return {}
        tiles = self.faces * num_tiles(self.side)
        return {
            "pixels": jax.ShapeDtypeStruct((tiles, *TILE), jnp.uint32),
            "crop": jax.ShapeDtypeStruct((self.faces, 3), jnp.float32),
            "landmarks": jax.ShapeDtypeStruct((self.faces, points, 2), jnp.float32),
        }

    def batch_shapes(self, data: DataConfig, size: int) -> Shapes:
        """A batch of `size` training faces as the step gets it."""
        mask = {"mask": jax.ShapeDtypeStruct((size,), jnp.float32)}
        if not self.in_step:
            image = (size, data.image_size, data.image_size, 3)
            points = jax.ShapeDtypeStruct((size, data.markup.num_points, 2), jnp.float32)
            return {"image": jax.ShapeDtypeStruct(image, jnp.float32), "landmarks": points, **mask}
        regions = {} if self.resident else self.region_shapes(data, size)
        row, key = jax.ShapeDtypeStruct((size,), jnp.uint32), jax.ShapeDtypeStruct((size, 2), jnp.uint32)
        return {"row": row, "key": key, **mask, **regions}

    def region_shapes(self, data: DataConfig, size: int) -> Shapes:
        """A batch of `size` regions; with a mask it is what evaluation gets."""
        return {
            "pixels": jax.ShapeDtypeStruct((size, num_tiles(self.side), *TILE), jnp.uint32),
            "crop": jax.ShapeDtypeStruct((size, 3), jnp.float32),
            "landmarks": jax.ShapeDtypeStruct((size, data.markup.num_points, 2), jnp.float32),
        }


def epoch_key(seed: int, epoch: int) -> np.ndarray:
    """What all random numbers of an epoch's faces come from: uint32 `[2]`."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed, impl=KEY_KIND), AUGMENTATION), epoch)
    return np.asarray(jax.random.key_data(key))


def make_training_images(
    data: DataConfig, largest_side: float, each: Callable[..., Any] = jax.vmap
) -> Callable[[Batch, Batch], dict[str, jax.Array]]:
    """Build what turns a batch of any form into images.

    Args:
        data: Size, normalisation, augmentation.
        largest_side: Largest side of a training face's crop, pixels of its region.
        each: Maps a function of one face over a batch: `jax.vmap`, or one face after another.

    Returns:
        `(faces, batch) -> {"image", "landmarks", "mask"}`; `faces` are those that lie on the device, or empty. Image
        float32 `[batch, size, size, 3]`, landmarks float32 `[batch, num_points, 2]`, crop units.
    """
    most = most_samples(largest_side, data.image_size, 1 - data.augment.scale)

    def images(faces: Batch, batch: Batch) -> dict[str, jax.Array]:
        if "image" in batch:
            return dict(batch)

        def of_one(face: Batch) -> dict[str, jax.Array]:
            region = pick_region(faces, face["row"]) if faces else face
            key = jax.random.fold_in(jax.random.wrap_key_data(face["key"], impl=KEY_KIND), face["row"])
            pixels = unpack_region(region["pixels"])
            image, landmarks = augment_face(pixels, region["crop"], region["landmarks"], key, data, most)
            return {"image": image, "landmarks": landmarks, "mask": face["mask"]}

        return each(of_one)(dict(batch))

    return images


def one_after_another(function: Callable[..., Any]) -> Callable[..., Any]:
    """Map a function over the first axis without computing for several faces at once, as CPUs like it."""
    return functools.partial(jax.lax.map, function)


def make_upright_images(
    data: DataConfig, size: int | None = None, largest_side: float | None = None
) -> Callable[[Batch], jax.Array]:
    """Build what turns regions into crops without augmentation.

    Args:
        data: Size of the images and of stored faces.
        size: Side of the images, pixels; that of the network's input by default.
        largest_side: Of a crop, pixels of its region; as stored by default.

    Returns:
        `batch -> float32 [batch, size, size, 3]` in [0, 255]; `pixels` of the batch are packed regions, or
        uint8 or float32 `[batch, height, width, 3]`.
    """
    side = size or data.image_size
    most = most_samples(largest_side or data.crop.stored_size, side)

    def of_one(region: jax.Array, crop: jax.Array) -> jax.Array:
        pixels = unpack_region(region) if region.dtype == jnp.uint32 else region
        return sample_crop(pixels, crop, side, most)

    return lambda batch: jax.vmap(of_one)(batch["pixels"], batch["crop"])


def make_eval_images(data: DataConfig, largest_side: float | None = None) -> Callable[[Batch], jax.Array]:
    """Build what turns a batch of any form into the network's input: `batch -> float32 [batch, size, size, 3]`."""
    upright = make_upright_images(data, largest_side=largest_side)

    def images(batch: Batch) -> jax.Array:
        return batch["image"] if "image" in batch else data.normalize(upright(batch) / 255)

    return images


def shuffle_tiles(images: jax.Array) -> jax.Array:
    """Cut images `[batch, size, size, 3]` into 16 tiles that change places: all of a photograph, but no face."""
    # No tile stays in its place, and none keeps a neighbour.
    order = np.array([10, 3, 12, 5, 15, 8, 1, 14, 7, 0, 13, 2, 4, 11, 6, 9])
    count, side = images.shape[0], images.shape[1] // 4
    whole = images[:, : side * 4, : side * 4]
    tiles = whole.reshape(count, 4, side, 4, side, 3).transpose(0, 1, 3, 2, 4, 5).reshape(count, 16, side, side, 3)
    mixed = tiles[:, order].reshape(count, 4, 4, side, side, 3).transpose(0, 1, 3, 2, 4, 5)
    return images.at[:, : side * 4, : side * 4].set(mixed.reshape(whole.shape))
