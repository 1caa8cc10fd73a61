"""What benchmarks/drawn_to_real.py measures, on shapes whose differences are known."""

import dataclasses
import re
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from helpers.benchmark_modules import benchmark_module

from flaxmark.data.drawn import draw_face
from flaxmark.data.drawn.head.distribution import mean_person
from flaxmark.data.drawn.head.pose import View
from flaxmark.data.drawn.head.shape import Head
from flaxmark.faces.head_pose import rotation
from flaxmark.faces.markup import IBUG_68


@pytest.fixture(scope="module")
def shape_errors() -> ModuleType:
    return benchmark_module("shape_errors")


@pytest.fixture(scope="module")
def report(shape_errors: ModuleType) -> ModuleType:
    return benchmark_module("drawn_to_real_report")


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.stack([draw_face(seed, 64)[1] for seed in range(30)])


def test_the_eyes_are_level_and_one_apart(shape_errors: ModuleType, faces: np.ndarray) -> None:
    shapes = shape_errors.in_face_frame(faces, faces)
    np.testing.assert_allclose(shapes[:, [36, 45]], np.tile([[-0.5, 0], [0.5, 0]], (30, 1, 1)), atol=1e-12)
    angle = np.radians(30)
    turned = 2 * faces @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + (5, 7)
    np.testing.assert_allclose(shape_errors.in_face_frame(turned, turned), shapes, atol=1e-9)


def test_a_constant_error_is_found_on_both_sides(shape_errors: ModuleType, faces: np.ndarray) -> None:
    true = shape_errors.in_face_frame(faces, faces)
    predicted = true.copy()
    predicted[:, 48] += (-0.03, -0.02)  # mouth corners too far outside and too high
    predicted[:, 54] += (0.03, -0.02)
    predicted[..., 0] -= 0.01  # and everything to the left
    found = shape_errors.constants(predicted, true)
    np.testing.assert_allclose(found[[48, 54]], [[0.03, 0.02], [-0.03, 0.02]], atol=1e-9)
    np.testing.assert_allclose(np.delete(found, [48, 54], axis=0), 0, atol=1e-9)
    assert shape_errors.sideways(predicted, true) == pytest.approx(0.01)


def test_mirroring_twice_is_nothing(shape_errors: ModuleType, faces: np.ndarray) -> None:
    true = shape_errors.in_face_frame(faces, faces)
    np.testing.assert_array_equal(shape_errors.mirror(shape_errors.mirror(true)), true)
    ratios = shape_errors.RATIOS
    for name, ratio in ratios.items():
        np.testing.assert_allclose(ratio(shape_errors.mirror(true)), ratio(true), err_msg=name)
        assert ratio(true).shape == (30,)
        np.testing.assert_allclose(ratio(3 * true), ratio(true), err_msg=name)


def test_modes_that_are_learnt(shape_errors: ModuleType, faces: np.ndarray) -> None:
    true = shape_errors.in_face_frame(faces, faces)
    mean, components = shape_errors.modes(true, 4)
    np.testing.assert_allclose(components @ components.T, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(shape_errors.learnt(true + 0.05, true, mean, components), 1)
    average = np.broadcast_to(mean.reshape(68, 2), true.shape)
    np.testing.assert_allclose(shape_errors.learnt(average, true, mean, components), 0, atol=1e-9)


def test_correlation(shape_errors: ModuleType) -> None:
    values = np.array([1.0, 2, 4, 7])
    assert shape_errors.correlation(values, -2 * values + 1) == pytest.approx(-1)
    assert np.isnan(shape_errors.correlation(values, np.ones(4)))


def test_poses_of_the_report(report: ModuleType, faces: np.ndarray) -> None:
    exact = SimpleNamespace(predicted=faces, true=faces)
    for line in report.pose_table({"drawn": exact}).splitlines()[2:]:
        assert line.split("|")[2].strip() == "1.00, 0.0"


def test_habits_are_found_as_the_drawing_adds_them(shape_errors: ModuleType) -> None:
    rng = np.random.default_rng(0)
    habits = rng.uniform(-5, 5, (68, 5)) / 100
    habits = habits + habits[list(IBUG_68.flip_order or ())] * (-1, 1, 1, -1, 1)  # both sides alike
    habits[[36, 45]] = 0  # so that the frame of the face stays
    head = Head(mean_person())
    positions = head.lift(head.points)
    yaw, pitch = rng.uniform(-45, 45, 20), rng.uniform(-15, 30, 20)
    distance = np.linalg.norm(positions[45] - positions[36])
    predicted, true = np.empty((2, 20, 68, 2))
    for face, (a, b) in enumerate(zip(yaw, pitch, strict=True)):
        moves = habits[:, :3].copy()
        moves[:, :2] += abs(np.sin(np.radians(a))) * habits[:, 3:]
        image = rotation(a, b, 25.0)[:2].T
        predicted[face], true[face] = positions @ image, (positions + distance * moves) @ image
    shapes = [shape_errors.in_face_frame(points, true) for points in (predicted, true)]
    np.testing.assert_allclose(shape_errors.habits(*shapes, yaw, pitch), habits, atol=1e-9)
    # Of heads that all look to the front nothing forward can be known.
    shapes = [shape_errors.in_face_frame(positions[None, :, :2] + own, positions[None, :, :2]) for own in (0, 0.01)]
    assert np.isfinite(shape_errors.habits(*shapes, np.zeros(1), np.zeros(1))).all()


def test_habits_are_printed_in_the_order_of_the_drawing(report: ModuleType, faces: np.ndarray) -> None:
    shapes = np.tile(faces[:1], (30, 1, 1)), np.tile(faces[:1], (30, 1, 1))
    shapes[0][:, 36] -= (0.02, 0.01)
    shapes[0][:, 45] -= (-0.02, 0.01)
    frontal = np.tile(View(Head(mean_person()), 64).landmarks, (30, 1, 1))
    lines = report.habit_table(SimpleNamespace(shapes=shapes, predicted=frontal, true=frontal)).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["JAW", "BROW", "BRIDGE", "NOSTRIL", "EYE", "LIPS", "INNER"]
    assert lines[5].startswith("EYE (2.0, 1.0, ")  # forward is the same as down for heads that all look the same way
    assert sum(line.count("(0.0, 0.0, 0.0, 0.0, 0.0)") for line in lines) == 9 + 5 + 4 + 3 + 6 + 7 + 5 - 1


def test_ratios_of_the_report(report: ModuleType, faces: np.ndarray) -> None:
    wider = faces.copy()
    wider[:, 21, 0] -= np.linspace(0, 9, len(faces))  # gaps of brows that are predicted too wide
    columns = {
        name: SimpleNamespace(true=faces, shapes=shapes)
        for name, shapes in {"exact": (faces, faces), "wrong": (wider, faces)}.items()
    }
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.ratio_table(columns).splitlines()[2:]]
    for name, exact, wrong, full, part in rows:
        assert len(set(exact.split(", "))) == 1 and full == "1.00"
        found, true = map(float, wrong.split(", "))
        assert (found > true, float(part) < 1) == (name == "brow gap",) * 2, name


