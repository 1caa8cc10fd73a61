"""Checks for errors in the annotations and images of a data set."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from flaxmark.data.entries import HELD_OUT, KNOWN_COPY, POINTS_MISSING, FaceEntry
from flaxmark.data.prepare.duplicates import KNOWN_SHARED
from flaxmark.data.readers.arrangement import misfits
from flaxmark.data.readers.ibug_300w import known_copies
from flaxmark.evaluation.audit.image_hash import Fingerprint, find_copies
from flaxmark.evaluation.metrics import normalising_distance
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import Markup
from flaxmark.faces.missing import count_missing, mean_points, mean_shape, present

SMALL_FACE, BOX_CENTRE, BOX_SIZE = 24.0, 0.35, 2.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something in a data set that deserves a look.

    Attributes:
        kind: Kind of finding, by which reports count.
        file: Image it is about.
        detail: Description in one line.
    """

    kind: str
    file: str
    detail: str


def check_points(entries: Iterable[FaceEntry], sizes: dict[str, tuple[int, int]], markup: Markup) -> list[Finding]:
    """Points missing, outside their image or on its border, and faces too small: one finding per face and kind.

    `sizes` maps a file to the width and height of its image in pixels; faces of other files are skipped.
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
        if missing := count_missing(points):
            findings.append(Finding(POINTS_MISSING, entry.file, f"{missing} of {len(points)}"))
        if outside:
            findings.append(Finding("points outside the image", entry.file, f"{outside} of {len(points)}"))
        if border:
            findings.append(Finding("points on the border", entry.file, f"{border} of {len(points)}"))
        if distance < SMALL_FACE:
            findings.append(Finding("small face", entry.file, f"{distance:.0f} px between the outer eye corners"))
    return findings


def check_names(entries: Sequence[FaceEntry], markup: Markup) -> list[Finding]:
    """Faces whose left and right points have swapped names, entirely or in one part.

    The flip test: such points are closer to the mean shape once left and right are exchanged.
    """
    if not entries or markup.flip_order is None:
        return []
    shapes = np.stack([_unit_shape(entry.landmarks_px) for entry in entries])
    mean = shapes.mean(axis=0) if present(shapes).all() else mean_shape(shapes)
    order = np.array(markup.flip_order)
    own, swapped = misfits(shapes, mean)[0], misfits(shapes[:, order], mean)[0]
    findings = [
        Finding("mirrored annotation", entry.file, "the names of left and right points are exchanged")
        for entry, a, b in zip(entries, own, swapped, strict=True)
        if b < 0.8 * a
    ]
    mirrored = {finding.file for finding in findings}
    for part, points in markup.parts.items():
        partly = shapes.copy()
        partly[:, list(points)] = shapes[:, order[list(points)]]
        findings += [
            Finding("swapped annotation", entry.file, f"the names of left and right points of the {part} are exchanged")
            for entry, a, b in zip(entries, own, misfits(partly, mean)[0], strict=True)
            if b < 0.8 * a and entry.file not in mirrored
        ]
    return findings


def check_boxes_fit(entries: Iterable[FaceEntry]) -> list[Finding]:
    """Boxes of the data set that do not fit the points in position or size.

    Faces without a box are skipped, and those with missing points, which may lie anywhere.
    """
    findings = []
    for entry in (e for e in entries if e.box is not None and not count_missing(e.landmarks_px)):
        points = landmark_box(entry.landmarks_px)
        box = np.asarray(entry.box, np.float64)
        side, own = np.ptp(points.reshape(2, 2), axis=0).max(), np.ptp(box.reshape(2, 2), axis=0).max()
        off = np.abs(points.reshape(2, 2).mean(axis=0) - box.reshape(2, 2).mean(axis=0)).max() / side
        if off > BOX_CENTRE or not 1 / BOX_SIZE < own / side < BOX_SIZE:
            detail = f"its centre is off by {off:.0%} of the face's side, its side is {own / side:.2f} times the face's"
            findings.append(Finding("box does not fit the points", entry.file, detail))
    return findings


def check_copies(
    entries: Sequence[FaceEntry], images: dict[str, Fingerprint], *, by_name: bool = True
) -> list[Finding]:
    """Images that look alike, also mirrored, and photographs that training shares with a held-out split.

    One finding per pair of files, and one per shared photograph; of known copies, which are left out of training, one
    per file. `by_name`: names identify photographs; in a CSV they only identify people.
    """
    findings, photographs = [], {entry.file: entry.photograph for entry in entries}
    splits: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        splits[entry.file].add(entry.split)
    files = list(images)
    shared: dict[tuple[str, str], str] = {}
    for i, j, how in find_copies([images[file] for file in files]):
        findings.append(Finding(f"{how} images", files[j], f"as {files[i]}"))
        known = by_name and photographs[files[i]] == photographs[files[j]] and known_copies(files[i], files[j])
        if _apart(splits[files[i]], splits[files[j]]) and not known:
            shared[files[i], files[j]] = f"{files[i]} and {files[j]}: {how}"
    by_photograph: dict[str, list[str]] = defaultdict(list)
    for file in files if by_name else ():
        by_photograph[photographs[file]].append(file)
    for photograph, group in by_photograph.items():
        trained = [file for file in group if "train" in splits[file]]
        held_out = [file for file in group if splits[file] - {"train"}]
        if not held_out:
            continue
        copies = [file for file in trained if all(known_copies(file, other) for other in held_out)]
        findings += [Finding(KNOWN_COPY, file, f"also {held_out[0]}; left out of training") for file in copies]
        others = [file for file in trained if file not in copies]
        if others:
            shared.setdefault((others[0], held_out[0]), f"{others[0]} and {held_out[0]}: faces of {photograph}")
    for (first, _), detail in shared.items():
        known = photographs[first] == KNOWN_SHARED
        findings.append(Finding("photograph shared in the official lists" if known else HELD_OUT, first, detail))
    return findings


def _apart(first: set[str], second: set[str]) -> bool:
    """Whether one of two images is in training and the other held out, from their splits."""
    return ("train" in first and bool(second - {"train"})) or ("train" in second and bool(first - {"train"}))


def _unit_shape(points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 2"]:
    """Points centred and scaled to unit size."""
    centred = points - mean_points(points)
    return centred / np.sqrt(np.square(centred)[present(points)].mean())
