"""Images whose faces a detector finds: several at the same time, and turned ones."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

import flaxmark
from flaxmark.errors import ImageError
from flaxmark.inference import predictor as predictor_module
from flaxmark.inference.detection import BoxCorrection


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
