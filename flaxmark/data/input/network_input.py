"""From regions of faces to the input of the network, as pure functions that are compiled into steps."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from flaxmark.data.config import DataConfig
from flaxmark.data.input.augment import augment_face
from flaxmark.data.input.region_tiles import TILE, num_tiles, pick_region, unpack_region
from flaxmark.faces.crop_sampler import most_samples, sample_crop

Batch = Mapping[str, Any]
"""Either `image`, `landmarks`, `visible` and `mask`; or what images are made from: `row` uint32 `[batch]` (the face's
number in its split) and `key` uint32 `[batch, 2]` (of the epoch), with `pixels`, `crop`, `landmarks` and `visible`
unless those are stored on the device."""

KEY_KIND = "threefry2x32"  # explicit, as JAX's default can be configured
AUGMENTATION = 1_000_003  # keeps these keys apart from those of initial weights

Shapes = dict[str, jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True)
class InputForm:
    """How training faces reach the step."""

    in_step: bool
    """The step makes the images; otherwise the host makes them, ahead of the step."""
    resident: bool
    """All regions are in memory: that of the devices where the step makes the images."""
    faces: int
    """Number of training faces."""
    side: int
    """Side of their padded regions, pixels."""
    largest_side: float
    """Largest side of a crop, pixels of its region."""
    validation: int = 0
    """Number of validation faces; their regions are stored with the resident ones."""

    def given(self) -> "InputForm":
        """The same faces, with their images made by the host."""
        return dataclasses.replace(self, in_step=False)

    @property
    def region_bytes(self) -> int:
        """Bytes of one region in memory."""
        return 4 * self.side * self.side

    def face_shapes(self, points: int) -> Shapes:
        """Shapes of the arrays that are stored on every device; empty where none are."""
        if not (self.in_step and self.resident):
            return {}
        tiles = self.faces * num_tiles(self.side)
        return {
            "pixels": jax.ShapeDtypeStruct((tiles, *TILE), jnp.uint32),
            "crop": jax.ShapeDtypeStruct((self.faces, 3), jnp.float32),
            **_point_shapes(self.faces, points),
        }

    def batch_shapes(self, data: DataConfig, size: int) -> Shapes:
        """Shapes of a batch of `size` training faces as the step receives it."""
        mask = {"mask": jax.ShapeDtypeStruct((size,), jnp.float32)}
        if not self.in_step:
            image = (size, data.image_size, data.image_size, 3)
            points = _point_shapes(size, data.markup.num_points)
            return {"image": jax.ShapeDtypeStruct(image, jnp.float32), **points, **mask}
        regions = {} if self.resident else self.region_shapes(data, size)
        row, key = jax.ShapeDtypeStruct((size,), jnp.uint32), jax.ShapeDtypeStruct((size, 2), jnp.uint32)
        return {"row": row, "key": key, **mask, **regions}

    def region_shapes(self, data: DataConfig, size: int) -> Shapes:
        """Shapes of a batch of `size` regions; with a mask it is what evaluation receives."""
        return {
            "pixels": jax.ShapeDtypeStruct((size, num_tiles(self.side), *TILE), jnp.uint32),
            "crop": jax.ShapeDtypeStruct((size, 3), jnp.float32),
            **_point_shapes(size, data.markup.num_points),
        }


def _point_shapes(faces: int, points: int) -> Shapes:
    """Shapes of what is known of each point of some faces."""
    return {
        "landmarks": jax.ShapeDtypeStruct((faces, points, 2), jnp.float32),
        "visible": jax.ShapeDtypeStruct((faces, points), jnp.float32),
    }


def epoch_key(seed: int, epoch: int) -> UInt32[np.ndarray, "2"]:
    """Key data that all random numbers of an epoch come from."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed, impl=KEY_KIND), AUGMENTATION), epoch)
    return np.asarray(jax.random.key_data(key))


