import math

import numpy as np
import pytest

from flaxmark.inference.video.smoothing import OneEuroConfig, OneEuroFilter


def weight(cutoff: float, duration: float) -> float:
    return 1 / (1 + 1 / (2 * math.pi * cutoff * duration))


def test_three_samples_by_hand() -> None:
    smooth = OneEuroFilter(OneEuroConfig(min_cutoff=1.0, beta=2.0, d_cutoff=3.0))
    points = [np.array([[100.0, 50.0]]), np.array([[103.0, 54.0]]), np.array([[103.0, 54.0]])]
    assert smooth(points[0], 0.0, 10).tolist() == [[100, 50]]
    # 0.1 s later, 5 px away in boxes of 10 px: (3, 4) / 10 / 0.1 = (3, 4) sides a second.
    speed = weight(3, 0.1) * np.array([3.0, 4.0])
    value = np.array([100.0, 50]) + weight(1 + 2 * 5 * weight(3, 0.1), 0.1) * np.array([3.0, 4])
    np.testing.assert_allclose(smooth(points[1], 0.1, 10)[0], value)
    # Half a second later at the same place, seen from the smoothed value.
    move = points[2][0] - value
    speed = speed + weight(3, 0.5) * (move / 0.5 / 10 - speed)
    value = value + weight(1 + 2 * float(np.hypot(*speed)), 0.5) * move
    np.testing.assert_allclose(smooth(points[2], 0.6, 10)[0], value)


def test_rest_stays_at_rest_and_a_face_of_twice_the_size_is_smoothed_alike() -> None:
    rng = np.random.default_rng(0)
    still = rng.uniform(0, 100, (68, 2))
    smooth = OneEuroFilter(OneEuroConfig())
    for frame in range(10):
        np.testing.assert_allclose(smooth(still, frame / 30, 80), still)
    path = still + np.cumsum(rng.normal(size=(20, 68, 2)), axis=0)
    small, large = OneEuroFilter(OneEuroConfig()), OneEuroFilter(OneEuroConfig())
    for frame, points in enumerate(path):
        np.testing.assert_allclose(2 * small(points, frame / 30, 80), large(2 * points, frame / 30, 160))


def test_without_beta_it_is_a_plain_low_pass() -> None:
    smooth = OneEuroFilter(OneEuroConfig(min_cutoff=2.0, beta=0.0))
    smooth(np.zeros((1, 2)), 0.0, 1)
    # The response to a step: 1 - (1 - a)^n.
    for n in range(1, 8):
        value = smooth(np.ones((1, 2)), n / 30, 1)[0, 0]
        assert value == pytest.approx(1 - (1 - weight(2, 1 / 30)) ** n)


def test_noise_is_damped_and_motion_is_followed() -> None:
    rng = np.random.default_rng(0)
    config = OneEuroConfig()
    still, moving = OneEuroFilter(config), OneEuroFilter(config)
    noisy, late = [], []
    for frame in range(90):
        noisy.append(still(100 + rng.normal(0, 0.5, (1, 2)), frame / 30, 100)[0, 0])
        late.append(300 * frame / 30 - moving(np.full((1, 2), 300 * frame / 30), frame / 30, 100)[0, 0])
    assert np.diff(noisy[5:]).std() < 0.5 * 0.5 * math.sqrt(2)  # less than half of the noise's own
    assert late[-1] / 300 < 1 / 30  # a frame


def test_a_time_that_does_not_rise_and_another_face_start_anew() -> None:
    smooth = OneEuroFilter(OneEuroConfig())
    smooth(np.zeros((2, 2)), 1.0, 1)
    assert smooth(np.ones((2, 2)), 1.0, 1).tolist() == [[1, 1], [1, 1]]
    assert smooth(np.full((3, 2), 7.0), 2.0, 1).tolist() == [[7, 7]] * 3
