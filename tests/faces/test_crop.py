import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaxmark.faces.crop import (
    CropDefinition,
    cut_region,
    image_crop,
    landmark_box,
    sampled_side,
    square_crop,
    to_crop_units,
    to_pixels,
)


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


def test_image_crop_holds_the_image() -> None:
    assert image_crop(100, 60).tolist() == [0, -20, 100]
    assert image_crop(60, 100).tolist() == [-20, 0, 100]


def test_small_faces_are_stored_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    region = cut_region(image, np.array([20.0, 10.0, 40.0]), CropDefinition())
    np.testing.assert_array_equal(region.pixels, image[0:60, 10:70])
    np.testing.assert_allclose(region.crop, [10, 10, 40])


def test_a_region_ends_where_the_image_ends() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    near = cut_region(image, np.array([-5.0, -3.0, 40.0]), CropDefinition())
    np.testing.assert_array_equal(near.pixels, image[:47, :45])
    np.testing.assert_allclose(near.crop, [-5, -3, 40])
    far = cut_region(image, np.array([60.0, 50.0, 40.0]), CropDefinition())
    np.testing.assert_array_equal(far.pixels, image[40:, 50:])
    np.testing.assert_allclose(far.crop, [10, 10, 40])


def test_a_line_of_pixels_stays_one() -> None:
    line = np.full((1, 1000, 3), 9, np.uint8)
    region = cut_region(line, np.array([0.0, -500.0, 1000.0]), CropDefinition(stored_size=256))
    assert region.pixels.shape == (1, 256, 3)


def test_large_faces_are_stored_at_the_stored_size() -> None:
    image = np.zeros((2000, 2000, 3), np.uint8)
    region = cut_region(image, np.array([500.0, 500.0, 1000.0]), CropDefinition(stored_size=256))
    assert region.crop[2] == pytest.approx(256)
    assert region.pixels.shape == (384, 384, 3)


@pytest.mark.parametrize("crop", [[0, 0, 0], [0, 0, -3], [np.nan, 0, 5], [0, np.inf, 5], [0, 0, np.inf]])
def test_a_crop_without_extent_is_refused(crop: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^crop .* is not a square of positive size$"):
        cut_region(np.zeros((20, 20, 3), np.uint8), np.array(crop), CropDefinition())


# The second one's margin, 2.5 pixels, ends where the image begins.
@pytest.mark.parametrize("corner", [500, 22.5, -500])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_crop_beside_the_image_is_refused(corner: float, axis: int) -> None:
    crop = np.array([0.0, 0.0, 10.0])
    crop[axis] = corner
    with pytest.raises(ValueError, match=r"^crop .* lies outside the 20 x 20 image$"):
        cut_region(np.zeros((20, 20, 3), np.uint8), crop, CropDefinition())


@pytest.mark.parametrize("stored_size", [16, 96])
def test_a_region_without_margin_fits_the_sampled_side(stored_size: int) -> None:
    image, definition = np.zeros((400, 420, 3), np.uint8), CropDefinition(stored_size=stored_size)
    rng = np.random.default_rng(0)
    for _ in range(200):
        crop = np.array([*rng.uniform(0, 100, 2), rng.uniform(stored_size / 2, 300)])
        assert max(cut_region(image, crop, definition, margin=False).pixels.shape) <= sampled_side(definition)
