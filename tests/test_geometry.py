import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaxmark.geometry import (
    CropDefinition,
    FaceRegion,
    cut_region,
    image_crop,
    landmark_box,
    samples_per_pixel,
    square_crop,
    to_crop_units,
    to_pixels,
    warp_crop,
)


def blob(width: int, height: int, x: float, y: float, sigma: float) -> np.ndarray:
    columns, rows = np.arange(width), np.arange(height)[:, None]
    values = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat((255 * values[..., None]).round().astype(np.uint8), 3, axis=2)


def centroid(image: np.ndarray) -> np.ndarray:
    weights = np.asarray(image, np.float64)[..., 0]
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


def test_the_crop_of_the_figures_in_the_docs() -> None:
    assert CropDefinition() == CropDefinition(scale=1.5, box="landmarks", stored_size=256, margin=1.5)


def test_landmark_box() -> None:
    assert landmark_box(np.array([[3.0, 9.0], [5.0, 2.0], [4.0, 4.0]])).tolist() == [3, 2, 5, 9]


def test_square_crop_by_hand() -> None:
    # Box 10..30 x 20..30: centre (20, 25), longer side 20, crop side 30; its edges are at 5 and 35.
    left, top, side = square_crop(np.array([10.0, 20.0, 30.0, 30.0]), 1.5)
    assert (left, top, side) == (5.5, 10.5, 30)
    # A tall one, 3..9 x 4..20, beside it: centre (6, 12), crop side 24 of the longer 16.
    boxes = np.array([[10.0, 20.0, 30.0, 30.0], [3.0, 4.0, 9.0, 20.0]])
    assert square_crop(boxes, 1.5).tolist() == [[5.5, 10.5, 30], [-5.5, 0.5, 24]]


def test_crop_units_by_hand() -> None:
    crop = np.array([10.0, 20.0, 4.0])
    # The first pixel's centre is half a pixel inside the edge.
    assert to_crop_units(np.array([[10.0, 20.0]]), crop).tolist() == [[0.125, 0.125]]
    assert to_crop_units(np.array([[11.5, 21.5]]), crop).tolist() == [[0.5, 0.5]]


@given(st.lists(st.floats(-5000, 5000), min_size=2, max_size=2), st.floats(-3000, 3000), st.floats(1, 5000))
def test_pixels_to_crop_and_back(point: list[float], left: float, side: float) -> None:
    crop = np.array([left, -left / 2, side])
    np.testing.assert_allclose(to_pixels(to_crop_units(np.array([point]), crop), crop), [point], atol=1e-6)


def test_image_crop_holds_the_picture() -> None:
    assert image_crop(100, 60).tolist() == [0, -20, 100]
    assert image_crop(60, 100).tolist() == [-20, 0, 100]


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.7, 12.3])
@pytest.mark.parametrize("size", [64, 112, 224])
def test_a_blob_survives_cut_and_warp(scale: float, size: int) -> None:
    rng = np.random.default_rng(7)
    side = 90 * scale
    width, height = int(2.2 * side), int(2.0 * side)
    centre = np.array([width, height]) / 2 + rng.uniform(-0.1, 0.1, 2) * side
    box = np.array([*(centre - side / 3), *(centre + side / 3)])
    crop = square_crop(box, 1.5)
    point = centre + rng.uniform(-0.3, 0.3, 2) * side
    picture = blob(width, height, *point, sigma=max(2.5, 0.04 * side))
    region = cut_region(picture, crop, CropDefinition(stored_size=256))
    found = centroid(warp_crop(region, size))
    expected = to_crop_units(point[None], crop)[0] * size - 0.5
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_small_faces_are_stored_untouched() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    region = cut_region(picture, np.array([20.0, 10.0, 40.0]), CropDefinition())
    np.testing.assert_array_equal(region.pixels, picture[0:60, 10:70])
    np.testing.assert_allclose(region.crop, [10, 10, 40])


def test_a_region_ends_where_the_picture_ends() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    near = cut_region(picture, np.array([-5.0, -3.0, 40.0]), CropDefinition())
    np.testing.assert_array_equal(near.pixels, picture[:47, :45])
    np.testing.assert_allclose(near.crop, [-5, -3, 40])
    far = cut_region(picture, np.array([60.0, 50.0, 40.0]), CropDefinition())
    np.testing.assert_array_equal(far.pixels, picture[40:, 50:])
    np.testing.assert_allclose(far.crop, [10, 10, 40])


def test_a_line_of_pixels_stays_one() -> None:
    line = np.full((1, 1000, 3), 9, np.uint8)
    region = cut_region(line, np.array([0.0, -500.0, 1000.0]), CropDefinition(stored_size=256))
    assert region.pixels.shape == (1, 256, 3)


