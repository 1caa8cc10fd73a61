"""Where labels of drawn faces lie: annotators' habits, and brows that turn away."""

from dataclasses import replace

import numpy as np
import pytest

from flaxmark.data.drawn import FaceParameters, sample_parameters
from flaxmark.data.drawn.head import annotation
from flaxmark.data.drawn.head.distribution import mean_person
from flaxmark.data.drawn.head.mean_head import poses_of
from flaxmark.data.drawn.head.pose import GRAZING, View, facing_camera
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.paint.curves import spline
from flaxmark.faces.markup import IBUG_68

PLAIN = FaceParameters(distance=1000.0)


@pytest.fixture
def five_inward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of the jaw 5 % to the middle and 2 % down, and nothing else."""
    for name in ("BROW", "BRIDGE", "NOSTRIL", "EYE", "LIPS", "INNER"):
        monkeypatch.setattr(annotation, name, ((0.0, 0.0),) * len(getattr(annotation, name)))
    monkeypatch.setattr(annotation, "JAW", (*((5.0, 2.0),) * 8, (0.0, 2.0)))


def test_both_sides_have_the_same_habits() -> None:
    head = Head(replace(PLAIN, mouth_open=0.2))
    open_mouth = head.lift(head.points)
    moves = annotation.annotated(open_mouth, head) - open_mouth
    mirrored = moves[list(IBUG_68.flip_order or ())] * (-1, 1, 1)
    np.testing.assert_allclose(moves, mirrored, atol=1e-12)
    assert np.abs(moves[:, :2]).max() < 0.05 and not moves[:, 2].any()


@pytest.mark.usefixtures("five_inward")
def test_labels_move_in_shares_of_the_eyes_distance() -> None:
    view = View(Head(PLAIN), 256)
    moved = view.landmarks - view.places[:, :2]
    distance = view.places[45, 0] - view.places[36, 0]
    np.testing.assert_allclose(moved[:8] / distance, [[0.05, 0.02]] * 8, atol=1e-3)
    np.testing.assert_allclose(moved[9:17] / distance, [[-0.05, 0.02]] * 8, atol=1e-3)
    np.testing.assert_allclose(moved[17:], 0, atol=1e-3)


@pytest.mark.usefixtures("five_inward")
def test_labels_turn_with_the_head() -> None:
    view = View(Head(replace(PLAIN, roll=90.0)), 256)
    moved = view.landmarks[:8] - view.places[:8, :2]
    distance = np.linalg.norm(view.places[45, :2] - view.places[36, :2])
    # Clockwise: to the middle of the face is down, and down the face is to the left.
    np.testing.assert_allclose(moved / distance, [[-0.02, 0.05]] * 8, atol=1e-3)


def test_closed_lips_do_not_cross() -> None:
    closed, opened = (View(Head(replace(PLAIN, mouth_open=gap)), 256) for gap in (0.0, 0.2))
    np.testing.assert_allclose(closed.landmarks[[61, 62, 63], 1], closed.landmarks[[67, 66, 65], 1], atol=0.05)
    gaps = opened.places[66, 1] - opened.places[62, 1], opened.landmarks[66, 1] - opened.landmarks[62, 1]
    assert gaps[0] > 10 and gaps[1] > 0.8 * gaps[0]


@pytest.mark.parametrize("seed", range(12))
def test_a_brow_ends_where_it_turns_away(seed: int) -> None:
    turn, pitch = (45.0, -55.0, 65.0, -75.0)[seed % 4], (0.0, -25.0, 20.0)[seed % 3]
    person = sample_parameters(np.random.default_rng(seed))
    head = Head(replace(person, yaw=turn, pitch=pitch, asymmetry=0.0))
    view = View(head, 256)
    own = view.project(view.turn(head.lift(head.points)))
    for brow in (slice(17, 22), slice(26, 21, -1)):  # from the temple to the nose
        line = spline(head.points[brow], 16)
        spots, facing = facing_camera(head, view, line)
        seen = np.flatnonzero(facing >= GRAZING)
        if not len(seen):
            continue
        if seen[0] == 0:
            np.testing.assert_allclose(view.places[brow], own[brow], atol=1e-6)
        elif seen[0] < 40:
            end = view.project(view.turn(spots[seen[0]]))[:2]
            assert np.linalg.norm(view.places[brow][0, :2] - end) < 3.0
            np.testing.assert_allclose(view.places[brow][-1], own[brow][-1], atol=1e-6)


def test_the_far_tail_is_labelled_higher() -> None:
    head = Head(replace(PLAIN, yaw=50.0))
    view = View(head, 256)
    own = view.project(view.turn(head.lift(head.points)))
    assert facing_camera(head, view, head.points[26])[1] < GRAZING
    assert view.places[26, 1] < own[26, 1] - 1
    np.testing.assert_allclose(view.places[17:22], own[17:22], atol=1e-6)


def test_both_far_brows_are_treated_alike() -> None:
    right, left = (View(Head(replace(PLAIN, yaw=turn)), 256).landmarks for turn in (50.0, -50.0))
    np.testing.assert_allclose(left, (right * (-1, 1) + (255, 0))[list(IBUG_68.flip_order or ())], atol=0.05)


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 25.0])
def test_the_pose_of_the_mean_person_is_found(yaw: float) -> None:
    found = poses_of(View(Head(replace(mean_person(), yaw=yaw, distance=1000.0)), 256).landmarks, IBUG_68)
    assert abs(found[0] - yaw) < 2  # the visible jaw is another part of the head then
