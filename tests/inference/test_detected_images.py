"""Images whose faces a detector finds: several at the same time, and turned ones."""

import functools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from helpers.images import draw
from PIL import Image

import flaxmark
from flaxmark.errors import ConfigError, ImageError
from flaxmark.faces.crop import landmark_box
from flaxmark.inference import predictor as predictor_module
from flaxmark.inference.detection import BoxCorrection
from flaxmark.inference.detection.turned import turn
from flaxmark.inference.network import Network


@functools.cache
def network() -> Network:
    return Network()


@pytest.fixture(autouse=True)
def one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compiled once."""
    monkeypatch.setattr(predictor_module, "Network", lambda *_: network())


def numbered(number: int, image: np.ndarray | None = None) -> np.ndarray:
    """An image that holds a number."""
    image = np.zeros((60, 60, 3), np.uint8) if image is None else image
    image[0, 0] = number
    return image


class Slow:
    """A detector whose box is at the number in the image; it counts how many run at the same time."""

    def __init__(self) -> None:
        self.running, self.most, self.lock = 0, 0, threading.Lock()

    def __call__(self, image: np.ndarray) -> list[list[float]]:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.02 * (image[0, 0, 0] % 3))
        with self.lock:
            self.running -= 1
        place = float(image[0, 0, 0])
        return [[place, place, place + 20, place + 20, 1.0]]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """The detector that a name gives; two cores."""
    detector = Slow()
    monkeypatch.setattr(predictor_module, "make_detector", lambda name: (name, detector))
    monkeypatch.setattr(predictor_module, "usable_cores", lambda: 2)
    return detector


def places(found: Iterator[list[flaxmark.Face]]) -> list[list[float]]:
    """Left edges of the boxes."""
    return [[face.box[0] for face in faces] for faces in found]


def test_images_are_detected_in_parallel_and_come_in_order(slow: Slow) -> None:
    predictor = flaxmark.Predictor(correction=BoxCorrection(), min_score=0)
    drawn = []

    def images() -> Iterator[np.ndarray]:
        reused = np.zeros((60, 60, 3), np.uint8)
        for number in range(12):
            drawn.append(number)
            yield numbered(number, reused)  # as a reader of videos may do

    assert places(predictor.predict_many(images())) == [[number] for number in range(12)]
    assert slow.most == 2
    endless = predictor.predict_many(numbered(1) for _ in iter(int, 1))
    assert len(next(endless)) == 1
    endless.close()


def test_a_function_of_the_caller_runs_in_its_thread() -> None:
    threads = set()

    def detector(_: np.ndarray) -> list[list[float]]:
        threads.add(threading.current_thread())
        return []

    predictor = flaxmark.Predictor(detector=detector)
    assert list(predictor.predict_many(numbered(number) for number in range(4))) == [[]] * 4
    assert threads == {threading.current_thread()}


def test_errors_keep_their_place_in_the_order(slow: Slow) -> None:
    predictor = flaxmark.Predictor(correction=BoxCorrection(), min_score=0)
    images = [numbered(2), numbered(4), b"no image", numbered(5)]
    found = predictor.predict_many(images)
    assert [next(found)[0].box[0], next(found)[0].box[0]] == [2, 4]
    with pytest.raises(ImageError):
        next(found)
    broken: list[ImageError] = []
    assert places(predictor.predict_many(images, on_broken=broken.append)) == [[2], [4], [], [5]]
    assert len(broken) == 1

    def interrupted() -> Iterator[np.ndarray]:
        yield numbered(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(predictor.predict_many(interrupted()))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_right_angles_turn_pixels_exactly(degrees: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    view = turn(image, degrees, (8, 5))
    assert np.array_equal(view.pixels, np.rot90(image, degrees // 90))
    rows, columns = view.pixels.shape[:2]
    for row in range(rows):
        for column in range(columns):
            x, y = view.points_in_image(np.array([[column, row]]))[0]
            assert np.array_equal(image[round(y), round(x)], view.pixels[row, column])
            assert (x, y) == pytest.approx((round(x), round(y)), abs=1e-9)


def test_the_way_back_by_hand() -> None:
    image = np.zeros((50, 100, 3), np.uint8)
    # A quarter to the left: the right edge is on top, and the point (x, y) = (99 - down, along).
    view = turn(image, 90, (100, 50))
    assert view.points_in_image(np.array([[0.0, 0], [49, 99], [10, 30]])) == pytest.approx(
        np.array([[99.0, 0], [0, 49], [69, 10]])
    )
    assert view.box_in_image(np.array([10.0, 30, 20, 60])) == pytest.approx(np.array([39.0, 10, 69, 20]))
    # The copy is half as large: its first pixel is the mean of the first two.
    half = turn(np.zeros((25, 50, 3), np.uint8), 0, (100, 50))
    assert half.points_in_image(np.array([[0.0, 0], [49, 24]])) == pytest.approx(np.array([[0.5, 0.5], [98.5, 48.5]]))
    assert half.box_in_image(np.array([0.0, 0, 10, 20])) == pytest.approx(np.array([0.5, 0.5, 20.5, 40.5]))
    # At 45 degrees the centre stays, and the right end of the middle line goes up to the left of the copy's top.
    diagonal = turn(image, 45, (100, 50))
    rows, columns = diagonal.pixels.shape[:2]
    assert (rows, columns) == (107, 107)  # 150 / sqrt 2 is 106.07
    middle = np.array([[53.0, 53]])
    assert diagonal.points_in_image(middle) == pytest.approx(np.array([[49.5, 24.5]]))
    step = 10 / np.sqrt(2)
    assert diagonal.points_in_image(middle + np.array([step, -step])) == pytest.approx(np.array([[59.5, 24.5]]))
    assert diagonal.box_in_image(np.array([43.0, 48, 63, 58])) == pytest.approx(np.array([39.5, 14.5, 59.5, 34.5]))
    face = flaxmark.Face(middle, np.array([43.0, 48, 63, 58]), 0.9, np.array([2.0]))
    moved = turn(np.zeros((25, 50, 3), np.uint8), 180, (100, 50)).face_in_image(face)
    assert moved.score == 0.9
    assert moved.sigma == pytest.approx([4.0])


class OnlyUpright:
    """A detector that knows one upright drawn face, by what is left and right in the image, and nothing else."""

    def __init__(self, image: np.ndarray, points: np.ndarray) -> None:
        self.image, self.box, self.calls = image, landmark_box(points), 0

    def __call__(self, image: np.ndarray) -> list[list[float]]:
        self.calls += 1
        same = image.shape == self.image.shape and np.abs(image.astype(int) - self.image).mean() < 1
        return [[*self.box, 0.9]] if same else []


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_face_has_the_points_of_the_upright_one(degrees: int) -> None:
    image, points = draw(0, 160)
    detector = OnlyUpright(image, points)
    predictor = flaxmark.Predictor(detector=detector)
    (upright,) = predictor.predict(image)
    assert detector.calls == 1  # where there is a face, no other direction is tried
    view = turn(image, degrees, (160, 160))
    (face,) = predictor.predict(view.pixels)
    assert view.points_in_image(face.landmarks) == pytest.approx(upright.landmarks, abs=1e-3)
    assert view.box_in_image(face.box) == pytest.approx(upright.box)
    assert (face.score, face.sigma) == (pytest.approx(upright.score), pytest.approx(upright.sigma))
    assert predictor.left_out == 0
    assert flaxmark.Predictor(detector=detector, orientations="upright").predict(view.pixels) == []
    (everywhere,) = flaxmark.Predictor(detector=detector, orientations="all").predict(view.pixels)
    assert everywhere.landmarks == pytest.approx(face.landmarks, abs=1e-3)
    given = predictor.predict(view.pixels, face.box)
    assert len(given) == 1  # boxes are not searched


def test_large_images_are_searched_in_a_small_copy() -> None:
    image, _ = draw(1, 160)
    large = np.asarray(Image.fromarray(image).resize((1600, 1600), Image.Resampling.BILINEAR))
    sizes = []

    def detector(seen: np.ndarray) -> list[list[float]]:
        sizes.append(seen.shape[:2])
        return []

    assert flaxmark.Predictor(detector=detector).predict(large) == []
    assert sizes == [(1600, 1600), *[(640, 640)] * 3]  # no diagonals, because there is nothing at all


def test_a_tilted_face_is_searched_on_the_diagonals() -> None:
    image, points = draw(2, 160)
    view = turn(image, 45, (160, 160))
    middle, side = view.pixels.shape[0] / 2, np.ptp(landmark_box(points).reshape(2, 2), axis=0).max()
    shift = points.mean(axis=0) - 79.5
    shift = np.array([shift[0] + shift[1], shift[1] - shift[0]]) / np.sqrt(2)

    def detector(seen: np.ndarray) -> list[list[float]]:
        """The face in the given image and, upright, in the copy that is turned back."""
        if seen.shape[:2] == view.pixels.shape[:2]:
            centre = middle + shift
        elif np.abs(seen[seen.shape[0] // 2, seen.shape[1] // 2].astype(int) - image[80, 80]).max() < 60:
            centre = np.array(seen.shape[1::-1]) / 2 + points.mean(axis=0) - 79.5
        else:
            return []
        return [[*(centre - side / 2), *(centre + side / 2)]]

    truth = (points - view.matrix[:, 2]) @ np.linalg.inv(view.matrix[:, :2]).T
    errors = []
    for orientations in ("upright", "auto", "all"):
        predictor = flaxmark.Predictor(detector=detector, min_score=0, orientations=orientations)
        (face,) = predictor.predict(view.pixels)
        errors.append(np.abs(face.landmarks - truth).mean() / side)
    assert errors[1] < min(0.02, 0.8 * errors[0])
    assert errors[2] == pytest.approx(errors[1], abs=1e-3)


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        flaxmark.Predictor(orientations="sideways")
    assert (caught.value.field, caught.value.value) == ("orientations", "sideways")