def test_a_crop_of_less_than_a_pixel_is_that_pixel() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[6, 5] = 200
    warped = warp_crop(cut_region(picture, np.array([5.3, 6.3, 0.4]), CropDefinition()), 64)
    # Half a pixel from the edge, so that its middle is the pixel's centre: 80 % of it and more.
    assert warped.min() > 0.8**2 * 200
    assert warped.max() == pytest.approx(200, rel=0.01)


def test_large_faces_are_stored_at_the_stored_size() -> None:
    picture = np.zeros((2000, 2000, 3), np.uint8)
    region = cut_region(picture, np.array([500.0, 500.0, 1000.0]), CropDefinition(stored_size=256))
    assert region.crop[2] == pytest.approx(256)
    assert region.pixels.shape == (384, 384, 3)


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    warped = warp_crop(FaceRegion(stripes, np.array([0.0, 0.0, 300.0])), 64)
    assert abs(warped[8:-8, 8:-8].mean() - 127.5) < 1
    assert warped[8:-8, 8:-8].std() < 25  # without antialiasing it is 104


@pytest.mark.parametrize("size", [64, 112, 224])
@pytest.mark.parametrize(
    "crop",
    [
        [64.2, 60.7, 256],
        [300.5, 250.1, 400],
        [500, 20, 150.3],
        [-30, 470.2, 60],
        [610, -40, 35],
        [-42, 5, 40],
        [300.5, -12.5, 90],
    ],
)
def test_a_region_without_margin_has_the_same_samples(size: int, crop: list[float]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (520, 640, 3), dtype=np.uint8)
    whole, least = (cut_region(picture, np.array(crop), CropDefinition(), margin=margin) for margin in (True, False))
    assert least.pixels.size <= whole.pixels.size
    np.testing.assert_allclose(warp_crop(least, size), warp_crop(whole, size), atol=1.01)  # Pillow rounds to 8 bits
    difference = np.abs(warp_crop(least, size) - warp_crop(whole, size))
    assert (difference > 0.01).mean() < 0.01


@pytest.mark.parametrize("size", [64, 100, 224])
@pytest.mark.parametrize(("left", "top"), [(-10.3, 20.6), (12.4, -7.3), (60.4, 70.3)])
def test_a_warp_is_the_mean_of_bilinear_samples(left: float, top: float, size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (180, 150, 3), dtype=np.uint8)
    side = 155.5
    count = samples_per_pixel(side, size)
    assert count == {64: 2, 100: 2, 224: 1}[size]
    where = (np.arange(size * count) + 0.5) * side / (size * count) - 0.5

    def weights(start: float, length: int) -> np.ndarray:
        all_samples = np.maximum(0, 1 - np.abs((start + where)[:, None] - np.arange(length)))
        return all_samples.reshape(size, -1, length).mean(axis=1)

    rows = np.einsum("yh,hwc->ywc", weights(top, 180), pixels.astype(np.float64))
    expected = np.einsum("ywc,xw->yxc", rows, weights(left, 150))
    warped = warp_crop(FaceRegion(pixels, np.array([left, top, side])), size)
    np.testing.assert_allclose(warped, expected, atol=1e-3)


def test_beyond_the_picture_is_black() -> None:
    white = np.full((10, 10, 3), 255, np.uint8)
    warped = warp_crop(FaceRegion(white, np.array([-10.0, 0.0, 20.0])), 64)
    assert warped[10, 5].tolist() == [0, 0, 0]
    assert warped[10, 50].tolist() == pytest.approx([255, 255, 255])


@pytest.mark.parametrize("crop", [[0, 0, 0], [0, 0, -3], [np.nan, 0, 5], [0, np.inf, 5], [0, 0, np.inf]])
def test_a_crop_without_extent_is_refused(crop: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^crop .* is not a square of positive size$"):
        cut_region(np.zeros((20, 20, 3), np.uint8), np.array(crop), CropDefinition())


# The second one's margin, 2.5 pixels, ends where the picture begins.
@pytest.mark.parametrize("corner", [500, 22.5, -500])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_crop_beside_the_picture_is_refused(corner: float, axis: int) -> None:
    crop = np.array([0.0, 0.0, 10.0])
    crop[axis] = corner
    with pytest.raises(ValueError, match=r"^crop .* lies outside the 20 x 20 picture$"):
        cut_region(np.zeros((20, 20, 3), np.uint8), crop, CropDefinition())


def test_samples_per_pixel() -> None:
    assert [samples_per_pixel(side, 112) for side in (50, 112, 168, 169, 224, 300)] == [1, 1, 1, 2, 2, 3]
