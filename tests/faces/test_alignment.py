"""Upright crops: the similarity to a mean face, and the pixels under it."""

import numpy as np
import pytest

from flaxmark.faces.alignment import EYES_APART, EYES_TOP, fit_upright, sample_similarity, upright_points
from flaxmark.faces.markup import Markup
from flaxmark.faces.markup_files import FIVE_POINTS

FIVE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def moved(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + shift


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"), [(0, 1, (0, 0)), (30, 2, (5, -3)), (180, 0.5, (1, 1)), (-110, 80, (7, 9))]
)
def test_a_similarity_is_found_again(degrees: float, scale: float, shift: tuple[float, float]) -> None:
    matrix = fit_upright(FIVE, moved(FIVE, degrees, scale, shift), FIVE_POINTS)
    expected = moved(np.array([[0.0, 0], [1, 0], [0, 1]]), degrees, scale, shift)
    np.testing.assert_allclose(matrix[:, 2], expected[0], atol=1e-9)
    np.testing.assert_allclose(matrix[:, :2].T, expected[1:] - expected[0], atol=1e-9)


def test_eyes_are_level_and_the_rest_has_the_least_squared_error() -> None:
    rng = np.random.default_rng(0)
    points = moved(FIVE, 20, 3, (1, 2)) + rng.normal(0, 0.2, FIVE.shape)
    matrix = fit_upright(points, FIVE, FIVE_POINTS)
    left, right = (points @ matrix[:, :2].T + matrix[:, 2])[:2]
    assert abs(right[1] - left[1]) < 0.05 * (right[0] - left[0])

    def error(matrix: np.ndarray) -> float:
        return float(np.square(points @ matrix[:, :2].T + matrix[:, 2] - FIVE).sum())

    for scale, x, y in np.vstack([np.eye(3), -np.eye(3)]) * 0.01:
        other = np.c_[matrix[:, :2] * (1 + scale), matrix[:, 2] + (x, y)]
        assert error(other) > error(matrix)


def test_profiles_and_mirrored_faces_are_not_turned_over() -> None:
    """Where the eyes coincide, or even change places, all points decide."""
    for eyes in ((0.5, 0.5), (0.52, 0.48)):
        points = FIVE.copy()
        points[:2, 0] = eyes
        matrix = fit_upright(points, FIVE, FIVE_POINTS)
        assert matrix[0, 0] > 0.5
        assert abs(matrix[1, 0]) < 0.2
    assert np.linalg.det(fit_upright(FIVE * [-1, 1], FIVE, FIVE_POINTS)[:, :2]) >= 0


def test_missing_points_do_not_count() -> None:
    target = moved(FIVE, 30, 2, (5, -3))
    for missing in range(5):  # eyes, too
        points, wrong = FIVE.copy(), target.copy()
        points[missing] = np.nan
        wrong[missing] += 100
        np.testing.assert_allclose(fit_upright(points, wrong, FIVE_POINTS), fit_upright(FIVE, target, FIVE_POINTS))
    for unusable in (np.full((5, 2), np.nan), np.zeros((5, 2)), FIVE * np.array([[1], *[[np.nan]] * 4])):
        with pytest.raises(ValueError, match="points"):
            fit_upright(unusable, target, FIVE_POINTS)


# A scheme of one's own whose right eye comes first.
OWN = Markup("own", 3, None, {}, (), (2, 0), ((2,), (0,)))


@pytest.mark.parametrize(
    ("markup", "mean_face"),
    [(FIVE_POINTS, FIVE), (OWN, np.array([[0.0, 0], [5, 9], [10, 0]])), (FIVE_POINTS, moved(FIVE, 8, 50, (3, 4)))],
)
def test_eyes_of_the_mean_face_are_level_at_their_place(markup: Markup, mean_face: np.ndarray) -> None:
    upright = upright_points(mean_face, markup)
    eyes = sorted(upright[list(eye)].mean(axis=0).tolist() for eye in markup.eyes)
    np.testing.assert_allclose(eyes, [(0.5 - EYES_APART / 2, EYES_TOP), (0.5 + EYES_APART / 2, EYES_TOP)], atol=1e-9)
    assert upright[:, 1].max() > EYES_TOP  # the mouth below


def test_a_pixel_lands_where_the_matrix_says() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:23, 50:53] = 255  # centre (51, 21)
    matrix = np.array([[0.0, -1, 45], [1, 0, -20]])  # a quarter turn: (51, 21) to (24, 31)
    crop = sample_similarity(image, matrix, 64)
    assert (crop.shape, crop.dtype) == ((64, 64, 3), np.uint8)
    expected = np.zeros((64, 64, 3), np.uint8)
    expected[30:33, 23:26] = 255
    np.testing.assert_array_equal(crop, expected)


def test_shrinking_is_antialiased_and_beyond_the_image_it_is_black() -> None:
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = sample_similarity(stripes, np.array([[0.04, 0, 0], [0, 0.04, 0]]), 64)
    inside = crop[2:30, 2:30].astype(int)
    assert abs(inside - 100).max() <= 12
    assert crop[34:].max() == 0
    assert sample_similarity(stripes, np.array([[1.0, 0, 9e3], [0, 1, 0]]), 32).max() == 0
