"""Random changes of a training face, inside the compiled step: one affine warp, then a list of changes of its pixels.

Everything is drawn from the face's own key, which depends on (seed, epoch, index) alone.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from flaxmark.data.config import AugmentConfig, DataConfig
from flaxmark.data.input import camera_effects
from flaxmark.faces.crop_sampler import Affine, by_platform, sample_crop
from flaxmark.faces.markup import Markup

Image = Float[Array, "size size 3"]
Landmarks = Float[Array, "num_points 2"]

PixelChange = Callable[[Image, jax.Array, AugmentConfig], Image]
"""`(image, key, config) -> image`, float32 RGB in [0, 1]; the result may leave the range, as nothing is clipped."""


def draw_affine(key: jax.Array, config: AugmentConfig) -> Affine:
    """Draw the rotation, scale, shift and flip of a face, as one map from the warped crop to the crop."""
    draws = jax.random.uniform(key, (5,), jnp.float32, -1.0)
    angle = draws[0] * (config.rotation * math.pi / 180)
    zoom = 1.0 + draws[1] * config.scale
    mirror = jnp.where((draws[4] < 0) & config.flip, -1.0, 1.0)
    cos, sin = jnp.cos(angle) / zoom, jnp.sin(angle) / zoom
    return Affine(
        jnp.stack([jnp.stack([cos * mirror, -sin]), jnp.stack([sin * mirror, cos])]), draws[2:4] * config.shift
    )


def warp_landmarks(landmarks: Landmarks, affine: Affine, markup: Markup) -> Landmarks:
    """Move landmarks (crop units) as the sampler moves pixels; in the order of the landmark scheme."""
    (a, b), (c, d) = affine.matrix
    inverse = jnp.stack([jnp.stack([d, -b]), jnp.stack([-c, a])]) / (a * d - b * c)
    from_middle = landmarks - (0.5 + affine.shift)[None]
    moved = jnp.matmul(from_middle, inverse.T, precision="highest") + 0.5
    return in_order(moved, affine, markup)


def in_order(values: Float[Array, "points ..."], affine: Affine, markup: Markup) -> Float[Array, "points ..."]:
    """Values of the points of a warped face in the order of the landmark scheme, which changes where it is mirrored."""
    if markup.flip_order is None:  # then nothing is mirrored
        return values
    (a, b), (c, d) = affine.matrix
    return jnp.where(a * d - b * c < 0, values[np.array(markup.flip_order)], values)


def blur(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Blur half of the images by a Gaussian; pixels beyond the image have no weight.

    `config.blur` is the largest standard deviation, in 1/100 of the side.
    """
    size, largest = image.shape[0], config.blur / 100
    draws = jax.random.uniform(key, (2,), jnp.float32)
    sigma, reach = draws[0] * largest * size, max(1, math.ceil(2 * largest * size))

    def weights(distance: jax.Array) -> jax.Array:
        near = (jnp.abs(distance) <= reach).astype(jnp.float32)
        return near * jnp.exp(-jnp.square(distance) / (2 * jnp.square(sigma) + 1e-6))

    def shifted(image: jax.Array) -> jax.Array:
        taps = weights(jnp.arange(-reach, reach + 1, dtype=jnp.float32))
        for axis in (0, 1):
            room = [(reach, reach) if axis == other else (0, 0) for other in range(3)]
            padded, inside = jnp.pad(image, room), np.pad(np.ones(size, np.float32), reach)
            total = sum(taps[k] * inside[k : k + size] for k in range(2 * reach + 1))
            slices = [jax.lax.slice_in_dim(padded, k, k + size, axis=axis) for k in range(2 * reach + 1)]
            image = sum(taps[k] * piece for k, piece in enumerate(slices)) / jnp.expand_dims(total, (1 - axis, 2))
        return image

    def products(image: jax.Array) -> jax.Array:
        places = jnp.arange(size, dtype=jnp.float32)
        band = weights(places[:, None] - places[None, :])
        band = (band / band.sum(axis=1, keepdims=True)).astype(jnp.bfloat16)
        rows = jnp.einsum("yv,vxk->yxk", band, image.astype(jnp.bfloat16), preferred_element_type=jnp.bfloat16)
        return jnp.einsum("xu,yuk->yxk", band, rows, preferred_element_type=jnp.float32)

    return jax.lax.cond(draws[1] < 0.5, lambda: by_platform(image, gathers=shifted, products=products), lambda: image)


