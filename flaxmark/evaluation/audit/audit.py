"""Look at a data set before trusting it: what is there, what is odd, what is there twice."""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from flaxmark.data.config import DataConfig
from flaxmark.data.entries import HELD_OUT, UNREADABLE, FaceEntry, Problem, names_photographs
from flaxmark.data.images import ImageError, read_image
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import ConfigError
from flaxmark.evaluation.audit.checks import Finding, check_boxes_fit, check_copies, check_names, check_points
from flaxmark.evaluation.audit.image_hash import Fingerprint, fingerprint
from flaxmark.evaluation.face_traits import head_yaw
from flaxmark.evaluation.metrics import normalising_distance
from flaxmark.evaluation.plots import plot_audit, plot_faces
from flaxmark.faces.crop import cut_region, landmark_box, square_crop, to_crop_units
from flaxmark.faces.crop_sampler import crop_image
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.system.files import write_text
from flaxmark.system.progress import Progress

SHEET_SIZE = 160


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        found: Subset or folder -> faces found, and how many there should be (None: unknown).
        splits: Split -> faces.
        findings: In the order of the files, kind by kind.
        traits: Subset -> `size` (pixels between the outer eye corners) of its faces; of iBUG's 68 points also
            `yaw` (degrees).
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
        return any(finding.kind == HELD_OUT for finding in self.findings)


def audit(config: DataConfig, root: Path, start_progress: Callable[[int], Progress], sample: int = 24) -> Audit:
    """Read every annotation and image of a data set and compare them with each other.

    Args:
        config: How the data set is read; its `max_megapixels` bounds what is decoded.
        root: Its folder.
        start_progress: Called with the number of images.
        sample: Faces of each subset for a sheet.

    Returns:
        Everything worth a look.

    Raises:
        ConfigError: No face there, or the folder or a list cannot be read.
    """
    listing = read_listing(config, root)
    entries = listing.entries
    if not entries:
        raise ConfigError(f"--data.dir {root}: holds no face of {config.name}; {len(listing.problems)} problems")
    findings = [Finding(p.reason, p.file, p.detail) for p in listing.problems if not p.known]
    files = sorted({entry.file for entry in entries})
    looks: dict[str, Fingerprint | Problem] = {}
    progress = start_progress(len(files))
    with ThreadPoolExecutor() as pool:
        for look in pool.map(lambda file: _look(root, file, config.max_megapixels), files):
            looks[files[len(looks)]] = look
            progress.step(f"looking at {len(looks):,} of {len(files):,} images")
    findings += [Finding(p.reason, p.file, p.detail) for p in looks.values() if isinstance(p, Problem)]
    images = {file: look for file, look in looks.items() if isinstance(look, Fingerprint)}
    findings += [Finding("odd image", file, oddity) for file, look in images.items() for oddity in look.oddities]
    findings += check_points(entries, {file: look.size for file, look in images.items()}, config.markup)
    findings += check_names(entries, config.markup)
    findings += check_boxes_fit(entries)
    findings += check_copies(entries, images, by_name=names_photographs(config.name))
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
    """Write audit.json with everything found, faces.png with sizes and poses, and a sheet of each subset.

    Args:
        result: From `audit`.
        root: The data set's folder.
        config: Of the audit.
        folder: An existing one; files of an earlier audit are replaced.

    Returns:
        The files.
    """
    values: dict[str, Any] = {
        "found": result.found,
        "splits": result.splits,
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "traits": {s: {k: np.round(v, 2).tolist() for k, v in t.items()} for s, t in result.traits.items()},
    }
    paths = [folder / "audit.json", folder / "faces.png"]
    write_text(paths[0], json.dumps(values, indent=1) + "\n")
    plot_audit(result.traits, paths[1])
    for subset, entries in result.samples.items():
        path = folder / f"sheet_{subset.replace('/', '_')[:50]}.jpg"
        while path in paths:  # of a/b and a_b, and of names that are longer than file systems take
            path = path.with_stem(f"{path.stem}_{len(paths)}")
        paths.append(path)
        _draw_sheet(subset, entries, root, config, path)
    return paths


def _draw_sheet(subset: str, entries: Sequence[FaceEntry], root: Path, config: DataConfig, path: Path) -> None:
    """Faces with their points."""
    images, points, captions = [], [], []
    for entry in entries:
        try:
            image = read_image(root / entry.file, config.max_megapixels, orient=False)
        except ImageError:  # among the findings
            continue
        crop = square_crop(landmark_box(entry.landmarks_px), config.crop.scale)
        try:
            images.append(crop_image(cut_region(image, crop, config.crop, margin=False), SHEET_SIZE))
        except ValueError:  # outside its image: among the findings
            continue
        points.append(to_crop_units(entry.landmarks_px, crop))
        captions.append(Path(entry.file).name[-24:])
    if images:
        plot_faces(images, np.stack(points), None, config.markup, captions, subset, path)


def _look(root: Path, file: str, max_megapixels: float) -> Fingerprint | Problem:
    """What a image looks like, or why it cannot be seen."""
    try:
        return fingerprint(root / file, read_image(root / file, max_megapixels, orient=False))
    except ImageError as error:
        return Problem(file, UNREADABLE, str(error))


def _traits(faces: Sequence[FaceEntry], markup: Markup) -> dict[str, np.ndarray]:
    """Size of the faces of a subset and, where their points tell, pose."""
    points = np.stack([face.landmarks_px for face in faces])
    size = {"size": normalising_distance(points, markup=markup)}
    return size | ({"yaw": head_yaw(points)} if markup == IBUG_68 else {})
