"""From a listed face to a stored one, and its split. Runs in worker processes: loads neither TensorFlow nor JAX."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np

from flaxmark.data.annotated_images import OtherSizeError, read_annotated
from flaxmark.data.entries import OTHER_SIZE, OUTSIDE_IMAGE, TOO_LARGE, UNREADABLE, FaceEntry, Problem
from flaxmark.data.images import ImageTooLargeError
from flaxmark.data.records.stored_face import StoredFace, store_face
from flaxmark.errors import ConfigError, ImageError
from flaxmark.faces.crop import CropDefinition, landmark_box

VALIDATION_EVERY = 10


def _hash(photograph: str) -> int:
    return int(sha256(photograph.encode()).hexdigest(), 16)


def validation_photograph(photograph: str) -> bool:
    """Whether a photograph's faces are for validation: about every tenth, decided by the hash of its name."""
    return _hash(photograph) % VALIDATION_EVERY == 0


def validation_photographs(photographs: Iterable[str]) -> set[str]:
    """The photographs that are held out of training for validation.

    In small data sets, where that would be none or all of them, the tenth with the smallest hashes, at least one; none
    of a single photograph.
    """
    names = set(photographs)
    chosen = {name for name in names if validation_photograph(name)}
    if len(names) < 2 or 0 < len(chosen) < len(names):
        return chosen if len(chosen) < len(names) else set()
    return set(sorted(names, key=_hash)[: -(-len(names) // VALIDATION_EVERY)])


def assign_splits(entries: Iterable[FaceEntry], hold_out: bool) -> dict[str, list[FaceEntry]]:
    """Group faces by split; `hold_out` takes the validation split from the training faces.

    Faces of 300-W's common and challenging test sets are in `test_full`, too.
    """
    entries = list(entries)
    held_out = validation_photographs(e.photograph for e in entries if e.split == "train") if hold_out else set()
    splits: dict[str, list[FaceEntry]] = {}
    for entry in entries:
        split = "validation" if entry.split == "train" and entry.photograph in held_out else entry.split
        splits.setdefault(split, []).append(entry)
        if split in ("test_common", "test_challenging"):
            splits.setdefault("test_full", []).append(entry)
    return splits


def check_boxes(entries: Iterable[FaceEntry], definition: CropDefinition) -> None:
    """Refuse an unknown kind of box, and crops around boxes that the data set does not have, with ConfigError."""
    if definition.box not in ("landmarks", "source"):
        raise ConfigError("must be landmarks or source", field="data.crop.box", value=definition.box)
    if definition.box == "source":
        without = next((entry.file for entry in entries if entry.box is None), None)
        if without is not None:
            reason = f"{without} has no box; only some data sets have boxes (dlib, coco): use landmarks"
            raise ConfigError(reason, field="data.crop.box", value=definition.box)


def store_entry(
    entry: FaceEntry, root: Path, definition: CropDefinition, max_megapixels: float
) -> StoredFace | Problem:
    """Decode the image of a face, cut the face out and encode it; a Problem where that fails."""
    try:
        image = read_annotated(root, entry, max_megapixels)
    except ImageError as error:
        reasons = {ImageTooLargeError: TOO_LARGE, OtherSizeError: OTHER_SIZE}
        reason = reasons.get(type(error), UNREADABLE)
        return Problem(entry.file, reason, str(error))
    corner, size = landmark_box(entry.landmarks_px), np.array(image.shape[1::-1])
    if (corner[2:] < 0).any() or (corner[:2] > size - 1).any():
        return Problem(entry.file, OUTSIDE_IMAGE, f"no point in the {size[0]} x {size[1]} image")
    box = corner if definition.box == "landmarks" or entry.box is None else entry.box
    try:
        return store_face(
            image,
            entry.landmarks_px,
            box,
            definition,
            subset=entry.subset,
            photograph=entry.photograph,
            file=entry.file,
            visible=entry.visible,
        )
    except ValueError as error:
        return Problem(entry.file, OUTSIDE_IMAGE, str(error))
