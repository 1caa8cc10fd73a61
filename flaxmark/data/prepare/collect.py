"""From a listed face to a stored one, and which split it belongs to; loads neither TensorFlow nor JAX."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np

from flaxmark.data.config import DataConfig
from flaxmark.data.entries import OUTSIDE_IMAGE, TOO_LARGE, UNREADABLE, FaceEntry, Problem
from flaxmark.data.images import ImageError, ImageTooLargeError, read_image
from flaxmark.data.records.stored_face import StoredFace, store_face
from flaxmark.errors import ConfigError
from flaxmark.faces.crop import CropDefinition, landmark_box

VALIDATION_EVERY = 10


def validation_photograph(photograph: str) -> bool:
    """Whether a photograph's faces are for validation: about every tenth, fixed by the hash of its name."""
    return int(sha256(photograph.encode()).hexdigest(), 16) % VALIDATION_EVERY == 0


def assign_splits(entries: Iterable[FaceEntry], hold_out: bool) -> dict[str, list[FaceEntry]]:
    """Group faces by split.

    Args:
        entries: Faces.
        hold_out: Take the validation split from the training faces.

    Returns:
        Split -> its faces. Faces of 300-W's common and challenging test sets are in `test_full` too.
    """
    splits: dict[str, list[FaceEntry]] = {}
    for entry in entries:
        split = entry.split
        if hold_out and split == "train" and validation_photograph(entry.photograph):
            split = "validation"
        splits.setdefault(split, []).append(entry)
        if split in ("test_common", "test_challenging"):
            splits.setdefault("test_full", []).append(entry)
    return splits


def check_boxes(entries: Iterable[FaceEntry], definition: CropDefinition) -> None:
    """Refuse crops around boxes that the data set does not have.

    Args:
        entries: Faces.
        definition: Says which box.

    Raises:
        ConfigError: The box is of an unknown kind, or a face has none.
    """
    if definition.box not in ("landmarks", "source"):
        raise ConfigError(f"--data.crop.box {definition.box}: must be landmarks or source")
    if definition.box == "source":
        without = next((entry.file for entry in entries if entry.box is None), None)
        if without is not None:
            raise ConfigError(
                f"--data.crop.box source: {without} comes without a box; only --data.name dlib and coco may "
                "bring them, use --data.crop.box landmarks"
            )


def store_entry(entry: FaceEntry, root: Path, config: DataConfig) -> StoredFace | Problem:
    """Decode a face's image, cut the face out and encode it.

    Args:
        entry: The face.
        root: The data set's folder.
        config: Gives the crop and the limit on pixels.

    Returns:
        What is stored of it, or why it cannot be used.
    """
    try:
        # Annotators and dlib saw the stored pixels: tools of that time did not turn images by EXIF.
        image = read_image(root / entry.file, config.max_megapixels, orient=False)
    except ImageError as error:
        reason = TOO_LARGE if isinstance(error, ImageTooLargeError) else UNREADABLE
        return Problem(entry.file, reason, str(error))
    corner, size = landmark_box(entry.landmarks_px), np.array(image.shape[1::-1])
    if (corner[2:] < 0).any() or (corner[:2] > size - 1).any():
        return Problem(entry.file, OUTSIDE_IMAGE, f"no point in the {size[0]} x {size[1]} image")
    box = corner if config.crop.box == "landmarks" or entry.box is None else entry.box
    try:
        return store_face(
            image,
            entry.landmarks_px,
            box,
            config.crop,
            subset=entry.subset,
            photograph=entry.photograph,
            file=entry.file,
        )
    except ValueError as error:
        return Problem(entry.file, OUTSIDE_IMAGE, str(error))
