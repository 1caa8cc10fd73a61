"""Face detection: backends, the correction of their boxes to boxes around the landmarks, and turned faces."""

from flaxmark.inference.detection.backends import make_detector
from flaxmark.inference.detection.boxes import (
    CORRECTIONS,
    MIN_DETECTOR_SCORE,
    MIN_SCORE,
    ORIENTATIONS,
    BoxCorrection,
    Detector,
    Orientations,
    correct_boxes,
    correction_of,
    find_faces,
    fit_correction,
)

__all__ = [
    "CORRECTIONS", "MIN_DETECTOR_SCORE", "MIN_SCORE", "ORIENTATIONS", "BoxCorrection", "Detector", "Orientations",
    "correct_boxes", "correction_of", "find_faces", "fit_correction", "make_detector",
]  # fmt: skip
