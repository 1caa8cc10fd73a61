from typing import Any

import numpy as np

from flaxmark.inference.face import Face
from flaxmark.inference.video.tracking import TrackConfig, Tracker

FRAME = np.zeros((200, 300, 3), np.uint8)
SHAPE = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5]])
PLAIN = TrackConfig(smoothing=None)


class World:
    """Squares that move; a predictor that sees the one that its box covers most, and counts what it is asked."""

    def __init__(self, faces: dict[str, tuple[float, float, float]]) -> None:
        self.faces = faces
        self.detections = 0
        self.unseen: set[str] = set()  # by the detector
        self.around = 1.0  # side of the detector's box over that of the landmarks'
        self.score: float | None = None

    def box(self, name: str) -> np.ndarray:
        x, y, side = self.faces[name]
        return np.array([x, y, x + side, y + side])

    def detect(self, frame: np.ndarray) -> tuple[np.ndarray, list[None]]:
        self.detections += 1
        boxes = np.array([self.box(name) for name in self.faces if name not in self.unseen]).reshape(-1, 2, 2)
        middle = boxes.mean(axis=1, keepdims=True)
        return (middle + self.around * (boxes - middle)).reshape(-1, 4), [None] * len(boxes)

    def predict(self, frame: np.ndarray, boxes: np.ndarray) -> list[Face]:
        return [self._see(box) for box in boxes]

    def _see(self, box: np.ndarray) -> Face:
        centre = (box[:2] + box[2:]) / 2

        def distance(name: str) -> float:
            own = self.box(name)
            return float(np.abs((own[:2] + own[2:]) / 2 - centre).max())

        nearest = min(self.faces, key=distance, default=None)
        if nearest is None or distance(nearest) > self.faces[nearest][2]:
            return Face(box[:2] + SHAPE * 3, box, self.score)  # nothing there: a shape far too small
        x, y, side = self.faces[nearest]
        return Face(np.array([x, y]) + SHAPE * side, box, self.score)


def track(world: World, config: TrackConfig = PLAIN) -> Tracker:
    predictor: Any = world
    return Tracker(predictor, config)


def places(faces: list) -> dict[int, list[float]]:
    return {face.id: face.face.landmarks[0].tolist() for face in faces}


def test_faces_keep_their_numbers_when_they_cross() -> None:
    world = World({"a": (20, 50, 40), "b": (220, 70, 40)})  # half of each covers the other on the way
    tracker = track(world)
    for frame in range(41):
        world.faces = {"a": (20 + 5 * frame, 50, 40), "b": (220 - 5 * frame, 70, 40)}
        found = places(tracker.update(FRAME, frame / 30))
        assert found == {1: [20 + 5 * frame, 50], 2: [220 - 5 * frame, 70]}


def test_detection_runs_only_when_it_is_due() -> None:
    world = World({"a": (20, 50, 40)})
    tracker = track(world, TrackConfig(detect_every=10, smoothing=None))
    for frame in range(25):
        tracker.update(FRAME, frame / 30)
    assert world.detections == 3  # at the start and every tenth frame
    world.faces["b"] = (200, 50, 40)
    seen = [len(tracker.update(FRAME, (25 + frame) / 30)) for frame in range(10)]
    assert seen == [1] * 5 + [2] * 5
    assert world.detections == 4


def test_a_face_that_leaves_ends_and_a_new_one_gets_a_new_number() -> None:
    world = World({"a": (20, 50, 40)})
    tracker = track(world, TrackConfig(patience=3, smoothing=None))
    assert list(places(tracker.update(FRAME, 0))) == [1]
    world.faces = {}
    for frame in range(1, 3):
        assert tracker.update(FRAME, frame / 30) == []
    world.faces = {"a": (22, 50, 40)}  # back in time, where it was
    assert list(places(tracker.update(FRAME, 3 / 30))) == [1]
    world.faces = {}
    for frame in range(4, 10):
        assert tracker.update(FRAME, frame / 30) == []
    world.faces = {"a": (22, 50, 40)}
    assert list(places(tracker.update(FRAME, 1.0))) == [2]


def test_a_face_that_jumps_is_looked_for_and_is_another() -> None:
    world = World({"a": (20, 50, 40)})
    tracker = track(world)
    tracker.update(FRAME, 0)
    world.faces = {"a": (200, 100, 40)}
    assert places(tracker.update(FRAME, 1 / 30)) == {2: [200, 100]}
    assert world.detections == 2