def make_training_images(
    data: DataConfig, largest_side: float, each: Callable[..., Any] = jax.vmap
) -> Callable[[Batch, Batch], dict[str, jax.Array]]:
    """Build the function that turns a batch of any form into training images.

    `each` maps a function of one face over a batch: `jax.vmap`, or one face after another. `largest_side` is the
    largest side of a training face's crop, pixels of its region. The result is
    `(faces, batch) -> {"image", "landmarks", "visible", "mask"}`: `faces` are those stored on the device, or empty;
    images are float32 `[batch, size, size, 3]`, landmarks float32 `[batch, num_points, 2]`, crop units, and whether
    they are seen float32 `[batch, num_points]`.
    """
    most = most_samples(largest_side, data.image_size, 1 - data.augment.scale)

    def images(faces: Batch, batch: Batch) -> dict[str, jax.Array]:
        if "image" in batch:
            return dict(batch)

        def of_one(face: Batch) -> dict[str, jax.Array]:
            region = pick_region(faces, face["row"]) if faces else face
            key = jax.random.fold_in(jax.random.wrap_key_data(face["key"], impl=KEY_KIND), face["row"])
            pixels = unpack_region(region["pixels"])
            points = region["landmarks"], region["visible"]
            image, landmarks, visible = augment_face(pixels, region["crop"], *points, key, data, most)
            return {"image": image, "landmarks": landmarks, "visible": visible, "mask": face["mask"]}

        return each(of_one)(dict(batch))

    return images


def one_after_another(function: Callable[..., Any]) -> Callable[..., Any]:
    """Map a function over the first axis one element at a time, which is faster on CPUs."""
    return functools.partial(jax.lax.map, function)


def make_upright_images(
    data: DataConfig, size: int | None = None, largest_side: float | None = None
) -> Callable[[Batch], jax.Array]:
    """Build the function that turns regions into crops without augmentation.

    `size` is the side of the images, by default that of the network's input; `largest_side` is the largest side of a
    crop in pixels of its region, by default that of stored faces. The result is
    `batch -> float32 [batch, size, size, 3]` in [0, 255], where `pixels` of the batch are packed regions, or uint8 or
    float32 `[batch, height, width, 3]`.
    """
    side = size or data.image_size
    most = most_samples(largest_side or data.crop.stored_size, side)

    def of_one(region: jax.Array, crop: jax.Array) -> jax.Array:
        pixels = unpack_region(region) if region.dtype == jnp.uint32 else region
        return sample_crop(pixels, crop, side, most)

    return lambda batch: jax.vmap(of_one)(batch["pixels"], batch["crop"])


def make_eval_images(data: DataConfig, largest_side: float | None = None) -> Callable[[Batch], jax.Array]:
    """Build the function from a batch of any form to the network's input: `batch -> float32 [batch, size, size, 3]`."""
    upright = make_upright_images(data, largest_side=largest_side)

    def images(batch: Batch) -> jax.Array:
        return batch["image"] if "image" in batch else data.normalize(upright(batch) / 255)

    return images


def shuffle_tiles(images: Float[Array, "batch size size 3"]) -> Float[Array, "batch size size 3"]:
    """Cut images into 16 tiles that change places: the pixels of the photograph are kept, the face is not."""
    # No tile stays in its place, and none keeps a neighbour.
    order = np.array([10, 3, 12, 5, 15, 8, 1, 14, 7, 0, 13, 2, 4, 11, 6, 9])
    count, side = images.shape[0], images.shape[1] // 4
    whole = images[:, : side * 4, : side * 4]
    tiles = whole.reshape(count, 4, side, 4, side, 3).transpose(0, 1, 3, 2, 4, 5).reshape(count, 16, side, side, 3)
    mixed = tiles[:, order].reshape(count, 4, 4, side, side, 3).transpose(0, 1, 3, 2, 4, 5)
    return images.at[:, : side * 4, : side * 4].set(mixed.reshape(whole.shape))
