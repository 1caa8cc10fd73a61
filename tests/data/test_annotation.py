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
NO_HABIT = (0.0,) * 5


def only(name: str, values: tuple[tuple[float, ...], ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no habit but these of one part."""
    for other in ("JAW", "BROW", "BRIDGE", "NOSTRIL", "EYE", "LIPS", "INNER"):
        monkeypatch.setattr(annotation, other, (NO_HABIT,) * len(getattr(annotation, other)))
    monkeypatch.setattr(annotation, name, values)


@pytest.fixture
def five_inward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of the jaw 5 % to the middle and 2 % down, and nothing else."""
    only("JAW", (*((5.0, 2.0, 0.0, 0.0, 0.0),) * 8, (0.0, 2.0, 0.0, 0.0, 0.0)), monkeypatch)


def test_both_sides_have_the_same_habits() -> None:
    head = Head(replace(PLAIN, mouth_open=0.2))
    open_mouth = head.lift(head.points)
    moves = annotation.annotated(open_mouth, head) - open_mouth
    mirrored = moves[list(IBUG_68.flip_order or ())] * (-1, 1, 1)
    np.testing.assert_allclose(moves, mirrored, atol=1e-12)
    assert 0.01 < np.abs(moves).max() < 0.05


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


@pytest.mark.parametrize(("yaw", "pitch"), [(30.0, 0.0), (-20.0, 0.0), (0.0, 15.0)])
def test_a_nearer_label_moves_with_the_turn(yaw: float, pitch: float, monkeypatch: pytest.MonkeyPatch) -> None:
    only("BRIDGE", ((0.0, 0.0, 10.0, 0.0, 0.0),) * 4, monkeypatch)
    head = Head(replace(PLAIN, yaw=yaw, pitch=pitch))
    view = View(head, 256)
    moved = (view.landmarks - view.places[:, :2])[27:31] / view.scale
    distance = np.linalg.norm(head.points[45] - head.points[36])
    expected = 0.1 * distance * np.sin(np.radians([yaw, pitch]))
    np.testing.assert_allclose(moved, np.tile(expected, (4, 1)), atol=1e-3)


@pytest.mark.parametrize("yaw", [0.0, 30.0, -50.0])
def test_some_labels_move_where_the_head_turns_to_either_side(yaw: float, monkeypatch: pytest.MonkeyPatch) -> None:
    only("EYE", ((0.0, 0.0, 0.0, -4.0, 10.0),) * 6, monkeypatch)
    head = Head(replace(PLAIN, yaw=yaw))
    view = View(head, 256)
    moved = (view.landmarks - view.places[:, :2])[36:48] / view.scale
    share = 0.1 * np.linalg.norm(head.points[45] - head.points[36]) * abs(np.sin(np.radians(yaw)))
    across = -0.4 * share * np.cos(np.radians(yaw))  # outwards on both sides, as seen from the front
    np.testing.assert_allclose(moved, [[across, share]] * 6 + [[-across, share]] * 6, atol=1e-3)


@pytest.mark.parametrize("pitch", [-20.0, -10.0, 0.0, 20.0])
@pytest.mark.parametrize("yaw", [-40.0, 0.0, 15.0])
def test_the_jaw_is_spaced_evenly(yaw: float, pitch: float, monkeypatch: pytest.MonkeyPatch) -> None:
    only("JAW", (NO_HABIT,) * 9, monkeypatch)
    for seed in range(5):
        head = Head(replace(sample_parameters(np.random.default_rng(seed)), yaw=yaw, pitch=pitch))
        jaw = View(head, 256).landmarks[:17]
        steps = np.linalg.norm(np.diff(jaw, axis=0), axis=1)
        for half in (steps[:8], steps[8:]):
            assert half.max() < 1.3 * half.min()  # straight steps along a curved path


def test_the_jaw_begins_lower_where_the_head_is_bowed(monkeypatch: pytest.MonkeyPatch) -> None:
    only("JAW", (NO_HABIT,) * 9, monkeypatch)
    for pitch in (20.0, -20.0):
        view = View(Head(replace(PLAIN, pitch=pitch)), 256)
        moved = (view.landmarks - view.places[:, :2])[[0, 16]] / view.scale
        expected = annotation.EARS * np.sin(np.radians(pitch))
        np.testing.assert_allclose(moved[:, 1], expected, rtol=0.1)  # the outline is nearly upright there


@pytest.mark.parametrize("yaw", [30.0, -30.0])
def test_the_middle_of_the_jaw_lies_where_the_head_turns_to(yaw: float, monkeypatch: pytest.MonkeyPatch) -> None:
    only("JAW", (NO_HABIT,) * 9, monkeypatch)
    view = View(Head(replace(PLAIN, yaw=yaw)), 256)
    moved = (view.landmarks - view.places[:, :2])[8] / view.scale
    assert np.linalg.norm(moved) == pytest.approx(annotation.CHIN * 0.5, rel=0.1)
    assert moved[0] * yaw > 0


@pytest.mark.parametrize("pitch", [-25.0, 0.0, 25.0])
def test_closed_lips_do_not_cross(pitch: float) -> None:
    closed, opened = (View(Head(replace(PLAIN, mouth_open=gap, pitch=pitch)), 256) for gap in (0.0, 0.2))
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
@pytest.mark.parametrize("distance", [8.0, 10.0, 25.0])
def test_the_pose_of_the_mean_person_is_found(yaw: float, distance: float) -> None:
    # Labels move where the head is turned, so that turns seem smaller, and near cameras make them seem greater: the
    # drawn ones are 4 to 25 away, half of them more than 10.
    found = poses_of(View(Head(replace(mean_person(), yaw=yaw, distance=distance)), 256).landmarks, IBUG_68)
    np.testing.assert_allclose(found, [yaw, 0, 0], atol=2)


def test_the_surface_ends_in_one_point_at_the_chin() -> None:
    head = Head(PLAIN)
    _, around = head.surface(np.linspace(-np.pi / 2, np.pi / 2, 9), 1.0)
    assert np.ptp(around, axis=0).max() < 0.03


def test_level_points_beside_the_chin_keep_their_place() -> None:
    head = Head(PLAIN)
    level = head.rows[head.rows[:, 1] == head.rows[-1, 1]]
    assert len(level) > 1  # otherwise this tests nothing
    points = np.array([(share * level[0, 0], level[0, 1]) for share in (-0.9, -0.2, 0.5, 0.95)])
    frontal, _ = head.surface(*head.angles(points))
    np.testing.assert_allclose(frontal, points, atol=1e-6)
