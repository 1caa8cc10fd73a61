"""Audit of a data set: read all annotations and images, collect findings, and write them with sheets of faces."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from flaxmark.data.annotated_images import OtherSizeError, check_orientation, read_annotated
from flaxmark.data.config import DataConfig
from flaxmark.data.data_sets import find_data_set
from flaxmark.data.drawn.head.mean_head import poses_of
from flaxmark.data.entries import HELD_OUT, OTHER_SIZE, UNREADABLE, FaceEntry, Problem
from flaxmark.data.images import ImageError
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import DataError
from flaxmark.evaluation.audit.checks import Finding, check_boxes_fit, check_copies, check_names, check_points
from flaxmark.evaluation.audit.image_hash import Fingerprint, fingerprint
from flaxmark.evaluation.metrics import normalising_distance
from flaxmark.evaluation.plots import plot_audit, plot_faces
from flaxmark.faces.crop import cut_region, landmark_box, square_crop, to_crop_units
from flaxmark.faces.crop_sampler import crop_image
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.system.files import write_text
from flaxmark.system.json_text import json_text
from flaxmark.system.progress import Progress

SHEET_SIZE = 160


@dataclasses.dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        found: Subset or folder -> number of faces found, and the official number (None: unknown).
        splits: Split -> number of faces.
        findings: Grouped by kind, in the order of the files.
        traits: Subset -> `size` of its faces (pixels between the outer eye corners) and, for iBUG's 68 points, `yaw`
            (degrees).
        samples: Subset -> faces for a sheet.
    """

    found: dict[str, tuple[int, int | None]]
    splits: dict[str, int]
    findings: list[Finding]
    traits: dict[str, dict[str, Float[np.ndarray, " n"]]]
    samples: dict[str, list[FaceEntry]]

    @property
    def shares_photographs(self) -> bool:
        """Whether training and a held-out split share a photograph, apart from the known one of the official lists."""
        return any(finding.kind == HELD_OUT for finding in self.findings)


def audit(config: DataConfig, root: Path, start_progress: Callable[[int], Progress], sample: int = 24) -> Audit:
    """Read every annotation and image of the data set in a folder and compare them with each other.

    `start_progress` gets the number of images; `sample` is the number of faces of each subset for a sheet. Raises
    DataError if there are no faces, or if the folder or a list cannot be read.
    """
    listing = read_listing(config, root)
    entries = listing.entries
    if not entries:
        problems = listing.problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        first = f"; {count}, the first: {problems[0]}" if problems else ""
        raise DataError(f"has no faces of {config.name}{first}", field="data.dir", value=root)
    findings = [Finding(p.reason, p.file, p.detail) for p in listing.problems if not p.known]
    if config.orientation == "auto":
        check_orientation(entries, root, config.markup)
    one_of = {entry.file: entry for entry in reversed(entries)}
    files = sorted(one_of)
    prints: dict[str, Fingerprint | Problem] = {}
    progress = start_progress(len(files))
    with ThreadPoolExecutor() as pool:
        for one in pool.map(lambda file: _fingerprint(root, one_of[file], config.max_megapixels), files):
            prints[files[len(prints)]] = one
            progress.step(f"reading image {len(prints):,} of {len(files):,}")
    findings += [Finding(p.reason, p.file, p.detail) for p in prints.values() if isinstance(p, Problem)]
    images = {file: one for file, one in prints.items() if isinstance(one, Fingerprint)}
    findings += [Finding("odd image", file, oddity) for file, one in images.items() for oddity in one.oddities]
    findings += check_points(entries, {file: one.size for file, one in images.items()}, config.markup)
    findings += check_names(entries, config.markup)
    findings += check_boxes_fit(entries)
    findings += check_copies(entries, images, by_name=find_data_set(config.name).names_photographs)
    by_subset: dict[str, list[FaceEntry]] = defaultdict(list)
    for entry in entries:
        by_subset[entry.subset].append(entry)
    traits = {subset: _traits(faces, config.markup) for subset, faces in sorted(by_subset.items())}
    samples = {
        subset: [faces[i] for i in np.unique(np.linspace(0, len(faces) - 1, min(sample, len(faces))).astype(int))]
        for subset, faces in sorted(by_subset.items())
    }
    return Audit(listing.found, dict(Counter(entry.split for entry in entries)), findings, traits, samples)


def write_audit(result: Audit, root: Path, config: DataConfig, folder: Path) -> list[Path]:
    """Write the findings as audit.json, sizes and poses as faces.png, and a sheet of each subset; return the files.

    Files of an earlier audit in the folder are replaced.
    """
    values: dict[str, Any] = {
        "found": result.found,
        "splits": result.splits,
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "traits": {s: {k: np.round(v, 2).tolist() for k, v in t.items()} for s, t in result.traits.items()},
    }
    paths = [folder / "audit.json", folder / "faces.png"]
    write_text(paths[0], json_text(values, indent=1) + "\n")
    plot_audit(result.traits, paths[1])
    for subset, entries in result.samples.items():
        path = folder / f"sheet_{subset.replace('/', '_')[:50]}.jpg"
        while path in paths:  # subsets a/b and a_b, and names longer than file systems allow
            path = path.with_stem(f"{path.stem}_{len(paths)}")
        paths.append(path)
        _draw_sheet(subset, entries, root, config, path)
    return paths


def _draw_sheet(subset: str, entries: Sequence[FaceEntry], root: Path, config: DataConfig, path: Path) -> None:
    """Write a sheet of faces with their points."""
    images, points, captions = [], [], []
    for entry in entries:
        try:
            image = read_annotated(root, entry, config.max_megapixels)
        except ImageError:  # among the findings
            continue
        crop = square_crop(landmark_box(entry.landmarks_px), config.crop.scale)
        try:
            images.append(crop_image(cut_region(image, crop, config.crop, margin=False), SHEET_SIZE))
        except ValueError:  # outside the image: among the findings
            continue
        points.append(to_crop_units(entry.landmarks_px, crop))
        captions.append(Path(entry.file).name[-24:])
    if images:
        plot_faces(images, np.stack(points), None, config.markup, captions, subset, path)


def _fingerprint(root: Path, entry: FaceEntry, max_megapixels: float) -> Fingerprint | Problem:
    """Fingerprint of the image of a face, or the problem that prevents it."""
    try:
        return fingerprint(root / entry.file, read_annotated(root, entry, max_megapixels))
    except ImageError as error:
        return Problem(entry.file, OTHER_SIZE if isinstance(error, OtherSizeError) else UNREADABLE, str(error))


def _traits(faces: Sequence[FaceEntry], markup: Markup) -> dict[str, Float[np.ndarray, " n"]]:
    """Size of the faces of a subset and, for 68 points, their yaw; NaN where missing points leave it unknown."""
    points = np.stack([face.landmarks_px for face in faces])
    size = {"size": normalising_distance(points, markup=markup)}
    return size | ({"yaw": poses_of(points, markup)[:, 0]} if markup == IBUG_68 else {})
