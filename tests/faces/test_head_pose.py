import dataclasses
import math
from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest

from flaxmark.data.drawn import convert_landmarks, sample_parameters
from flaxmark.data.drawn.head.mean_head import mean_head, poses_of
from flaxmark.data.drawn.head.pose import View
from flaxmark.data.drawn.head.shape import Head
from flaxmark.faces.head_pose import angles, fit_matrix, head_poses, rotation
from flaxmark.faces.markup import IBUG_68, Markup, flip_landmarks
from flaxmark.faces.markup_files import FIVE_POINTS, MARKUPS
from flaxmark.inference.face import Face

BOX = np.array([0.0, 0, 100, 100])
POSES = list(product((-75.0, -20.0, 0.0, 60.0), (-30.0, 0.0, 25.0), (-170.0, -15.0, 0.0, 40.0)))


def seen(markup: Markup, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Points of the mean head from far away, pixels."""
    mean = mean_head(markup)
    assert mean is not None
    return (mean[0] @ rotation(yaw, pitch, roll).T)[:, :2] * 80 + (300, 200)


def test_the_axes_of_a_turned_head() -> None:
    # x to the image's right, y down, z to the camera.
    np.testing.assert_allclose(rotation(90, 0, 0) @ [0, 0, 1], [1, 0, 0], atol=1e-12)  # the nose to the right
    np.testing.assert_allclose(rotation(0, 90, 0) @ [0, 0, 1], [0, 1, 0], atol=1e-12)  # the nose down
    np.testing.assert_allclose(rotation(0, 0, 90) @ [0, -1, 0], [1, 0, 0], atol=1e-12)  # the crown to the right


@pytest.mark.parametrize("markup", MARKUPS.values(), ids=str)
def test_the_pose_of_the_mean_head_is_exact(markup: Markup) -> None:
    for pose in POSES:
        np.testing.assert_allclose(Face(seen(markup, *pose), BOX).pose, pose, atol=1e-9)


def test_a_mirrored_face_looks_to_the_other_side() -> None:
    points = seen(IBUG_68, 30, 10, 5)
    mirrored = flip_landmarks(points * (1 / 600, 1), IBUG_68) * (600, 1)
    np.testing.assert_allclose(Face(mirrored, BOX).pose, [-30, 10, -5], atol=1e-6)


@pytest.mark.parametrize(
    ("markup", "limits"), [("ibug_68", (2.7, 3, 1.2)), ("wflw_98", (2.7, 3, 1.2)), ("five_points", (4, 5, 2))]
)
def test_poses_of_other_people_near_the_camera(markup: str, limits: tuple[float, float, float]) -> None:
    errors = []
    for seed in range(60):
        turned = np.random.default_rng(seed).uniform(-60, 60)
        person = dataclasses.replace(sample_parameters(np.random.default_rng((1, seed))), yaw=float(turned))
        points = convert_landmarks(View(Head(person), 160).landmarks, markup)
        pose = Face(points, BOX).pose
        assert pose is not None
        errors.append(np.abs(pose - (person.yaw, person.pitch, person.roll)))
    assert (np.mean(errors, axis=0) < limits).all()


def test_poses_are_found_from_the_points_that_are_there() -> None:
    known = [(25.0, -10.0, 8.0), (-30.0, 0.0, 0.0), (20.0, 5.0, 0.0)]
    points = np.stack([seen(IBUG_68, *pose) for pose in known])
    points[0, [0, 5, 36, 37, 50]] = np.nan
    points[1, 17:68][np.random.default_rng(0).uniform(size=51) < 0.4] = np.nan
    points[2, 20:] = np.nan  # the jaw and three points of a brow
    found = poses_of(points[None], IBUG_68)[0]
    np.testing.assert_allclose(found[:2], known[:2], atol=1e-9)
    assert np.isnan(found[2]).all()
    assert Face(points[2], BOX).pose is None


@pytest.mark.parametrize(
    "known",
    [[], [30], [30, 36, 45], [36, 39, 42, 45]],
    ids=["none", "one", "three", "in a plane"],
)
def test_too_few_points_have_no_pose(known: list[int]) -> None:
    points = np.full((68, 2), np.nan)
    points[known] = seen(IBUG_68, 0, 0, 0)[known]
    assert Face(points, BOX).pose is None


def test_what_is_no_face_has_no_pose() -> None:
    assert Face(np.full((5, 2), 1.23456), BOX).pose is None
    line = np.linspace(0, 100, 68)
    assert Face(np.stack([line, 2 * line + 3], axis=1), BOX).pose is None
    squeezed = seen(IBUG_68, 0, 0, 0) * (1, 0.1)
    assert Face(squeezed, BOX).pose is None


def test_a_scheme_of_the_user_has_no_pose() -> None:
    own = dataclasses.replace(FIVE_POINTS, name="own")
    assert Face(seen(FIVE_POINTS, 0, 0, 0), BOX, markup=own).pose is None
    assert Face(np.zeros((7, 2)), BOX).pose is None


def test_it_is_written_in_degrees() -> None:
    face = Face(seen(IBUG_68, 12.34, -5.67, 0.123), BOX)
    assert face.to_dict()["pose"] == [12.3, -5.7, 0.1]


def test_jax_and_numpy_agree() -> None:
    head, weights = mean_head(IBUG_68) or pytest.fail("has no mean head")
    matrix = fit_matrix(head, weights)
    assert matrix is not None
    for pose in POSES:
        u, v = (matrix @ seen(IBUG_68, *pose)).T
        u32, v32 = (tuple(jnp.asarray(column, jnp.float32)) for column in (u, v))
        np.testing.assert_allclose(angles(jnp, u32, v32), angles(np, tuple(u), tuple(v)), atol=2e-2)


def test_weights_decide_where_points_disagree() -> None:
    head, weights = mean_head(IBUG_68) or pytest.fail("has no mean head")
    points = seen(IBUG_68, 20, 0, 0)
    points[:17, 0] += 8  # the jaw says something else
    own, equal = head_poses(points, head, weights), head_poses(points, head, np.ones(68))
    assert math.fabs(own[0] - 20) < math.fabs(equal[0] - 20)