def change_saturation(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Move every pixel towards its grey value or away from it."""
    # Not `mean`: for sums over three neighbours XLA for CPUs takes four times as long.
    grey = (image[..., 0:1] + image[..., 1:2] + image[..., 2:3]) / 3
    return grey + _factor(key, config.saturation) * (image - grey)


def change_contrast(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Move every value towards the image's mean or away from it."""
    mean = image.mean()
    return mean + _factor(key, config.contrast) * (image - mean)


def change_brightness(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Add one amount to all values."""
    return image + (_factor(key, config.brightness) - 1)


def _factor(key: jax.Array, largest: float) -> jax.Array:
    """A random number in [1 - largest, 1 + largest)."""
    return 1 + largest * jax.random.uniform(key, (), jnp.float32, -1.0)


def occlude(image: Image, key: jax.Array, config: AugmentConfig) -> Image:
    """Cover a rectangle of half of the images with one colour."""
    start, end, colour = _rectangle(key, config)
    units = (jnp.arange(image.shape[0], dtype=jnp.float32) + 0.5) / image.shape[0]
    columns, rows = ((units >= start[axis]) & (units < end[axis]) for axis in (0, 1))
    return jnp.where((rows[:, None] & columns[None, :])[..., None], colour[None, None], image)


def hide_points(
    visible: Float[Array, " num_points"], landmarks: Landmarks, key: jax.Array, config: AugmentConfig
) -> Float[Array, " num_points"]:
    """Mark the points that `occlude` covers with the same key as hidden, where it is known whether they are seen."""
    start, end, _ = _rectangle(key, config)
    covered = ((landmarks >= start[None]) & (landmarks < end[None])).all(axis=-1)
    return jnp.where(covered, 0 * visible, visible)  # NaN stays


def _rectangle(key: jax.Array, config: AugmentConfig) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Left top and right bottom (parts of the image) of a rectangle, without extent for half of the keys; its RGB."""
    draws = jax.random.uniform(key, (8,), jnp.float32)
    extent = draws[:2] * config.occlusion
    start = draws[3:5] * (1 - extent)
    return start, jnp.where(draws[2] < 0.5, start + extent, start), draws[5:8]


AUGMENTATIONS: dict[str, PixelChange] = {
    "blur": blur,
    "saturation": change_saturation,
    "contrast": change_contrast,
    "brightness": change_brightness,
    "occlusion": occlude,
    "motion": camera_effects.move,
    "temperature": camera_effects.change_temperature,
    "grey": camera_effects.make_grey,
    "noise": camera_effects.add_noise,
    "jpeg": camera_effects.compress,
}
"""Field of `AugmentConfig` -> change of the pixels, in the order of their application; a field at 0 turns its own off.

An extension adds the field of its own subclass of `AugmentConfig`."""


def augment_face(
    pixels: UInt8[Array, "height width 3"],
    crop: Float[Array, "3"],
    landmarks: Landmarks,
    visible: Float[Array, " num_points"],
    key: jax.Array,
    config: DataConfig,
    most: int,
) -> tuple[Image, Landmarks, Float[Array, " num_points"]]:
    """Make a training example of a face.

    Args:
        pixels: Region around the face.
        crop: Left, top, side in pixels of the region.
        landmarks: Crop units.
        visible: 1 for points that are seen, 0 for hidden ones, NaN where that is not known.
        key: Decides everything random.
        config: Ranges, size and normalisation.
        most: Samples a pixel along each axis, from `most_samples`.

    Returns:
        The normalised image, the landmarks in units of the warped crop, and whether they are seen.
    """
    affine = draw_affine(jax.random.fold_in(key, 0), config.augment)
    landmarks = warp_landmarks(landmarks, affine, config.markup)
    outside = ((landmarks < 0) | (landmarks > 1)).any(axis=-1)
    visible = jnp.where(outside, 0 * visible, in_order(visible, affine, config.markup))  # NaN stays
    image = sample_crop(pixels, crop, config.image_size, most, affine) / 255
    for number, (field, change) in enumerate(AUGMENTATIONS.items(), start=1):
        if getattr(config.augment, field, 0):  # an extension's field is not in every config
            image = change(image, jax.random.fold_in(key, number), config.augment)
            if change is occlude:
                visible = hide_points(visible, landmarks, jax.random.fold_in(key, number), config.augment)
    return config.normalize(image), landmarks, visible
