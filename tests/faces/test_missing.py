import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxmark.faces.crop import landmark_box, square_crop, to_crop_units, to_pixels
from flaxmark.faces.markup import flip_landmarks
from flaxmark.faces.missing import count_missing, mean_points, mean_shape, mean_where, present

GONE = [np.nan, np.nan]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_points_are_present_in_numpy_and_in_jax() -> None:
    points = np.array([[[1.0, 2.0], GONE], [GONE, [0.0, -3.0]]], np.float32)
    expected = [[True, False], [False, True]]
    assert present(points).tolist() == expected
    assert jax.jit(present)(jnp.asarray(points)).tolist() == expected
    assert count_missing(points) == 2


def test_half_a_point_is_none() -> None:
    assert present(np.array([[np.nan, 2.0], [1.0, np.nan], [1.0, 2.0]])).tolist() == [False, False, True]


def test_means_of_what_is_there_by_hand() -> None:
    values, there = np.array([[1.0, 2.0, 9.0], [4.0, 5.0, 6.0]]), np.array([[True, True, False], [False] * 3])
    np.testing.assert_array_equal(mean_where(values, there, axis=1), [1.5, np.nan])
    assert mean_where(values, there) == 1.5
    assert np.isnan(mean_where(values, np.zeros_like(there)))


def test_the_mean_of_all_has_the_bits_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=(500, 68))
    for axis in (0, 1, None):
        np.testing.assert_array_equal(mean_where(values, np.True_, axis), values.mean(axis=axis))
    faces = np.random.default_rng(1).uniform(size=(300, 68, 2)).astype(np.float32)
    np.testing.assert_array_equal(mean_points(faces), faces.mean(axis=0, dtype=np.float64))


def test_the_mean_of_each_point_is_over_the_faces_that_have_it() -> None:
    faces = np.array([[[1.0, 2.0], GONE, GONE], [[3.0, 6.0], [5.0, 5.0], GONE]])
    np.testing.assert_array_equal(mean_points(faces), [[2, 4], [5, 5], GONE])


def test_the_mean_shape_is_that_of_faces_anywhere() -> None:
    rng = np.random.default_rng(0)
    shape = rng.uniform(-1, 1, (12, 2))
    turns = rng.uniform(0.5, 2, 9) * np.exp(1j * rng.uniform(-0.5, 0.5, 9))
    z = turns[:, None] * (shape @ [1, 1j]) + rng.normal(size=9)[:, None] + 1j * rng.normal(size=9)[:, None]
    faces = np.stack([z.real, z.imag], axis=-1)
    faces[rng.uniform(size=(9, 12)) < 0.4] = np.nan
    found, expected = (points @ [1, 1j] for points in (mean_shape(faces, 50), shape))
    found, expected = found - found.mean(), expected - expected.mean()
    alike = abs(np.vdot(found, expected)) / np.linalg.norm(found) / np.linalg.norm(expected)
    assert alike > 0.9999
    of_places = mean_points(faces) @ [1, 1j]
    of_places -= of_places.mean()
    assert abs(np.vdot(of_places, expected)) / np.linalg.norm(of_places) / np.linalg.norm(expected) < 0.99


def test_the_box_is_around_the_points_that_are_there() -> None:
    points = np.array([[3.0, 9.0], GONE, [5.0, 2.0], [4.0, 4.0]])
    assert landmark_box(points).tolist() == [3, 2, 5, 9]
    np.testing.assert_array_equal(landmark_box(np.array([GONE, GONE])), [np.nan] * 4)


def test_a_missing_point_stays_missing_through_crops_and_flips() -> None:
    points = np.random.default_rng(1).uniform(10, 90, (68, 2))
    points[[0, 40]] = np.nan
    crop = square_crop(landmark_box(points), 1.5)
    units = to_crop_units(points, crop)
    assert np.flatnonzero(~present(units)).tolist() == [0, 40]
    np.testing.assert_allclose(to_pixels(units, crop), points)
    # Points 0 and 16 are the ends of the jaw, 40 and 47 the lower lids beside the outer corners.
    assert np.flatnonzero(~present(flip_landmarks(units))).tolist() == [16, 47]
