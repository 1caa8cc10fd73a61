import dataclasses
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_geometry import blob, centroid

from flaxmark.config import IMAGENET_MEAN, IMAGENET_STD, AugmentConfig, Config, DataConfig, TrainConfig
from flaxmark.data import pipeline
from flaxmark.data.augment import RANDOM, affine_of_crop, change_pixels, make_face_programs, warp_landmarks, warp_pixels
from flaxmark.data.pipeline import epoch_order, eval_batches, train_batches
from flaxmark.data.prepare import Examples
from flaxmark.data.tensorflow_setup import tf
from flaxmark.geometry import FaceRegion, cut_region, to_crop_units, warp_crop
from flaxmark.landmarks import IBUG_68
from flaxmark.run import Run

STRONG = AugmentConfig(30, 0.2, 0.1, True, 0.2, 0.3, 0.3, 1.0, 0.4)
CONFIG = DataConfig(image_size=64, augment=STRONG)


def _jpeg(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def make_examples(count: int) -> Examples:
    rng = np.random.default_rng(0)
    encoded = []
    for index in range(count):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        small[0, 0] = index
        encoded.append(_jpeg(np.asarray(Image.fromarray(small).resize((120, 120), Image.Resampling.BICUBIC))))
    # The first landmark is the example's number, so that batches can be recognised.
    landmarks = rng.uniform(0.2, 0.8, (count, 68, 2)).astype(np.float32)
    landmarks[:, 0, 0] = np.arange(count)
    names = [str(i) for i in range(count)]
    crops = np.tile(np.float32([20, 20, 80]), (count, 1))
    return Examples(landmarks, crops, np.zeros((count, 4), np.float32), crops, names, names, names, 128, encoded)


EXAMPLES = make_examples(22)


def flat(pixels: np.ndarray) -> tuple:
    """As `warp_pixels` takes them, with room left."""
    return tf.constant(np.pad(pixels.reshape(-1, 3), [(0, 99), (0, 0)])), tf.constant(pixels.shape[:2])


def numbers(batches) -> list[list[int]]:
    return [[round(float(x)) for x in batch["landmarks"][:, 0, 0]] for batch in batches]


def plain(config: DataConfig) -> DataConfig:
    return dataclasses.replace(config, augment=AugmentConfig())


def test_an_epoch_is_a_permutation_without_its_remainder() -> None:
    batches = numbers(train_batches(EXAMPLES, plain(CONFIG), batch_size=8, seed=3, epoch=5))
    assert batches == epoch_order(22, 3, 5)[:16].reshape(2, 8).tolist()
    assert epoch_order(22, 3, 5).tolist() != epoch_order(22, 3, 6).tolist()
    assert epoch_order(22, 3, 5).tolist() != epoch_order(22, 4, 5).tolist()


def test_the_files_of_a_step_are_those_of_its_batch() -> None:
    train = TrainConfig(batch_size=4, seed=2)
    run = SimpleNamespace(config=Config(train=train), examples=EXAMPLES, steps_per_epoch=5)
    batches = numbers(train_batches(EXAMPLES, plain(CONFIG), batch_size=4, seed=2, epoch=1))
    assert Run.files_of(run, 5 + 3) == [str(number) for number in batches[2]]  # type: ignore[arg-type]


def test_resuming_within_an_epoch_gives_the_same_batches() -> None:
    whole = list(train_batches(EXAMPLES, CONFIG, batch_size=4, seed=0, epoch=1))
    rest = list(train_batches(EXAMPLES, CONFIG, batch_size=4, seed=0, epoch=1, first_step=3))
    assert len(rest) == len(whole) - 3
    for expected, batch in zip(whole[3:], rest, strict=True):
        for name in expected:
            np.testing.assert_array_equal(batch[name], expected[name])


def test_processes_share_the_batches_of_one() -> None:
    whole = list(train_batches(EXAMPLES, CONFIG, batch_size=8, seed=0, epoch=0))
    shares = [
        list(train_batches(EXAMPLES, CONFIG, batch_size=8, seed=0, epoch=0, process=p, num_processes=2)) for p in (0, 1)
    ]
    for step, batch in enumerate(whole):
        for name in batch:
            joined = np.concatenate([share[step][name] for share in shares])
            np.testing.assert_array_equal(joined, batch[name])


@pytest.mark.parametrize("batch_size", [1, 8, 11, 22, 64])
def test_evaluation_sees_every_face_once(batch_size: int) -> None:
    batches = list(eval_batches(EXAMPLES, CONFIG, batch_size=batch_size))
    seen = [
        n for row, b in zip(numbers(batches), batches, strict=True) for n, m in zip(row, b["mask"], strict=True) if m
    ]
    assert seen == list(range(22))
    assert {len(batch["mask"]) for batch in batches} == {batch_size}


def test_evaluation_samples_what_predict_samples() -> None:
    batch = next(eval_batches(EXAMPLES, CONFIG, batch_size=4))
    for image, encoded in zip(batch["image"], EXAMPLES.records, strict=False):
        region = FaceRegion(np.asarray(Image.open(io.BytesIO(encoded))), np.array([20.0, 20.0, 80.0]))
        expected = (warp_crop(region, 64) / 255 - np.float32(CONFIG.pixel_mean)) / np.float32(CONFIG.pixel_std)
        np.testing.assert_allclose(image, expected, atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_compiled_faces_are_those_of_the_operations_one_by_one(seed: int) -> None:
    """Random numbers included: XLA's own would be others."""
    pixels = blob(150, 130, 70, 60, sigma=9) + np.random.default_rng(seed).integers(0, 9, (130, 150, 3), dtype=np.uint8)
    crop, landmarks = tf.constant([20.0, 9, 110]), tf.random.stateless_uniform([68, 2], [seed, 9])
    image, moved = make_face_programs(CONFIG)[0](*flat(pixels), crop, landmarks, tf.constant([seed, 7]))
    geometric, photometric = tf.unstack(tf.random.split(tf.constant([seed, 7]), 2, alg=RANDOM))
    matrix, shift = affine_of_crop(STRONG, geometric)
    expected = change_pixels(warp_pixels(*flat(pixels), crop, matrix, shift, 64), CONFIG, photometric)
    np.testing.assert_allclose(image, expected, atol=2e-3)
    np.testing.assert_allclose(moved, warp_landmarks(landmarks, matrix, shift, IBUG_68), atol=1e-5)


def test_the_largest_region_has_room() -> None:
    picture = np.zeros((3000, 3100, 3), np.uint8)
    for side in (255.5, 256, 300.3, 1999.9):
        region = cut_region(picture, np.array([301.4, 299.7, side]), CONFIG.crop)
        examples = dataclasses.replace(make_examples(1), encoded=[_jpeg(region.pixels)])
        assert len(list(eval_batches(examples, CONFIG, batch_size=1))) == 1


@pytest.mark.parametrize("size", [64, 112])
@pytest.mark.parametrize("seed", range(6))
def test_a_blob_moves_with_its_landmark(size: int, seed: int) -> None:
    crop, point = np.float32([60, 50, 200]), np.array([150.0, 165.0])
    pixels = blob(320, 300, *point, sigma=6)
    matrix, shift = affine_of_crop(STRONG, tf.constant([seed, 1]))
    warped = warp_pixels(*flat(pixels), tf.constant(crop), matrix, shift, size).numpy()
    landmarks = np.tile(to_crop_units(point[None], crop).astype(np.float32), (68, 1))
    expected = warp_landmarks(tf.constant(landmarks), matrix, shift, IBUG_68).numpy()[0] * size - 0.5
    np.testing.assert_allclose(centroid(warped), expected, atol=0.05)


def test_half_of_the_faces_are_flipped_and_their_points_renamed() -> None:
    config = AugmentConfig(flip=True)
    landmarks = np.random.default_rng(0).uniform(size=(68, 2)).astype(np.float32)
    flipped = 0
    for seed in range(40):
        matrix, shift = affine_of_crop(config, tf.constant([seed, 0]))
        moved = warp_landmarks(tf.constant(landmarks), matrix, shift, IBUG_68).numpy()
        if np.linalg.det(matrix.numpy()) < 0:
            flipped += 1
            expected = landmarks[list(IBUG_68.flip_order)] * [-1, 1] + [1, 0]
            np.testing.assert_allclose(moved, expected, atol=1e-6)
        else:
            np.testing.assert_allclose(moved, landmarks, atol=1e-6)
    assert 10 < flipped < 30


def change(image: np.ndarray, augment: AugmentConfig, seed: int) -> np.ndarray:
    """In [0, 1] on both sides, without normalisation."""
    config = DataConfig(pixel_mean=(0, 0, 0), pixel_std=(1, 1, 1), augment=augment)
    return change_pixels(tf.constant(255 * image), config, tf.constant([seed, 2])).numpy()


def test_pixel_changes_are_off_by_default() -> None:
    image = np.random.default_rng(0).uniform(size=(64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(change(image, AugmentConfig(), 0), image, atol=1e-6)
    assert np.abs(change(image, STRONG, 0) - image).max() > 0.01
    normalised = change_pixels(tf.constant(255 * image), DataConfig(), tf.constant([0, 0]))
    np.testing.assert_allclose(normalised, (image - IMAGENET_MEAN) / IMAGENET_STD, atol=1e-5)


def test_brightness_and_contrast_by_hand() -> None:
    image = np.tile(np.float32([0.4, 0.5, 0.6]), (64, 64, 1))
    changed = change(image, AugmentConfig(brightness=0.2), 1)
    amount = changed[0, 0, 0] - 0.4
    assert 0 < abs(amount) <= 0.2
    np.testing.assert_allclose(changed, image + amount, atol=1e-6)
    changed = change(image, AugmentConfig(contrast=0.5), 1)
    factor = (changed[0, 0, 2] - 0.5) / 0.1
    assert 0.5 <= factor <= 1.5
    np.testing.assert_allclose(changed, 0.5 + factor * (image - 0.5), atol=1e-5)


def test_saturation_and_contrast_are_one_map() -> None:
    image = np.random.default_rng(0).uniform(size=(64, 64, 3)).astype(np.float32)
    grey = image.mean(axis=-1, keepdims=True)
    saturated = change(image, AugmentConfig(saturation=0.8), 1)
    factor = (saturated - grey)[0, 0, 0] / (image - grey)[0, 0, 0]
    assert 0.2 <= factor <= 1.8
    np.testing.assert_allclose(saturated, grey + factor * (image - grey), atol=1e-5)
    both = change(image, AugmentConfig(saturation=0.8, contrast=0.5), 1)
    contrast = (both - both.mean())[0, 0, 0] / (saturated - saturated.mean())[0, 0, 0]
    np.testing.assert_allclose(both, image.mean() + contrast * (saturated - image.mean()), atol=1e-5)


def test_blur_keeps_the_mean_and_an_even_picture() -> None:
    even = np.full((64, 64, 3), 0.3, np.float32)
    point = np.zeros((64, 64, 3), np.float32)
    point[32, 32] = 1
    sums, peaks = [], []
    for seed in range(12):
        np.testing.assert_allclose(change(even, AugmentConfig(blur=3), seed), even, atol=1e-5)
        blurred = change(point, AugmentConfig(blur=3), seed)
        sums.append(blurred[..., 0].sum())
        peaks.append(blurred.max())
    np.testing.assert_allclose(sums, 1, atol=1e-3)
    assert min(peaks) < 0.5 < max(peaks)


def test_half_of_the_faces_are_partly_covered() -> None:
    image = np.random.default_rng(0).uniform(size=(64, 64, 3)).astype(np.float32)
    covered = 0
    for seed in range(40):
        different = np.abs(change(image, AugmentConfig(occlusion=0.5), seed) - image).max(axis=-1) > 1e-5
        if different.any():
            covered += 1
            rows, columns = np.flatnonzero(different.any(axis=1)), np.flatnonzero(different.any(axis=0))
            assert different[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert max(len(rows), len(columns)) <= 33
    assert 10 < covered < 30


def test_no_thread_of_tensorflow_keeps_an_ended_epoch_waiting() -> None:
    rows = np.arange(8).reshape(2, 4)
    dataset = pipeline._dataset(rows, lambda row: {"row": row})
    assert not dataset.options().autotune.enabled
    assert [batch["row"].tolist() for batch in dataset.as_numpy_iterator()] == rows.tolist()
