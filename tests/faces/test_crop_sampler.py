import functools
import math
import os
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.images import draw

from flaxmark.data.config import AugmentConfig
from flaxmark.data.input.augment import draw_affine, warp_landmarks
from flaxmark.faces.array_library import JAX, NUMPY, ArrayLibrary
from flaxmark.faces.crop import CropDefinition, FaceRegion, cut_region, landmark_box, square_crop, to_crop_units
from flaxmark.faces.crop_sampler import (
    Affine,
    _source_map,
    crop_image,
    most_samples,
    sample_by_gathers,
    sample_by_products,
    sample_crop,
    upright_weights,
)
from flaxmark.faces.markup import IBUG_68

FORMS = {"gathers": sample_by_gathers, "products": sample_by_products}
ANGLES = [-180, -135, -100, -46, -44, -10, 0, 30, 45, 80, 90, 170]


def affine_of(degrees: float = 0, zoom: float = 1, shift: tuple[float, float] = (0, 0), mirror: bool = False) -> Affine:
    cos, sin = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    sign = -1 if mirror else 1
    return Affine(jnp.array([[cos * sign, -sin], [sin * sign, cos]], jnp.float32), jnp.array(shift, jnp.float32))


@functools.partial(jax.jit, static_argnames=("form", "size", "most"))
def sample(form: str, pixels: Any, crop: Any, size: int, most: int, affine: Affine | None = None) -> jax.Array:
    """One of the two forms on this machine, whatever it is."""
    return FORMS[form](pixels, *_source_map(crop, size, most, affine), size, most)


def opencv(pixels: np.ndarray, crop: Any, size: int, affine: Affine, count: int = 1) -> np.ndarray:
    """The mean of count x count warps by OpenCV, at places spread evenly over each pixel."""
    matrix, shift = (np.asarray(part, np.float64) for part in affine)
    corner, side = np.array(crop[:2], np.float64), float(crop[2])
    linear, warps = matrix * side / size, []
    for number in range(count * count):
        within = (np.array(divmod(number, count)) + 0.5) / count - 0.5
        origin = linear @ (within - (size - 1) / 2) + (shift + 0.5) * side + corner - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        whole = np.column_stack([linear, origin])
        warps.append(cv2.warpAffine(pixels.astype(np.float32), whole, (size, size), flags=flags))
    return np.mean(warps, axis=0)


def drawn_region(seed: int = 3, pixels: int = 150) -> tuple[np.ndarray, np.ndarray]:
    image, landmarks = draw(seed, pixels)
    return image, square_crop(landmark_box(landmarks), 1.5).astype(np.float32)