def test_faces_with_a_greater_sigma_apart(report: ModuleType, faces: np.ndarray) -> None:
    frontal = report.near_frontal(SimpleNamespace(true=faces))
    sigma = np.full(len(faces), 9.0)  # of turned faces, which are left out
    sigma[frontal] = np.random.default_rng(0).permutation(frontal.sum())
    large = frontal & (sigma > (frontal.sum() - 1) / 2)
    predicted = faces.copy()
    predicted[large] = np.roll(faces[large], 1, axis=0)  # other people
    told = benchmark_module("drawn_to_real").Faces([], predicted, faces, sigma)
    _, _, header, _, *rows = report.sigma_table({"drawn": told}).splitlines()
    assert f"large sigma ({large.sum()})" in header
    for line in rows:
        read, misread = map(float, line.split("|")[2:4])
        assert read == 1 and misread < 0.9
    assert report.sigma_table({"drawn": dataclasses.replace(told, sigma=None)}) == ""


def test_sigma_is_relative_to_the_eyes(faces: np.ndarray) -> None:
    benchmark = benchmark_module("drawn_to_real")
    true = np.stack([faces[0], 3 * faces[0]])
    found = [SimpleNamespace(landmarks=own, sigma=np.full(68, 2.0)) for own in true]
    distance = np.linalg.norm(faces[0, 36] - faces[0, 45])
    np.testing.assert_allclose(benchmark.with_truth(found, true).sigma, [2 / distance, 2 / (3 * distance)])
    for own in found:
        own.sigma = None
    assert benchmark.with_truth(found, true).sigma is None


def test_habits_tell_depth_from_height(report: ModuleType, shape_errors: ModuleType) -> None:
    # Heads whose lips are 5 % nearer to the camera than predicted, bowed by 8 degrees on average.
    heads = [
        Head(dataclasses.replace(mean_person(), yaw=float(yaw), pitch=float(pitch), distance=1000.0))
        for yaw in (-30, -10, 15, 40)
        for pitch in (-12, 8, 28)
    ]
    near = [0.0, 0.0, 0.05] * np.isin(np.arange(68), range(48, 68))[:, None]
    faces = []
    for head in heads:
        view = View(head, 256)
        positions = head.lift(head.points)
        distance = np.linalg.norm(head.points[45] - head.points[36])
        faces.append([(moved @ view.matrix.T)[:, :2] for moved in (positions, positions + distance * near)])
    predicted, true = np.swapaxes(np.array(faces), 0, 1)
    shapes = tuple(shape_errors.in_face_frame(points, true) for points in (predicted, true))
    lines = report.habit_table(SimpleNamespace(shapes=shapes, predicted=predicted, true=true)).splitlines()
    found = np.array([float(x) for x in re.findall(r"-?\d+\.\d", " ".join(lines[1:-1]))]).reshape(-1, 5)
    np.testing.assert_allclose(found[-12:, 2], 5, atol=0.6)
    np.testing.assert_allclose(found[-12:, [0, 1, 3, 4]], 0, atol=0.3)
    np.testing.assert_allclose(found[:-12], 0, atol=0.11)
