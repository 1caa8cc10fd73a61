"""What may be wrong with the annotations and images of a data set."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from flaxmark.data.entries import HELD_OUT, FaceEntry
from flaxmark.data.prepare.duplicates import KNOWN_SHARED
from flaxmark.evaluation.audit.image_hash import Fingerprint, find_copies
from flaxmark.evaluation.metrics import normalising_distance
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import Markup

SMALL_FACE, BOX_CENTRE, BOX_SIZE = 24.0, 0.35, 2.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something to look at.

    Attributes:
        kind: What; the report counts by it.
        file: Of which image.
        detail: In one line.
    """

    kind: str
    file: str
    detail: str


def check_points(entries: Iterable[FaceEntry], sizes: dict[str, tuple[int, int]], markup: Markup) -> list[Finding]:
    """Points outside of their image or on its border, and faces too small to see.

    Args:
        entries: Faces.
        sizes: File -> width and height, pixels.
        markup: Which points are the eyes.

    Returns:
        One finding a face and kind.
    """
    findings = []
    for entry in entries:
        if entry.file not in sizes:
            continue
        last = np.array(sizes[entry.file]) - 1
        points = entry.landmarks_px
        outside = int(((points < -0.5) | (points > last + 0.5)).any(axis=1).sum())
        border = int(((np.abs(points) < 0.5) | (np.abs(points - last) < 0.5)).any(axis=1).sum())
        distance = float(normalising_distance(points, markup=markup))
        if outside:
            findings.append(Finding("points outside the image", entry.file, f"{outside} of {len(points)}"))
        if border:
            findings.append(Finding("points on the border", entry.file, f"{border} of {len(points)}"))
        if distance < SMALL_FACE:
            findings.append(Finding("small face", entry.file, f"{distance:.0f} px between the outer eye corners"))
    return findings


def check_names(entries: Sequence[FaceEntry], markup: Markup) -> list[Finding]:
    """The flip test: are a face's points nearer to the mean shape when left and right change their names?

    Args:
        entries: Faces.
        markup: Says which points change places.

    Returns:
        Faces that are named as in a mirror, wholly or in one part.
    """
    if not entries or markup.flip_order is None:
        return []
    shapes = np.stack([_unit_shape(entry.landmarks_px) for entry in entries])
    mean = shapes.mean(axis=0)
    order = np.array(markup.flip_order)
    own, swapped = _misfit(shapes, mean), _misfit(shapes[:, order], mean)
    findings = [
        Finding("mirrored annotation", entry.file, "left and right have each other's names")
        for entry, a, b in zip(entries, own, swapped, strict=True)
        if b < 0.8 * a
    ]
    mirrored = {finding.file for finding in findings}
    for part, points in markup.parts.items():
        partly = shapes.copy()
        partly[:, list(points)] = shapes[:, order[list(points)]]
        findings += [
            Finding("swapped annotation", entry.file, f"left and right of the {part} have each other's names")
            for entry, a, b in zip(entries, own, _misfit(partly, mean), strict=True)
            if b < 0.8 * a and entry.file not in mirrored
        ]
    return findings


def check_boxes_fit(entries: Iterable[FaceEntry]) -> list[Finding]:
    """Boxes of the data set that lie beside the points or are of another size.

    Args:
        entries: Faces; those without a box of their own are passed over.

    Returns:
        One finding a face.
    """
    findings = []
    for entry in (e for e in entries if e.box is not None):
        points = landmark_box(entry.landmarks_px)
        box = np.asarray(entry.box, np.float64)
        side, own = np.ptp(points.reshape(2, 2), axis=0).max(), np.ptp(box.reshape(2, 2), axis=0).max()
        off = np.abs(points.reshape(2, 2).mean(axis=0) - box.reshape(2, 2).mean(axis=0)).max() / side
        if off > BOX_CENTRE or not 1 / BOX_SIZE < own / side < BOX_SIZE:
            detail = f"its middle is {off:.0%} of the face off, its side {own / side:.2f} times the face's"
            findings.append(Finding("box does not fit the points", entry.file, detail))
    return findings


def check_copies(
    entries: Sequence[FaceEntry], images: dict[str, Fingerprint], *, by_name: bool = True
) -> list[Finding]:
    """Images that look alike, mirrored ones included, and photographs on both sides of a split.

    Args:
        entries: Faces.
        images: File -> what it looks like.
        by_name: Names tell which faces are of one photograph; those of a CSV only name people.

    Returns:
        One finding a pair of files, and one a photograph that training shares with a held-out split.
    """
    findings, photographs = [], {entry.file: entry.photograph for entry in entries}
    splits: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        splits[entry.file].add(entry.split)
    files = list(images)
    shared: dict[tuple[str, str], str] = {}
    for i, j, how in find_copies([images[file] for file in files]):
        findings.append(Finding(f"{how} images", files[j], f"as {files[i]}"))
        if _apart(splits[files[i]], splits[files[j]]):
            shared[files[i], files[j]] = f"{files[i]} and {files[j]}: {how}"
    by_photograph: dict[str, list[str]] = defaultdict(list)
    for file in files if by_name else ():
        by_photograph[photographs[file]].append(file)
    for photograph, group in by_photograph.items():
        trained = [file for file in group if "train" in splits[file]]
        held_out = [file for file in group if splits[file] - {"train"}]
        if trained and held_out:
            shared.setdefault((trained[0], held_out[0]), f"{trained[0]} and {held_out[0]}: faces of {photograph}")
    for (first, _), detail in shared.items():
        known = photographs[first] == KNOWN_SHARED
        findings.append(Finding("photograph shared in the official lists" if known else HELD_OUT, first, detail))
    return findings


def _apart(first: set[str], second: set[str]) -> bool:
    """Whether one of two images is trained on and the other held out."""
    return ("train" in first and bool(second - {"train"})) or ("train" in second and bool(first - {"train"}))


def _unit_shape(points: np.ndarray) -> np.ndarray:
    """Points about their middle, of size 1."""
    centred = points - points.mean(axis=0)
    return centred / np.sqrt(np.square(centred).sum())


def _misfit(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What is left of each shape when the mean is turned and scaled onto it; a mirror image does not fit."""
    reference = mean / np.sqrt(np.square(mean).sum())
    complex_shapes, complex_mean = shapes @ [1, 1j], reference @ [1, 1j]
    return np.sqrt(np.maximum(0, 1 - np.abs(complex_shapes @ complex_mean.conj()) ** 2))