def real_regions(count: int) -> list[FaceRegion]:
    from flaxmark.data.images import read_image
    from flaxmark.data.readers.pts import read_pts

    files = sorted(Path(os.environ["FLAXMARK_DATA"], "300w", "afw").glob("*.jpg"))[:: 300 // count][:count]
    crops = [square_crop(landmark_box(read_pts(file.with_suffix(".pts"), 68)), 1.5) for file in files]
    return [cut_region(read_image(f), crop, CropDefinition()) for f, crop in zip(files, crops, strict=True)]


real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")


def blob(width: int, height: int, x: float, y: float, sigma: float) -> np.ndarray:
    columns, rows = np.arange(width), np.arange(height)[:, None]
    values = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat((255 * values[..., None]).round().astype(np.uint8), 3, axis=2)


def centroid(image: Any) -> np.ndarray:
    weights = np.asarray(image, np.float64)[..., 0]
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


MAPS = {
    "upright": affine_of(),
    "turned": affine_of(25, 1.15, (0.06, -0.04)),
    "mirrored": affine_of(-70, 0.85, (-0.05, 0.1), mirror=True),
    "upside down": affine_of(180, 1.0, (0.1, 0.0)),
}


@pytest.mark.parametrize("name", MAPS)
def test_gathers_are_opencvs_warp(name: str) -> None:
    image, crop = drawn_region()
    own = sample("gathers", image, crop, 160, 1, MAPS[name])
    assert np.abs(own - opencv(image, crop, 160, MAPS[name])).max() < 1


@pytest.mark.parametrize(("name", "size", "count"), [("turned", 64, 2), ("mirrored", 64, 2), ("upright", 32, 4)])
def test_gathers_that_shrink_are_the_mean_of_opencvs_warps(name: str, size: int, count: int) -> None:
    """The crop has 124 pixels; scaled, 108, 146 and 124."""
    image, crop = drawn_region(5, 170)
    own = sample("gathers", image, crop, size, count + 1, MAPS[name])
    assert np.abs(own - opencv(image, crop, size, MAPS[name], count)).max() < 1


@real
@pytest.mark.parametrize(("size", "count"), [(224, 1), (112, 2)])
def test_gathers_are_opencvs_warp_of_real_faces(size: int, count: int) -> None:
    for number, region in enumerate(real_regions(6)):
        crop = region.crop.astype(np.float32)
        affine = affine_of(60.0 * number - 175, 1.1, (0.03, 0.05), mirror=number % 2 == 1)
        assert 1.6 < crop[2] / (1.1 * 112) < 2.5
        own = sample("gathers", region.pixels, crop, size, 3, affine)
        assert np.abs(own - opencv(region.pixels, crop, size, affine, count)).max() < 1


@pytest.mark.parametrize(("pixels", "size"), [(150, 224), (400, 112), (150, 32)])
def test_products_of_upright_crops_differ_by_rounding_to_bfloat16(pixels: int, size: int) -> None:
    image, crop = drawn_region(5, pixels)
    most = most_samples(float(crop[2]), size)
    exact, found = (np.asarray(sample(form, image, crop, size, most)) for form in FORMS)
    difference = np.abs(found - exact)
    assert difference.mean() < 0.4
    assert difference.max() < 2


@pytest.mark.parametrize(("pixels", "size"), [(300, 112), (150, 112)])
def test_products_of_turned_crops_are_close(pixels: int, size: int) -> None:
    """They interpolate along the turned line, not along rows."""
    image, crop = drawn_region(7, pixels)
    for degrees in ANGLES:
        check_turned(image, crop, size, most_samples(float(crop[2]), size, 0.8), affine_of(degrees, 0.9, (0.02, -0.03)))


@real
def test_products_of_turned_real_faces_are_close() -> None:
    for number, region in enumerate(real_regions(6)):
        affine = affine_of(60.0 * number - 175, 0.9, mirror=number % 2 == 1)
        check_turned(region.pixels, region.crop.astype(np.float32), 224, 2, affine)


def check_turned(image: np.ndarray, crop: np.ndarray, size: int, most: int, affine: Affine) -> None:
    exact, found = (np.asarray(sample(form, image, crop, size, most, affine)) for form in FORMS)
    difference = np.abs(found - exact)
    assert difference.mean() < 1
    assert np.percentile(difference, 99) < 9


@pytest.mark.parametrize("degrees", [0, 30, 90])
@pytest.mark.parametrize("form", FORMS)
def test_shrinking_is_antialiased(form: str, degrees: float) -> None:
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = np.array([0, 0, 300], np.float32)
    found = np.asarray(sample(form, stripes, crop, 64, most_samples(300, 64), affine_of(degrees)))[16:-16, 16:-16]
    assert abs(found.mean() - 127.5) < 1
    assert found.std() < 25  # without antialiasing it is 104


@functools.cache
def random_maps() -> list[Affine]:
    config = AugmentConfig(rotation=180, scale=0.2, shift=0.1)
    return [draw_affine(jax.random.key(seed), config) for seed in range(6)]


@pytest.mark.parametrize(("side", "size"), [(90, 112), (250, 64)])
@pytest.mark.parametrize("form", FORMS)
def test_a_blob_lands_where_its_landmark_lands(form: str, side: float, size: int) -> None:
    """In the middle of its image, and close to a corner of it, where the crop reaches beyond."""
    rng, sigma = np.random.default_rng(7), max(2.5, 0.025 * side)
    most = most_samples(side, size, 0.8)
    for affine in [affine_of(), *MAPS.values(), *random_maps()]:
        for border in (False, True):
            length = int(2 * side)
            point = np.full(2, length - 1 - 3.5 * sigma) if border else length / 2 + rng.uniform(-0.1, 0.1, 2) * side
            crop = np.array([*(point + rng.uniform(-0.1, 0.1, 2) * side - side / 2), side], np.float32)
            found = centroid(sample(form, blob(length, length, *point, sigma), crop, size, most, affine))
            landmarks = np.repeat(to_crop_units(point[None], crop), 68, axis=0).astype(np.float32)
            expected = np.asarray(warp_landmarks(jnp.asarray(landmarks), affine, IBUG_68))[0] * size - 0.5
            np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize(("seed", "size"), [(0, 64), (1, 112), (2, 224)])
def test_a_blob_survives_cutting_and_sampling(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    for side in (36, 90, 333, 1107):
        width, height = int(2.2 * side), int(2.0 * side)
        centre = np.array([width, height]) / 2 + rng.uniform(-0.1, 0.1, 2) * side
        crop = square_crop(np.array([*(centre - side / 3), *(centre + side / 3)]), 1.5)
        point = centre + rng.uniform(-0.3, 0.3, 2) * side
        image = blob(width, height, *point, sigma=max(2.5, 0.04 * side))
        expected = to_crop_units(point[None], crop)[0] * size - 0.5
        for margin in (True, False):
            found = centroid(crop_image(cut_region(image, crop, CropDefinition(), margin=margin), size))
            np.testing.assert_allclose(found, expected, atol=0.05)


def weights_of(library: ArrayLibrary, start: float, side: float, size: int, length: int) -> np.ndarray:
    first, extent = (np.full((1, 1, 1), value, np.float32) for value in (start, side))
    with jax.numpy_rank_promotion("allow"):
        made = upright_weights(library, first, extent, size, length, most_samples(side, size))
    return np.asarray(made)[0]


@pytest.mark.parametrize("library", [NUMPY, JAX], ids=["numpy", "jax"])
@pytest.mark.parametrize("size", [64, 100, 224])
@pytest.mark.parametrize(("left", "top"), [(-10.3, 20.6), (12.4, -7.3), (60.4, 70.3)])
def test_upright_weights_make_the_same_samples(left: float, top: float, size: int, library: ArrayLibrary) -> None:
    pixels, side = np.random.default_rng(0).integers(0, 256, (180, 150, 3), dtype=np.uint8), 155.5
    expected = sample_crop(jnp.asarray(pixels), jnp.array([left, top, side], jnp.float32), size, 3)
    down, across = weights_of(library, top, side, size, 180), weights_of(library, left, side, size, 150)
    np.testing.assert_allclose(across @ np.tensordot(down, pixels, axes=1), expected, atol=0.01)
    found = crop_image(FaceRegion(pixels, np.array([left, top, side])), size)
    assert (found.dtype, found.shape) == (np.float32, (size, size, 3))
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("size", [64, 112, 224])
@pytest.mark.parametrize(
    "crop",
    [[64.2, 60.7, 256], [300.5, 250.1, 400], [500, 20, 150.3], [-30, 470.2, 60], [610, -40, 35], [300.5, -12.5, 90]],
)
def test_a_region_without_margin_has_the_same_samples(size: int, crop: list[float]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (520, 640, 3), dtype=np.uint8)
    whole, least = (cut_region(image, np.array(crop), CropDefinition(), margin=margin) for margin in (True, False))
    assert least.pixels.size <= whole.pixels.size
    difference = np.abs(crop_image(least, size) - crop_image(whole, size))
    assert difference.max() < 1.01  # Pillow rounds to 8 bits
    assert (difference > 0.01).mean() < 0.01


def test_one_by_one_batched_and_compiled_are_the_same() -> None:
    images, crops = zip(*(drawn_region(seed) for seed in range(3)), strict=True)
    pixels, places = jnp.asarray(np.stack(images)), jnp.asarray(np.stack(crops))
    maps = jax.tree.map(lambda *parts: jnp.stack(parts), *list(MAPS.values())[:3])

    def one(pixels: jax.Array, crop: jax.Array, affine: Affine) -> jax.Array:
        return sample_crop(pixels, crop, 48, 3, affine)

    compiled = jax.jit(one)
    batched = jax.jit(jax.vmap(one))(pixels, places, maps)
    for row in range(3):
        own = pixels[row], places[row], jax.tree.map(lambda part, row=row: part[row], maps)
        np.testing.assert_allclose(compiled(*own), batched[row], atol=2e-3)
        np.testing.assert_allclose(one(*own), batched[row], atol=2e-3)


@pytest.mark.parametrize("form", FORMS)
def test_more_samples_than_needed_change_nothing(form: str) -> None:
    image, crop = drawn_region()
    for size in (64, 200):
        most = most_samples(float(crop[2]), size)
        enough, more = (np.asarray(sample(form, image, crop, size, number)) for number in (most, most + 2))
        np.testing.assert_allclose(more, enough, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_beyond_the_image_is_black(form: str) -> None:
    white = np.full((10, 12, 3), 255, np.uint8)
    found = np.asarray(sample(form, white, np.array([-10, 0, 20], np.float32), 64, 1))
    assert found[10, 5].tolist() == [0, 0, 0]
    assert found[10, 50].tolist() == pytest.approx([255, 255, 255])
    assert found[50].max() == 0
    assert crop_image(FaceRegion(white, np.array([50.0, 0, 20])), 16).max() == 0


def test_an_image_that_is_the_crop_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for form in FORMS:
        np.testing.assert_array_equal(sample(form, image, np.array([0, 0, 64], np.float32), 64, 2), image)


def test_a_crop_of_less_than_a_pixel_is_that_pixel() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[6, 5] = 200
    found = crop_image(cut_region(image, np.array([5.3, 6.3, 0.4]), CropDefinition()), 64)
    # Half a pixel from the edge, so that its middle is the pixel's centre: 80 % of it and more.
    assert found.min() > 0.8**2 * 200
    assert found.max() == pytest.approx(200, rel=0.01)


def test_most_samples() -> None:
    assert [most_samples(side, 112) for side in (50, 112, 168, 169, 224, 300)] == [1, 1, 1, 2, 2, 3]
    assert [most_samples(256, 112, zoom) for zoom in (1, 0.8, 0.5)] == [2, 3, 5]
