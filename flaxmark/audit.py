"""Look at a data set before trusting it: what is there, what is odd, what is there twice."""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from flaxmark.config import DataConfig
from flaxmark.data.duplicates import KNOWN_SHARED
from flaxmark.data.faces import FaceEntry, Problem
from flaxmark.data.picture_hash import Fingerprint, find_copies, fingerprint
from flaxmark.data.pictures import PictureError, read_picture
from flaxmark.data.readers import read_listing
from flaxmark.face_traits import head_yaw
from flaxmark.geometry import FaceRegion, landmark_box, square_crop, to_crop_units, warp_crop
from flaxmark.landmarks import IBUG_68, Markup
from flaxmark.metric_writer import replace_text
from flaxmark.metrics import normalising_distance
from flaxmark.plotting import plot_audit, plot_faces
from flaxmark.progress import Progress

SMALL_FACE, BOX_CENTRE, BOX_SIZE = 24.0, 0.35, 2.0
SHEET_SIZE = 160
SHARED = "photograph in training and in a held-out split"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something to look at.

    Attributes:
        kind: What; the report counts by it.
        file: Of which picture.
        detail: In one line.
    """

    kind: str
    file: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        found: Subset or folder -> faces found, and how many there should be (None: unknown).
        splits: Split -> faces.
        findings: In the order of the files, kind by kind.
        traits: Subset -> `size` (pixels between the outer eye corners) and `yaw` (degrees) of its faces.
        samples: Subset -> faces for a sheet.
    """

    found: dict[str, tuple[int, int | None]]
    splits: dict[str, int]
    findings: list[Finding]
    traits: dict[str, dict[str, np.ndarray]]
    samples: dict[str, list[FaceEntry]]

    @property
    def shares_photographs(self) -> bool:
        """Whether training and a held-out split have a photograph in common, the one of the official lists aside."""
        return any(finding.kind == SHARED for finding in self.findings)


def audit(config: DataConfig, root: Path, start_progress: Callable[[int], Progress], sample: int = 24) -> Audit:
    """Read every annotation and picture of a data set and compare them with each other.

    Args:
        config: How the data set is read; its `max_megapixels` bounds what is decoded.
        root: Its folder.
        start_progress: Called with the number of pictures.
        sample: Faces of each subset for a sheet.

    Returns:
        Everything worth a look.
    """
    listing = read_listing(config, root)
    entries = listing.entries
    findings = [Finding(p.reason, p.file, p.detail) for p in listing.problems if not p.known]
    files = sorted({entry.file for entry in entries})
    looks: dict[str, Fingerprint | Problem] = {}
    progress = start_progress(len(files))
    with ThreadPoolExecutor() as pool:
        for look in pool.map(lambda file: _look(root, file, config.max_megapixels), files):
            looks[files[len(looks)]] = look
            progress.step(f"looking at {len(looks):,} of {len(files):,} pictures")
    findings += [Finding(p.reason, p.file, p.detail) for p in looks.values() if isinstance(p, Problem)]
    pictures = {file: look for file, look in looks.items() if isinstance(look, Fingerprint)}
    findings += [Finding("odd picture", file, oddity) for file, look in pictures.items() for oddity in look.oddities]
    findings += check_points(entries, {file: look.size for file, look in pictures.items()})
    findings += check_names(entries)
    findings += check_boxes_fit(entries)
    findings += check_copies(entries, pictures)
    by_subset: dict[str, list[FaceEntry]] = defaultdict(list)
    for entry in entries:
        by_subset[entry.subset].append(entry)
    traits = {subset: _traits(faces) for subset, faces in sorted(by_subset.items())}
    samples = {
        subset: [faces[i] for i in np.unique(np.linspace(0, len(faces) - 1, min(sample, len(faces))).astype(int))]
        for subset, faces in sorted(by_subset.items())
    }
    return Audit(listing.found, dict(Counter(entry.split for entry in entries)), findings, traits, samples)


