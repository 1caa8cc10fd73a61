"""Faces from frame to frame: the same face keeps its number, and detection runs only when it has to."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from scipy.optimize import linear_sum_assignment

from flaxmark.faces.boxes import in_image, overlap
from flaxmark.faces.crop import landmark_box
from flaxmark.inference.detection import MIN_SCORE
from flaxmark.inference.predictor import Face, Predictor
from flaxmark.inference.video.smoothing import OneEuroConfig, OneEuroFilter

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
        max_unseen: Frames that a face is followed although the detector, whenever it looks, sees none there; its number
            ends then. A network sees its points in anything, also in the wall behind a face that is gone.
        smoothing: None gives the points as they are predicted.
    """

    detect_every: int = 15
    min_overlap: float = 0.3
    min_score: float = MIN_SCORE
    max_growth: float = 1.35
    patience: int = 15
    max_unseen: int = 30
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
        self.missed, self.unseen = 0, 0
        self.filter = OneEuroFilter(smoothing) if smoothing else None

    def next_box(self) -> np.ndarray:
        """Where the face should be now: a fast one as far on as it went from the last frame but one to the last."""
        return self.box + np.tile(self.shift, 2)

    def move_to(self, face: Face, followed: bool) -> None:
        """Take the face's new place, if it has one: a box that trembles with its points makes them tremble more."""
        box = landmark_box(face.landmarks)
        side, self.missed = np.ptp(self.box.reshape(2, 2), axis=0).max(), 0
        self.unseen = self.unseen if followed else 0
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
        self._next_id, self._since_detection = 1, 0

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
        for track in self._tracks:
            track.unseen += 1
        followed = self._follow(frame)
        self._since_detection += 1
        if len(followed) < max(1, len(self._tracks)) or self._since_detection >= self._config.detect_every:
            self._since_detection = 0
            followed = self._detect(frame, followed)
        for track in self._tracks:
            if track.id not in followed:
                track.missed += 1
        self._tracks = [track for track in self._tracks if track.missed <= self._config.patience]
        return [self._smooth(track, followed[track.id], seconds) for track in self._tracks if track.id in followed]

    def _follow(self, frame: np.ndarray) -> dict[int, Face]:
        """Faces that are where they should be: id -> face."""
        height, width = frame.shape[:2]
        boxes = {track.id: track.next_box() for track in self._tracks if not track.missed}
        inside = {number: box for number, box in boxes.items() if in_image(box[None], width, height)[0]}
        if not inside:
            return {}
        faces = dict(zip(inside, self._predictor.predict(frame, np.stack(list(inside.values()))), strict=True))
        followed: dict[int, Face] = {}
        for track in self._tracks:
            face = faces.get(track.id)
            if face is None or not self._is_still(face, track.box):
                continue
            # Two tracks on one face: the older one keeps it.
            shared = overlap(_boxes(followed.values()), landmark_box(face.landmarks)).max(initial=0)
            if shared < 2 * self._config.min_overlap:
                followed[track.id] = face
                track.move_to(face, followed=True)
        return followed

    def _is_still(self, face: Face, before: np.ndarray) -> bool:
        """Whether what was predicted around an expected box is that face."""
        box = landmark_box(face.landmarks)
        growth = np.ptp(box.reshape(2, 2), axis=0).max() / np.ptp(before.reshape(2, 2), axis=0).max()
        same = overlap(before[None], box)[0] >= self._config.min_overlap
        return bool(same and self._is_face(face) and 1 / self._config.max_growth < growth < self._config.max_growth)

    def _is_face(self, face: Face) -> bool:
        """Whether the network is sure, and its points have a box around them."""
        has_extent = (np.ptp(face.landmarks, axis=0) > 0).all()
        return bool(has_extent and (face.score is None or face.score >= self._config.min_score))

    def _detect(self, frame: np.ndarray, followed: dict[int, Face]) -> dict[int, Face]:
        """The followed faces that are there, lost ones that are found again, and new ones: id -> face."""
        boxes, _ = self._predictor.detect(frame)
        found = self._predictor.predict(frame, boxes) if len(boxes) else []
        # From here on boxes of landmarks: the detector's are not always around the points of the network's mark-up.
        faces = [face for face in found if self._is_face(face)]
        seen = _boxes(faces)
        for track in self._tracks:
            if track.id in followed and self._is_in(landmark_box(followed[track.id].landmarks), seen):
                track.unseen = 0
        self._tracks = [track for track in self._tracks if track.unseen < self._config.max_unseen]
        followed = {track.id: followed[track.id] for track in self._tracks if track.id in followed}
        known = _boxes(followed.values())
        return followed | self._name([f for f in faces if not self._is_in(landmark_box(f.landmarks), known)], followed)

    def _is_in(self, box: np.ndarray, boxes: np.ndarray) -> bool:
        """Whether a box is one of some boxes."""
        return bool(overlap(boxes, box).max(initial=0) >= self._config.min_overlap)

    def _name(self, faces: list[Face], followed: dict[int, Face]) -> dict[int, Face]:
        """Give each detected face the number of the lost one that was there, or a new one: id -> face."""
        lost = [track for track in self._tracks if track.id not in followed]
        seen = _boxes(faces)
        overlaps = np.array([overlap(seen, track.box) for track in lost]).reshape(len(lost), len(faces))
        pairs = zip(*linear_sum_assignment(-overlaps), strict=True)
        again = {column: lost[row] for row, column in pairs if overlaps[row, column] >= self._config.min_overlap}
        named: dict[int, Face] = {}
        for column, face in enumerate(faces):
            if column in again:
                track = again[column]
                track.move_to(face, followed=False)
            else:
                track = _Track(self._next_id, face, self._config.smoothing)
                self._tracks.append(track)
                self._next_id += 1
            named[track.id] = face
        return named

    def _smooth(self, track: _Track, face: Face, seconds: float) -> TrackedFace:
        """The face as it is given out."""
        if track.filter is None:
            return TrackedFace(track.id, face, face.landmarks)
        side = float(np.ptp(track.box.reshape(2, 2), axis=0).max())
        smoothed = track.filter(face.landmarks, seconds, side)
        return TrackedFace(track.id, dataclasses.replace(face, landmarks=smoothed), face.landmarks)


def _boxes(faces: Iterable[Face]) -> np.ndarray:
    """Around the landmarks of each face `[n, 4]`."""
    return np.array([landmark_box(face.landmarks) for face in faces]).reshape(-1, 4)
