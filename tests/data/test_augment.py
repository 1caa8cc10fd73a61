"""What is done to training faces, each change against numbers computed by hand or in NumPy."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.small_examples import STRONG
from scipy.ndimage import gaussian_filter1d

from flaxmark.data.config import IMAGENET_MEAN, IMAGENET_STD, AugmentConfig, DataConfig
from flaxmark.data.input import augment
from flaxmark.data.input.augment import AUGMENTATIONS, augment_face, draw_affine, warp_landmarks
from flaxmark.faces.crop_sampler import Affine, most_samples
from flaxmark.faces.markup import IBUG_68

IMAGE = np.random.default_rng(0).uniform(size=(64, 64, 3)).astype(np.float32)


def keys(count: int) -> jax.Array:
    return jax.random.split(jax.random.key(3), count)


def many(name: str, amount: float, count: int = 40, image: np.ndarray = IMAGE) -> np.ndarray:
    """One change of an image, for many keys: `[count, 64, 64, 3]`."""
    config = AugmentConfig(**{name: amount})  # type: ignore[arg-type]
    change = jax.jit(jax.vmap(lambda key: AUGMENTATIONS[name](jnp.asarray(image), key, config)))
    return np.asarray(change(keys(count)))


def test_the_list_names_every_field_that_changes_pixels() -> None:
    geometric = {"rotation", "scale", "shift", "flip"}
    assert set(AUGMENTATIONS) == {field.name for field in dataclasses.fields(AugmentConfig)} - geometric


def test_every_change_keeps_its_range_and_leaves_out_what_is_off() -> None:
    """A field at 0 compiles nothing, and so an image without changes is the warped one."""
    config = DataConfig(image_size=64)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    crop = np.float32([0, 0, 64])
    arguments: Any = (pixels, crop, np.zeros((68, 2), np.float32), np.ones(68), jax.random.key(0), config, 1)
    image, _, _ = augment_face(*arguments)
    expected = (pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_brightness_adds_one_amount() -> None:
    amounts = many("brightness", 0.2) - IMAGE
    np.testing.assert_allclose(amounts, amounts[:, :1, :1, :1] + np.zeros_like(IMAGE), atol=1e-6)
    drawn = amounts[:, 0, 0, 0]
    assert -0.2 <= drawn.min() < -0.12
    assert 0.12 < drawn.max() < 0.2


def test_contrast_scales_about_the_mean() -> None:
    changed, mean = many("contrast", 0.5), IMAGE.mean()
    factors = (changed - mean)[:, 0, 0, 0] / (IMAGE - mean)[0, 0, 0]
    assert 0.5 <= factors.min() < 0.7
    assert 1.3 < factors.max() < 1.5
    np.testing.assert_allclose(changed, mean + factors[:, None, None, None] * (IMAGE - mean), atol=1e-5)


def test_saturation_scales_about_each_pixels_grey() -> None:
    changed, grey = many("saturation", 0.8), IMAGE.mean(axis=-1, keepdims=True)
    factors = (changed - grey)[:, 0, 0, 0] / (IMAGE - grey)[0, 0, 0]
    assert 0.2 <= factors.min() < 0.5
    assert 1.5 < factors.max() < 1.8
    np.testing.assert_allclose(changed, grey + factors[:, None, None, None] * (IMAGE - grey), atol=1e-5)


@pytest.mark.parametrize("form", ["gathers", "products"])
def test_blur_is_scipys_gaussian_on_half_of_the_images(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "by_platform", lambda image, **forms: forms[form](image))
    blurred = 0
    for key in keys(16):
        changed = np.asarray(augment.blur(jnp.asarray(IMAGE), key, AugmentConfig(blur=3.0)))
        share, coin = np.asarray(jax.random.uniform(key, (2,), jnp.float32))
        if coin >= 0.5:
            np.testing.assert_array_equal(changed, IMAGE)
            continue
        blurred += 1
        sigma, reach = float(share) * 0.03 * 64, 4  # of 2 x 1.92, rounded up
        expected = np.float64(IMAGE)
        inside = np.ones(64)
        if sigma > 0.05:  # below, only the middle has weight
            for axis in (0, 1):
                weight = gaussian_filter1d(inside, sigma, mode="constant", radius=reach)
                total = gaussian_filter1d(expected, sigma, axis=axis, mode="constant", radius=reach)
                expected = total / np.expand_dims(weight, (1 - axis, 2))
        np.testing.assert_allclose(changed, expected, atol=1e-5 if form == "gathers" else 1e-2)
    assert 4 <= blurred <= 12


def test_blur_keeps_an_even_image() -> None:
    even = np.full((64, 64, 3), 0.3, np.float32)
    np.testing.assert_allclose(many("blur", 3.0, image=even), np.broadcast_to(even, (40, 64, 64, 3)), atol=1e-5)


def test_half_of_the_images_are_partly_covered_by_one_colour() -> None:
    covered = 0
    for changed in many("occlusion", 0.5):
        different = np.abs(changed - IMAGE).max(axis=-1) > 1e-6
        if different.any():
            covered += 1
            rows, columns = np.flatnonzero(different.any(axis=1)), np.flatnonzero(different.any(axis=0))
            patch = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert np.ptp(patch.reshape(-1, 3), axis=0).max() == 0
            assert max(len(rows), len(columns)) <= 33
            assert 0 <= patch.min() <= patch.max() <= 1
    assert 10 < covered < 30


def test_the_affine_map_is_rotation_scale_shift_and_flip() -> None:
    maps = jax.vmap(lambda key: draw_affine(key, STRONG))(keys(400))
    matrices = np.asarray(maps.matrix, np.float64)
    zoom = 1 / np.sqrt(np.abs(np.linalg.det(matrices)))
    mirrored = np.linalg.det(matrices) < 0
    angle = np.degrees(np.arctan2(-matrices[:, 0, 1], matrices[:, 1, 1]))
    assert 0.4 < mirrored.mean() < 0.6
    # Uniform in their ranges: ends reached, mean in the middle (three standard errors).
    for values, low, high in ((angle, -30, 30), (zoom, 0.8, 1.2), *((s, -0.1, 0.1) for s in np.asarray(maps.shift).T)):
        width = high - low
        assert low <= values.min() < low + 0.03 * width
        assert high - 0.03 * width < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 3 * width / np.sqrt(12 * 400)
    both = np.einsum("nij,nkj->nik", matrices, matrices) * zoom[:, None, None] ** 2  # orthogonal but for scale
    np.testing.assert_allclose(both, np.broadcast_to(np.eye(2), both.shape), atol=1e-5)


def test_landmarks_move_by_the_inverse_map() -> None:
    landmarks = np.random.default_rng(1).uniform(size=(68, 2)).astype(np.float32)
    for key in keys(8):
        affine = draw_affine(key, STRONG)
        moved = np.asarray(warp_landmarks(jnp.asarray(landmarks), affine, IBUG_68))
        matrix, shift = np.asarray(affine.matrix), np.asarray(affine.shift)
        if np.linalg.det(matrix) < 0:
            moved = moved[list(IBUG_68.flip_order)]  # type: ignore[arg-type]
        np.testing.assert_allclose((moved - 0.5) @ matrix.T + 0.5 + shift, landmarks, atol=1e-5)


def test_a_flip_renames_points() -> None:
    landmarks = np.random.default_rng(0).uniform(size=(68, 2)).astype(np.float32)
    mirror = Affine(jnp.array([[-1.0, 0], [0, 1]], jnp.float32), jnp.zeros(2, jnp.float32))
    moved = warp_landmarks(jnp.asarray(landmarks), mirror, IBUG_68)
    expected = landmarks[list(IBUG_68.flip_order)] * [-1, 1] + [1, 0]  # type: ignore[arg-type]
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_missing_points_stay_missing_and_are_renamed_by_a_flip() -> None:
    points = np.random.default_rng(0).uniform(size=(68, 2)).astype(np.float32)
    holes = points.copy()
    holes[[0, 40]] = np.nan
    for mirror, gone in ((1, [0, 40]), (-1, [16, 47])):
        affine = Affine(jnp.array([[0.9 * mirror, -0.1], [0.1 * mirror, 0.9]]), jnp.array([0.1, 0.0]))
        whole, moved = (np.asarray(warp_landmarks(jnp.asarray(p), affine, IBUG_68)) for p in (points, holes))
        assert np.flatnonzero(np.isnan(moved).any(axis=1)).tolist() == gone
        there = np.delete(np.arange(68), gone)
        np.testing.assert_array_equal(moved[there], whole[there])


def test_one_by_one_under_vmap_and_lax_map_are_the_same() -> None:
    config = DataConfig(image_size=64, augment=STRONG)
    rng = np.random.default_rng(0)
    pixels, landmarks = rng.integers(0, 256, (3, 96, 96, 3), dtype=np.uint8), rng.random((3, 68, 2), np.float32)
    crop = np.tile(np.float32([8, 9, 80]), (3, 1))
    most = most_samples(80, 64, 0.8)

    def one(pixels: Any, crop: Any, landmarks: Any, key: Any) -> Any:
        return augment_face(pixels, crop, landmarks, jnp.ones(68), key, config, most)

    alone = [jax.jit(one)(*arguments) for arguments in zip(pixels, crop, landmarks, keys(3), strict=True)]
    together = jax.jit(jax.vmap(one))(pixels, crop, landmarks, keys(3))
    mapped = jax.jit(lambda *a: jax.lax.map(lambda x: one(*x), a))(pixels, crop, landmarks, keys(3))
    for row, (image, points, seen) in enumerate(alone):
        for images, moved, visible in (together, mapped):
            np.testing.assert_array_equal(visible[row], seen)
            np.testing.assert_allclose(images[row], image, atol=2e-4)
            np.testing.assert_allclose(moved[row], points, atol=1e-6)


def test_points_under_the_rectangle_are_hidden_and_no_others() -> None:
    config = DataConfig(image_size=64, augment=AugmentConfig(occlusion=0.6))
    grid = np.stack(np.meshgrid(*2 * [(8 * np.arange(8) + 4.5) / 64]), axis=-1).reshape(-1, 2)
    landmarks = np.concatenate([grid, [[2.0, 0.5]] * 4]).astype(np.float32)  # 4 beyond the image
    visible = np.ones(68, np.float32)
    visible[:3] = np.nan
    whole = np.full((64, 64, 3), 7, np.uint8)
    crop, hidden = np.float32([0, 0, 64]), 0
    make = jax.jit(lambda key: augment_face(whole, crop, landmarks, visible, key, config, 1))
    for key in keys(12):
        image, points, seen = map(np.asarray, make(key))
        np.testing.assert_allclose(points, landmarks, atol=1e-6)
        places = (grid * 64).astype(int)
        plain = np.asarray(config.normalize(jnp.full((1, 1, 3), 7 / 255)))[0, 0]
        covered = np.append(np.abs(image[places[:, 1], places[:, 0]] - plain).max(axis=-1) > 1e-3, [False] * 4)
        covered[64:] = True  # beyond the image
        np.testing.assert_array_equal(seen[3:], np.where(covered, 0, 1)[3:])
        assert np.isnan(seen[:3]).all()
        hidden += covered[:64].sum()
    assert hidden > 20


def test_visibility_goes_with_its_points_when_a_face_is_mirrored() -> None:
    config = DataConfig(image_size=64, augment=AugmentConfig(flip=True))
    landmarks = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2)).astype(np.float32)
    visible = np.arange(68, dtype=np.float32)
    pixels, crop = np.zeros((64, 64, 3), np.uint8), np.float32([0, 0, 64])
    mirrored = 0
    for key in keys(6):
        _, points, seen = augment_face(pixels, crop, landmarks, visible, key, config, 1)
        order = np.asarray(seen).astype(int)
        if order[0] != 0:
            mirrored += 1
            np.testing.assert_array_equal(order, IBUG_68.flip_order)
        np.testing.assert_allclose(points[:, 1], landmarks[order, 1], atol=1e-6)
    assert 0 < mirrored < 6