def check_points(entries: Iterable[FaceEntry], sizes: dict[str, tuple[int, int]]) -> list[Finding]:
    """Points outside of their picture or on its border, and faces too small to see.

    Args:
        entries: Faces.
        sizes: File -> width and height, pixels.

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
        distance = float(normalising_distance(points))
        if outside:
            findings.append(Finding("points outside the picture", entry.file, f"{outside} of {len(points)}"))
        if border:
            findings.append(Finding("points on the border", entry.file, f"{border} of {len(points)}"))
        if distance < SMALL_FACE:
            findings.append(Finding("small face", entry.file, f"{distance:.0f} px between the outer eye corners"))
    return findings


def check_names(entries: Sequence[FaceEntry], markup: Markup = IBUG_68) -> list[Finding]:
    """The flip test: are a face's points nearer to the mean shape when left and right change their names?

    Args:
        entries: Faces.
        markup: Says which points change places.

    Returns:
        Faces that are named as in a mirror, wholly or in one part.
    """
    if not entries:
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


def check_copies(entries: Sequence[FaceEntry], pictures: dict[str, Fingerprint]) -> list[Finding]:
    """Pictures that look alike, mirrored ones included, and photographs on both sides of a split.

    Args:
        entries: Faces.
        pictures: File -> what it looks like.

    Returns:
        One finding a pair of files, and one a photograph that training shares with a held-out split.
    """
    findings, photographs = [], {entry.file: entry.photograph for entry in entries}
    splits: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        splits[entry.file].add(entry.split)
    files = list(pictures)
    shared: dict[tuple[str, str], str] = {}
    for i, j, how in find_copies([pictures[file] for file in files]):
        findings.append(Finding(f"{how} pictures", files[j], f"as {files[i]}"))
        if _apart(splits[files[i]], splits[files[j]]):
            shared[files[i], files[j]] = f"{files[i]} and {files[j]}: {how}"
    by_photograph: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_photograph[photographs[file]].append(file)
    for photograph, group in by_photograph.items():
        trained = [file for file in group if "train" in splits[file]]
        held_out = [file for file in group if splits[file] - {"train"}]
        if trained and held_out:
            shared.setdefault((trained[0], held_out[0]), f"{trained[0]} and {held_out[0]}: faces of {photograph}")
    for (first, _), detail in shared.items():
        known = photographs[first] == KNOWN_SHARED
        findings.append(Finding("photograph shared in the official lists" if known else SHARED, first, detail))
    return findings


def write_audit(result: Audit, root: Path, config: DataConfig, folder: Path) -> list[Path]:
    """Write audit.json with everything found, faces.png with sizes and poses, and a sheet of each subset.

    Args:
        result: From `audit`.
        root: The data set's folder.
        config: Of the audit.
        folder: Gets the files; those of an earlier audit are replaced.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "found": result.found,
        "splits": result.splits,
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "traits": {s: {k: np.round(v, 2).tolist() for k, v in t.items()} for s, t in result.traits.items()},
    }
    paths = [folder / "audit.json", folder / "faces.png"]
    replace_text(paths[0], json.dumps(values, indent=1) + "\n")
    plot_audit(result.traits, paths[1])
    for subset, entries in result.samples.items():
        paths.append(folder / f"sheet_{subset.replace('/', '_')}.jpg")
        _draw_sheet(subset, entries, root, config, paths[-1])
    return paths


def _draw_sheet(subset: str, entries: Sequence[FaceEntry], root: Path, config: DataConfig, path: Path) -> None:
    """Faces with their points."""
    images, points, captions = [], [], []
    for entry in entries:
        try:
            picture = read_picture(root / entry.file, config.max_megapixels, orient=False)
        except PictureError:  # among the findings
            continue
        crop = square_crop(landmark_box(entry.landmarks_px), config.crop.scale)
        images.append(warp_crop(FaceRegion(picture, crop), SHEET_SIZE))
        points.append(to_crop_units(entry.landmarks_px, crop))
        captions.append(Path(entry.file).name[-24:])
    if images:
        plot_faces(images, np.stack(points), None, captions, subset, path)


def _look(root: Path, file: str, max_megapixels: float) -> Fingerprint | Problem:
    """What a picture looks like, or why it cannot be seen."""
    try:
        return fingerprint(root / file, read_picture(root / file, max_megapixels, orient=False))
    except PictureError as error:
        return Problem(file, "unreadable picture", str(error))


def _apart(first: set[str], second: set[str]) -> bool:
    """Whether one of two pictures is trained on and the other held out."""
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


def _traits(faces: Sequence[FaceEntry]) -> dict[str, np.ndarray]:
    """Size and pose of the faces of a subset."""
    points = np.stack([face.landmarks_px for face in faces])
    return {"size": normalising_distance(points), "yaw": head_yaw(points)}