def test_nobody_there_and_frames_of_another_size() -> None:
    world = World({})
    tracker = track(world)
    assert tracker.update(FRAME, 0) == []
    world.faces = {"a": (20, 50, 40)}
    assert len(tracker.update(FRAME, 0.1)) == 1
    tracker.update(np.zeros((20, 15, 3), np.uint8), 0.2)  # its place is outside of this one: it is looked for
    assert world.detections == 3


def test_a_face_of_which_the_network_is_unsure_is_lost() -> None:
    world = World({"a": (20, 50, 40)})
    tracker = track(world)
    world.score = 0.9
    assert len(tracker.update(FRAME, 0)) == 1
    world.score = 0.1
    assert tracker.update(FRAME, 1 / 30) == []
    assert world.detections == 2
    world.score = 0.9
    assert list(places(tracker.update(FRAME, 2 / 30))) == [1]


def test_two_tracks_never_share_a_face() -> None:
    world = World({"a": (20, 50, 40), "b": (100, 50, 40)})
    tracker = track(world)
    tracker.update(FRAME, 0)
    for frame in range(1, 30):  # b walks into a and stays there
        world.faces["b"] = (max(20.0, 100 - 4 * frame), 50, 40)
        found = tracker.update(FRAME, frame / 30)
    assert [face.id for face in found] == [1]


def test_landmarks_are_smoothed_beside_the_raw_ones() -> None:
    world = World({"a": (20, 50, 40)})
    tracker = track(world, TrackConfig())
    tracker.update(FRAME, 0)
    world.faces = {"a": (24, 50, 40)}
    (face,) = tracker.update(FRAME, 1 / 30)
    assert face.raw_landmarks[0].tolist() == [24, 50]
    assert 20 < face.face.landmarks[0, 0] < 24


def test_what_the_detector_does_not_see_ends() -> None:
    """After a cut a network may well see its points in the wall: only the detector knows that nobody is there."""
    world = World({"a": (20, 50, 40), "b": (200, 50, 40)})
    tracker = track(world, TrackConfig(detect_every=10, max_unseen=20, smoothing=None))
    tracker.update(FRAME, 0)
    world.unseen = {"a"}
    seen = [list(places(tracker.update(FRAME, frame / 30))) for frame in range(1, 41)]
    assert seen == [[1, 2]] * 19 + [[2]] * 21
    world.unseen = set()
    assert list(places([tracker.update(FRAME, frame / 30) for frame in range(41, 52)][-1])) == [2, 3]


def test_a_face_that_the_detector_misses_now_and_then_stays() -> None:
    world = World({"a": (20, 50, 40)})
    tracker = track(world, TrackConfig(detect_every=10, max_unseen=20, smoothing=None))
    for frame in range(100):
        world.unseen = {"a"} if frame // 10 % 2 else set()
        assert list(places(tracker.update(FRAME, frame / 30))) == [1]


def test_boxes_of_a_detector_may_be_larger_than_those_of_the_landmarks() -> None:
    """As they are around five points: the same face is not taken for a new one at every look."""
    world = World({"a": (120, 80, 40)})
    world.around = 2.5
    tracker = track(world, TrackConfig(detect_every=5, smoothing=None))
    for frame in range(40):
        assert list(places(tracker.update(FRAME, frame / 30))) == [1]
    assert world.detections == 8


def test_points_without_extent_are_no_face() -> None:
    world = World({"a": (20, 50, 40)})
    tracker = track(world)
    tracker.update(FRAME, 0)
    world.predict = lambda frame, boxes: [Face(np.full((5, 2), 40.0), box) for box in boxes]  # type: ignore[method-assign]
    assert tracker.update(FRAME, 1 / 30) == tracker.update(FRAME, 2 / 30) == []


def test_fast_faces_are_expected_where_their_speed_takes_them() -> None:
    """Frames come at uneven times; a face that moves evenly is looked for in its very place."""
    world = World({"a": (20, 80, 40)})
    tracker, expected = track(world), []
    predict = world.predict

    def remember(frame: np.ndarray, boxes: np.ndarray) -> list[Face]:
        expected.append(boxes[0, 0])
        return predict(frame, boxes)

    world.predict = remember  # type: ignore[method-assign]
    for seconds in (0, 0.04, 0.08, 0.1, 0.14, 0.19):
        world.faces["a"] = (20 + 400 * seconds, 80, 40)
        expected.clear()
        assert list(places(tracker.update(FRAME, seconds))) == [1]
        if seconds > 0.05:
            np.testing.assert_allclose(expected[0], 20 + 400 * seconds)
    tracker.update(FRAME, 5.0)  # after a pause no further than twice the last step
    np.testing.assert_allclose(expected[-1], 20 + 400 * (0.19 + 2 * 0.05))
