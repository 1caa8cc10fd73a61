"""Fit of a detector's boxes to landmarks: the best correction, and the error with and without it."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from jaxtyping import Float

from flaxmark.data.annotated_images import read_annotated
from flaxmark.data.entries import FaceEntry
from flaxmark.data.images import ImageError
from flaxmark.errors import DetectorError
from flaxmark.evaluation.metrics import mean_nme
from flaxmark.faces.boxes import overlap
from flaxmark.faces.crop import landmark_box
from flaxmark.inference.detection import BoxCorrection, Detector, correct_boxes, find_faces, fit_correction
from flaxmark.inference.predictor import Predictor
from flaxmark.system.progress import Progress


@dataclasses.dataclass(frozen=True)
class DetectedFaces:
    """Annotated faces and the boxes that a detector finds for them.

    Attributes:
        entries: Faces that it found.
        boxes: Its boxes for them, pixels.
        missed: Files of faces that it did not find.
        others: Number of boxes that overlap no annotated face; images may hold more faces than are annotated.
        unreadable: Files that cannot be read as images.
    """

    entries: list[FaceEntry]
    boxes: Float[np.ndarray, "n 4"]
    missed: list[str]
    others: int
    unreadable: list[str]


def detect_entries(entries: list[FaceEntry], root: Path, detector: Detector, max_megapixels: float) -> DetectedFaces:
    """Run a detector on the images of annotated faces; each face gets the box that overlaps its landmarks' box most.

    Images larger than `max_megapixels` count as unreadable.
    """
    found: list[FaceEntry] = []
    boxes: list[np.ndarray] = []
    missed: list[str] = []
    unreadable: list[str] = []
    others = 0
    progress = Progress(len(entries), 0, 1)
    for entry in entries:
        try:
            image = read_annotated(root, entry, max_megapixels)
        except ImageError:
            unreadable.append(entry.file)
            continue
        detected, _ = find_faces(image, detector)
        overlaps = overlap(detected, landmark_box(entry.landmarks_px))
        others += int((overlaps == 0).sum())
        if overlaps.max(initial=0) > 0.2:
            found.append(entry)
            boxes.append(detected[overlaps.argmax()])
        else:
            missed.append(entry.file)
        progress.step(f"detecting {len(found) + len(missed):,} of {len(entries):,} faces")
    return DetectedFaces(found, np.array(boxes).reshape(-1, 4), missed, others, unreadable)


def fit(faces: DetectedFaces) -> BoxCorrection:
    """Correction from a detector's boxes to those around the landmarks; DetectorError if it found no face."""
    return fit_correction(faces.boxes, landmark_box(_truth(faces)))


def errors_with_boxes(
    predictor: Predictor, faces: DetectedFaces, root: Path, correction: BoxCorrection, max_megapixels: float
) -> dict[str, float]:
    """Mean NME in percent of the same faces with three kinds of boxes: ground truth, corrected and as detected.

    Raises DetectorError if the detector found no face.
    """
    truth = _truth(faces)
    kinds = {
        "ground truth": landmark_box(truth),
        "detector, corrected": correct_boxes(faces.boxes, correction),
        "detector, as it is": faces.boxes,
    }
    # Each image is read once and then dropped.
    images = (read_annotated(root, entry, max_megapixels) for entry in faces.entries)
    found = predictor.predict_many(images, np.stack(list(kinds.values()), axis=1))
    predicted = np.array([[face.landmarks for face in one] for one in found])
    return {kind: mean_nme(predicted[:, i], truth, markup=predictor.markup) for i, kind in enumerate(kinds)}


def _truth(faces: DetectedFaces) -> Float[np.ndarray, "n points 2"]:
    """Landmarks of the faces that were found, pixels."""
    if not faces.entries:
        raise DetectorError(
            f"the detector finds none of {len(faces.missed)} faces ({len(faces.unreadable)} images unreadable); "
            "choose another detector or other faces",
            field="detector",
        )
    return np.stack([entry.landmarks_px for entry in faces.entries])


def describe(faces: DetectedFaces) -> str:
    """Summary of what a detector found, in one line."""
    total = len(faces.entries) + len(faces.missed)
    broken = f", {len(faces.unreadable)} images unreadable" if faces.unreadable else ""
    return f"found {len(faces.entries)} of {total} faces, {faces.others} boxes elsewhere{broken}"


def warn_of_missed(faces: DetectedFaces) -> None:
    """Print the faces that no result includes."""
    for file in faces.missed + faces.unreadable:
        print(f"not found: {file}", file=sys.stderr)
