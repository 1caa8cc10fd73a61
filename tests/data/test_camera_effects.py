"""Effects of cameras on training images, against numbers computed by hand and against Pillow's JPEG."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from flaxmark.data.config import AugmentConfig
from flaxmark.data.drawn import draw_face
from flaxmark.data.input.augment import AUGMENTATIONS
from flaxmark.data.input.camera_effects import quantise

SIZE = 48


def many(name: str, amount: float, image: np.ndarray, count: int = 60) -> np.ndarray:
    """One change of an image, for many keys: `[count, size, size, 3]`."""
    config = AugmentConfig(**{name: amount})  # type: ignore[arg-type]
    change = jax.jit(lambda keys: jax.lax.map(lambda key: AUGMENTATIONS[name](jnp.asarray(image), key, config), keys))
    return np.asarray(change(jax.random.split(jax.random.key(5), count)))


def noise_image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(SIZE, SIZE, 3)).astype(np.float32)


def test_motion_spreads_a_point_along_a_line_and_keeps_its_light() -> None:
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    image[24, 24] = 1
    moved = many("motion", 10.0, image)
    np.testing.assert_allclose(moved.sum(axis=(1, 2)), 1, atol=1e-5)
    lengths, slopes = [], set()
    for one in moved[..., 0]:
        y, x = np.nonzero(one > 1e-6)
        lengths.append(len(y))
        if len(y) > 1:
            slopes.add((int(np.sign(y[-1] - y[0])), int(np.sign(x[-1] - x[0]))))
            assert (abs(y - 24) <= 3).all()  # half of 4.8 pixels, and the rest of a pixel
            assert one[24, 24] == one.max()
    assert slopes == {(0, 1), (1, 0), (1, 1), (1, -1)}
    assert 0.3 < np.mean(np.array(lengths) == 1) < 0.75  # half of them, and the shortest
    grey = np.full((SIZE, SIZE, 3), 0.3, np.float32)
    np.testing.assert_allclose(many("motion", 10.0, grey, 4), np.broadcast_to(grey, (4, *grey.shape)), atol=1e-6)


def test_temperature_moves_red_against_blue() -> None:
    image = noise_image() + 0.1
    changed = many("temperature", 0.2, image) / image
    red, green, blue = (changed[:, 0, 0, channel] for channel in range(3))
    np.testing.assert_allclose(green, 1, atol=1e-6)
    np.testing.assert_allclose(red + blue, 2, atol=1e-5)
    assert 0.8 <= red.min() < 0.84
    assert 1.16 < red.max() <= 1.2
    np.testing.assert_allclose(changed, np.broadcast_to(changed[:, :1, :1], changed.shape), rtol=1e-4)


def test_a_share_becomes_grey() -> None:
    image = noise_image()
    changed = many("grey", 0.3, image, 200)
    grey = np.ptp(changed, axis=-1).max(axis=(1, 2)) < 1e-6
    assert 0.2 < grey.mean() < 0.4
    luma = image @ np.float32([0.299, 0.587, 0.114])
    np.testing.assert_allclose(changed[grey][:, :, :, 1], np.broadcast_to(luma, (grey.sum(), SIZE, SIZE)), atol=1e-5)
    np.testing.assert_array_equal(changed[~grey], np.broadcast_to(image, changed[~grey].shape))


def test_noise_has_up_to_its_deviation_and_no_mean() -> None:
    image = noise_image()
    added = many("noise", 0.1, image, 100) - image
    deviations = added.std(axis=(1, 2, 3))
    assert 0.35 < (deviations == 0).mean() < 0.65
    assert 0.09 < deviations.max() <= 0.102
    assert np.abs(added.mean(axis=(1, 2, 3))).max() < 0.005
    noisy = added[deviations.argmax()]
    assert abs(np.corrcoef(noisy[..., 0].ravel(), noisy[..., 1].ravel())[0, 1]) < 0.1  # each channel has its own


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95])
@pytest.mark.parametrize("size", [48, 60])  # whole blocks, and not
def test_compression_is_that_of_jpeg(quality: int, size: int) -> None:
    image, _ = draw_face(3, 64)
    image = np.ascontiguousarray(image[:size, :size])
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(stream), np.float32)
    found = 255 * np.asarray(quantise(jnp.asarray(image / np.float32(255)), jnp.float32(quality)))
    # Pillow rounds colours to whole numbers before and after, and its colours lie in [0, 255].
    difference = np.abs(np.clip(found, 0, 255) - expected)
    lost = np.abs(image - expected).mean()  # 0.8 at quality 95, 12 at 10
    assert difference.mean() < min(2, lost)


def test_half_of_the_images_are_compressed() -> None:
    image = np.asarray(draw_face(3, 64)[0][:SIZE, :SIZE] / 255, np.float32)
    lost = np.abs(many("jpeg", 0.8, image) - image).mean(axis=(1, 2, 3))
    assert 0.35 < (lost == 0).mean() < 0.65
    assert lost.max() > 0.01
