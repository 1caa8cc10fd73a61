"""Tracking of faces in videos: a face keeps its number, and the detector runs only when needed."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, UInt8
from scipy.optimize import linear_sum_assignment

from flaxmark.faces.boxes import in_image, overlap
from flaxmark.faces.crop import landmark_box
from flaxmark.inference.detection import MIN_SCORE
from flaxmark.inference.face import Face
from flaxmark.inference.predictor import Predictor
from flaxmark.inference.video.smoothing import OneEuroConfig, OneEuroFilter

# Motion between two frames in sides of a face's box: below REST the box stays, above FAST its motion is extrapolated.
REST, FAST = 0.06, 0.12
# Frames may come at uneven times; after a longer pause a face has hardly gone on as before.
LONGEST_STEP = 2.0


@dataclasses.dataclass(frozen=True)
class TrackConfig:
    """Settings of the tracker.

    Attributes:
        detect_every: The detector runs at least once in this number of frames, and whenever a face is lost.
        min_overlap: Intersection over union above which two boxes are the same face, in (0, 1).
        min_score: A face with a lower score is lost, in [0, 1]; not used where the network gives no score.
        max_growth: A face that changes its size by a larger factor between two frames is lost.
        patience: A track ends when its face has been lost for more than this number of frames.
        max_unseen: A track ends when the detector has not confirmed it for this number of frames: the network predicts
            points for any crop, also for the wall behind a face that has left.
        smoothing: Constants of the smoothing filter; None gives the points as predicted.
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
    """A face in one frame of a video.

    Attributes:
        id: Number of the track, which is never reused.
        face: The face with smoothed landmarks.
        raw_landmarks: float64 `[num_points, 2]`, the landmarks as predicted, in pixels.
    """

    id: int
    face: Face
    raw_landmarks: np.ndarray


class _Track:
    """State of one tracked face."""

    def __init__(self, number: int, face: Face, smoothing: OneEuroConfig | None) -> None:
        self.id = number
        self.box = landmark_box(face.landmarks)
        self.shift = np.zeros(2)
        self.missed, self.unseen = 0, 0
        self.filter = OneEuroFilter(smoothing) if smoothing else None

    def next_box(self, step: float) -> np.ndarray:
        """Expected box after `step` times the last two frames' distance in time; a fast face is extrapolated."""
        return self.box + np.tile(self.shift * step, 2)

    def move_to(self, face: Face, followed: bool) -> None:
        """Update the box; after a small motion it stays, because a jittering box makes the points jitter more."""
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
    """Tracks the faces of one video."""

    def __init__(self, predictor: Predictor, config: TrackConfig | None = None) -> None:
        """Start without faces."""
        self._predictor, self._config = predictor, config or TrackConfig()
        self._tracks: list[_Track] = []
        self._next_id, self._since_detection = 1, 0
        self._seconds, self._duration = 0.0, 0.0  # of the last frame, and between it and the one before

    def update(self, frame: UInt8[np.ndarray, "height width 3"], seconds: float) -> list[TrackedFace]:
        """Find the faces in the next RGB frame, in the order in which they first appeared.

        Times must increase. Raises DetectorError if no detector is installed.
        """
        for track in self._tracks:
            track.unseen += 1
        duration = seconds - self._seconds
        step = duration / self._duration if self._duration > 0 else 1.0
        self._seconds, self._duration = seconds, duration
        followed = self._follow(frame, min(max(step, 0.0), LONGEST_STEP))
        self._since_detection += 1
        if len(followed) < max(1, len(self._tracks)) or self._since_detection >= self._config.detect_every:
            self._since_detection = 0
            followed = self._detect(frame, followed)
        for track in self._tracks:
            if track.id not in followed:
                track.missed += 1
        self._tracks = [track for track in self._tracks if track.missed <= self._config.patience]
        return [self._smooth(track, followed[track.id], seconds) for track in self._tracks if track.id in followed]

    def _follow(self, frame: np.ndarray, step: float) -> dict[int, Face]:
        """Faces that are found at their expected places: id -> face."""
        height, width = frame.shape[:2]
        boxes = {track.id: track.next_box(step) for track in self._tracks if not track.missed}
        inside = {number: box for number, box in boxes.items() if in_image(box[None], width, height)[0]}
        if not inside:
            return {}
        faces = dict(zip(inside, self._predictor.predict(frame, np.stack(list(inside.values()))), strict=True))
        followed: dict[int, Face] = {}
        for track in self._tracks:
            face = faces.get(track.id)
            if face is None or not self._is_still(face, track.box):
                continue
            # Of two tracks on the same face, the older one keeps it.
            shared = overlap(_boxes(followed.values()), landmark_box(face.landmarks)).max(initial=0)
            if shared < 2 * self._config.min_overlap:
                followed[track.id] = face
                track.move_to(face, followed=True)
        return followed

    def _is_still(self, face: Face, before: np.ndarray) -> bool:
        """Whether the face predicted in an expected box is still the face that was there before."""
        box = landmark_box(face.landmarks)
        growth = np.ptp(box.reshape(2, 2), axis=0).max() / np.ptp(before.reshape(2, 2), axis=0).max()
        same = overlap(before[None], box)[0] >= self._config.min_overlap
        return bool(same and self._is_face(face) and 1 / self._config.max_growth < growth < self._config.max_growth)

    def _is_face(self, face: Face) -> bool:
        """Whether the score is high enough and the points have an extent."""
        has_extent = (np.ptp(face.landmarks, axis=0) > 0).all()
        return bool(has_extent and (face.score is None or face.score >= self._config.min_score))

    def _detect(self, frame: np.ndarray, followed: dict[int, Face]) -> dict[int, Face]:
        """Run the detector; followed faces that still exist, lost ones found again, and new ones: id -> face."""
        boxes, _ = self._predictor.detect(frame)
        found = self._predictor.predict(frame, boxes) if len(boxes) else []
        # From here on boxes around landmarks, to which the detector's may correspond badly in some landmark schemes.
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
        """Whether a box overlaps one of some boxes enough to be the same face."""
        return bool(overlap(boxes, box).max(initial=0) >= self._config.min_overlap)

    def _name(self, faces: list[Face], followed: dict[int, Face]) -> dict[int, Face]:
        """Assign each detected face to the lost track that was there, or to a new track: id -> face."""
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
        """The face of a track, with smoothed landmarks."""
        if track.filter is None:
            return TrackedFace(track.id, face, face.landmarks)
        side = float(np.ptp(track.box.reshape(2, 2), axis=0).max())
        smoothed = track.filter(face.landmarks, seconds, side)
        return TrackedFace(track.id, dataclasses.replace(face, landmarks=smoothed), face.landmarks)


def _boxes(faces: Iterable[Face]) -> Float[np.ndarray, "n 4"]:
    """Boxes around the landmarks of faces."""
    return np.array([landmark_box(face.landmarks) for face in faces]).reshape(-1, 4)
