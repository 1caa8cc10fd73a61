"""Faces from frame to frame: the same face keeps its number, and detection runs only when it has to."""

import dataclasses

import numpy as np
from scipy.optimize import linear_sum_assignment

from flaxmark.boxes import overlap
from flaxmark.geometry import landmark_box
from flaxmark.inference import Face, Predictor
from flaxmark.smoothing import OneEuroConfig, OneEuroFilter

# In sides of a face's box from one frame to the next.
REST, FAST = 0.06, 0.12


@dataclasses.dataclass(frozen=True)
class TrackConfig:
    """How faces are followed.

    Attributes:
        detect_every: Frames between two looks for new faces while all known ones are followed.
        min_overlap: Intersection over union above which two boxes are one face, in (0, 1).
        min_score: A followed face of which the network is less sure is lost; no matter where it tells no score.
        max_growth: Largest change of a face's size from one frame to the next, as a factor; beyond it is lost.
        patience: Frames that a lost face is looked for before its number ends.
        smoothing: None gives the points as they are predicted.
    """

    detect_every: int = 15
    min_overlap: float = 0.3
    min_score: float = 0.5
    max_growth: float = 1.35
    patience: int = 15
    smoothing: OneEuroConfig | None = OneEuroConfig()


@dataclasses.dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face of a frame.

    Attributes:
        id: The same for the same face, never used again after it is gone.
        face: With smoothed landmarks.
        raw_landmarks: float64 `[num_points, 2]`, pixels: as predicted.
    """

    id: int
    face: Face
    raw_landmarks: np.ndarray


class _Track:
    """What is known of a face."""

    def __init__(self, number: int, face: Face, smoothing: OneEuroConfig | None) -> None:
        self.id = number
        self.box = landmark_box(face.landmarks)
        self.shift = np.zeros(2)
        self.missed = 0
        self.filter = OneEuroFilter(smoothing) if smoothing else None

    def next_box(self) -> np.ndarray:
        """Where the face should be now: a fast one as far on as it went from the last frame but one to the last."""
        return self.box + np.tile(self.shift, 2)

    def move_to(self, face: Face, followed: bool) -> None:
        """Take the face's new place, if it has one: a box that trembles with its points makes them tremble more."""
        box = landmark_box(face.landmarks)
        side, self.missed = np.ptp(self.box.reshape(2, 2), axis=0).max(), 0
        if followed and np.abs(box - self.box).max() < REST * side:
            self.shift = np.zeros(2)
            return
        moved = (box[:2] + box[2:] - self.box[:2] - self.box[2:]) / 2
        fast = followed and np.abs(moved).max() > FAST * side
        self.shift = moved if fast else np.zeros(2)
        self.box = box


class Tracker:
    """Follows the faces of one video."""

    def __init__(self, predictor: Predictor, config: TrackConfig | None = None) -> None:
        """Start without faces.

        Args:
            predictor: Finds faces and their landmarks.
            config: How they are followed.
        """
        self._predictor, self._config = predictor, config or TrackConfig()
        self._tracks: list[_Track] = []
        self._next_id, self._since_detection = 0, 0

    def update(self, frame: np.ndarray, seconds: float) -> list[TrackedFace]:
        """Look at the next frame.

        Args:
            frame: uint8 `[height, width, 3]`, RGB.
            seconds: Its time, rising.

        Returns:
            The faces in it, in the order in which they were first seen.

        Raises:
            ConfigError: No detector is installed.
        """
        followed = self._follow(frame)
        lost = [track for track in self._tracks if track.id not in followed]
        self._since_detection += 1
        if lost or not self._tracks or self._since_detection >= self._config.detect_every:
            self._since_detection = 0
            followed |= self._detect(frame, followed)
        for track in self._tracks:
            if track.id not in followed:
                track.missed += 1
        self._tracks = [track for track in self._tracks if track.missed <= self._config.patience]
        return [self._smooth(track, followed[track.id], seconds) for track in self._tracks if track.id in followed]

    def _follow(self, frame: np.ndarray) -> dict[int, Face]:
        """Faces that are where they should be: id -> face."""
        height, width = frame.shape[:2]
        boxes = {track.id: track.next_box() for track in self._tracks if not track.missed}
        inside = {
            number: box for number, box in boxes.items() if (box[2:] > 0).all() and (box[:2] < (width, height)).all()
        }
        if not inside:
            return {}
        faces = dict(zip(inside, self._predictor.predict(frame, np.stack(list(inside.values()))), strict=True))
        followed: dict[int, Face] = {}
        for track in self._tracks:
            face = faces.get(track.id)
            if face is None or not self._is_face(face, track.box):
                continue
            # Two tracks on one face: the older one keeps it.
            box = landmark_box(face.landmarks)
            others = np.array([landmark_box(other.landmarks) for other in followed.values()]).reshape(-1, 4)
            if overlap(others, box).max(initial=0) < 2 * self._config.min_overlap:
                followed[track.id] = face
                track.move_to(face, followed=True)
        return followed

    def _is_face(self, face: Face, before: np.ndarray) -> bool:
        """Whether what was predicted around an expected box is still that face."""
        box = landmark_box(face.landmarks)
        growth = np.ptp(box.reshape(2, 2), axis=0).max() / np.ptp(before.reshape(2, 2), axis=0).max()
        same = overlap(before[None], box)[0] >= self._config.min_overlap
        return bool(same and self._is_sure(face) and 1 / self._config.max_growth < growth < self._config.max_growth)

    def _is_sure(self, face: Face) -> bool:
        return face.score is None or face.score >= self._config.min_score

    def _detect(self, frame: np.ndarray, followed: dict[int, Face]) -> dict[int, Face]:
        """New faces, and lost ones that are found again: id -> face."""
        boxes, _ = self._predictor.detect(frame)
        known = np.array([landmark_box(face.landmarks) for face in followed.values()]).reshape(-1, 4)
        boxes = np.array([box for box in boxes if overlap(known, box).max(initial=0) < self._config.min_overlap])
        if not len(boxes):
            return {}
        seen = zip(boxes, self._predictor.predict(frame, boxes), strict=True)
        sure = [(box, face) for box, face in seen if self._is_sure(face)]
        if not sure:
            return {}
        boxes, faces = np.stack([box for box, _ in sure]), [face for _, face in sure]
        lost = [track for track in self._tracks if track.id not in followed]
        overlaps = np.array([overlap(boxes, track.box) for track in lost]).reshape(len(lost), len(boxes))
        found: dict[int, Face] = {}
        taken = set()
        for row, column in zip(*linear_sum_assignment(-overlaps), strict=True):
            if overlaps[row, column] >= self._config.min_overlap:
                found[lost[row].id] = faces[column]
                lost[row].move_to(faces[column], followed=False)
                taken.add(column)
        for column, face in enumerate(faces):
            if column not in taken:
                self._tracks.append(_Track(self._next_id, face, self._config.smoothing))
                found[self._next_id] = face
                self._next_id += 1
        return found

    def _smooth(self, track: _Track, face: Face, seconds: float) -> TrackedFace:
        """The face as it is given out."""
        if track.filter is None:
            return TrackedFace(track.id, face, face.landmarks)
        side = float(np.ptp(track.box.reshape(2, 2), axis=0).max())
        smoothed = track.filter(face.landmarks, seconds, side)
        return TrackedFace(track.id, dataclasses.replace(face, landmarks=smoothed), face.landmarks)
