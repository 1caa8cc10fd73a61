"""Images with a .pts file beside each: one such file, and folders of them."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float

from flaxmark.data.data_sets import DataSet, register
from flaxmark.data.entries import (
    EMPTY,
    LEAVES_FOLDER,
    LINKED_FOLDER,
    MALFORMED,
    NO_ANNOTATION,
    NO_IMAGE,
    POINT_COUNT,
    SHARED,
    UNREADABLE_FOLDER,
    AnnotationError,
    FaceEntry,
    Listing,
    Problem,
    check_landmarks,
    divide,
    inside,
    wrong_count,
)
from flaxmark.data.images import SUFFIXES
from flaxmark.data.readers.missing_marks import mark_missing, number_or_missing

MAX_BYTES = 1_000_000  # 68 points take 2 kB

# Names of a folder directly below the data set's -> its split; everything else is for training.
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testset": "test",
}


def read_face(root: Path, file: str, subset: str, split: str, photograph: str, num_points: int) -> FaceEntry | Problem:
    """Read the annotation beside an image; `file` is the image's path relative to `root`."""
    return _read_face(root, file, _beside(root, file), subset, split, photograph, num_points)


def _read_face(
    root: Path, file: str, annotation: str, subset: str, split: str, photograph: str, num_points: int
) -> FaceEntry | Problem:
    """Read an annotation of an image; both are paths relative to `root`."""
    for name in (file, annotation):
        if inside(root, name) is None:
            return Problem(name, LEAVES_FOLDER, "it is a link out of the data set's folder")
    if not (root / annotation).is_file():
        return Problem(file, NO_ANNOTATION, f"no {annotation}")
    try:
        landmarks_px = read_pts(root / annotation, num_points)
    except AnnotationError as error:
        return Problem(file, error.kind, str(error))
    return FaceEntry(file, landmarks_px, None, subset, photograph, split)


def _beside(root: Path, file: str) -> str:
    """The path of an image's annotation relative to `root`, which DOS programs name `.PTS`."""
    usual, other = (PurePosixPath(file).with_suffix(suffix).as_posix() for suffix in (".pts", ".PTS"))
    return other if not (root / usual).is_file() and (root / other).is_file() else usual


def read_pts(path: str | Path, num_points: int) -> Float[np.ndarray, "num_points 2"]:
    """Read the landmarks of a .pts file, whose coordinates start at 1, as float64 pixels that start at 0.

    Copies of 300-W in circulation have a header and braces or neither, any white space and any line ends: the points
    are what stands between the braces, or every line that is not a header; their number may stand above them. Marks of
    missing points (`nan nan`, `-1 -1`, see `mark_missing`) become NaN. Raises AnnotationError, which names the file and
    the line, for anything else than `num_points` points.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise AnnotationError(str(error.strerror), file=path) from error
    if len(content) > MAX_BYTES:
        raise AnnotationError(f"above {MAX_BYTES} bytes, not a .pts file", file=path)
    text = content.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise AnnotationError("empty", EMPTY, file=path)
    lines = _point_lines(text)
    if lines and re.fullmatch("[0-9]{1,6}", lines[0][1]):
        number, count = lines.pop(0)
        if int(count) != len(lines):
            raise AnnotationError(f"line {number}: {count} points, but there are {len(lines)}", POINT_COUNT, file=path)
    if not lines:
        raise AnnotationError("has no points", EMPTY, file=path)
    if len(lines) != num_points:
        number = lines[min(len(lines), num_points + 1) - 1][0]
        reason = f"line {number}: {wrong_count(len(lines), num_points)}"
        raise AnnotationError(reason, POINT_COUNT, file=path)
    points = [_parse(path, number, line) for number, line in lines]
    return check_landmarks(mark_missing(np.array(points, np.float64)) - 1.0, path, num_points)


def _point_lines(text: str) -> list[tuple[int, str]]:
    """Lines that hold a point, with their numbers starting at 1."""
    kept, opened = [], "{" not in text
    for number, line in enumerate(text.splitlines(), 1):
        if "{" in line:
            opened, line = True, line.split("{", 1)[1]
        line, closed, _ = line.partition("}")
        line = line.strip()
        if opened and line and not line.lower().startswith(("version", "n_points")):
            kept.append((number, line))
        if closed:
            break
    return kept


def _parse(path: Path, number: int, line: str) -> tuple[float, float]:
    """The two numbers of a line."""
    try:
        x, y = (number_or_missing(word) for word in line.split())
    except ValueError:
        shown = line if len(line) <= 40 else line[:40] + ".."
        raise AnnotationError(f"line {number}: {shown!r} is not two numbers", MALFORMED, file=path) from None
    return x, y


def read_pts_folder(root: Path, num_points: int) -> Listing:
    """List the faces of a folder and of all folders below it; `found` counts each folder.

    `photo.jpg` has its face in `photo.pts`, or several in `photo_face1.pts`, `photo_face2.pts` .., as predict writes.
    """
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    found: dict[str, tuple[int, int | None]] = {}
    for folder, names in _walk(root, problems):
        split = SPLIT_FOLDERS.get(PurePosixPath(folder).parts[0].lower() if folder != "." else "", "train")
        images = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
        stems = Counter(PurePosixPath(name).stem for name in images)
        annotations, unused = _assign(names, stems)
        faces: list[FaceEntry | Problem] = []
        for name in images:
            file, stem = PurePosixPath(folder, name), PurePosixPath(name).stem
            if stems[stem] > 1:
                detail = f"{stems[stem]} images are named {stem}; keep the right one"
                faces.append(Problem(file.as_posix(), SHARED, detail))
                continue
            for own in annotations.get(stem, [f"{stem}.pts"]):
                beside, photograph = PurePosixPath(folder, own).as_posix(), file.with_suffix("").as_posix()
                faces.append(_read_face(root, file.as_posix(), beside, folder, split, photograph, num_points))
        good, bad = divide(faces)
        entries += good
        problems += bad
        problems += [
            Problem(PurePosixPath(folder, name).as_posix(), NO_IMAGE, "no image of this name") for name in unused
        ]
        if images:
            found[folder] = (len(good), len(faces))
    return Listing(sorted(entries, key=lambda entry: entry.file), problems, found)


def _assign(names: list[str], stems: Container[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The .pts files of each image, by the image's name without ending; and those of none."""
    own: dict[str, list[str]] = {}
    several: dict[str, list[str]] = defaultdict(list)
    unused: list[str] = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        of_several = re.fullmatch("(.+)_face[0-9]+", stem)
        if suffix.lower() != ".pts":
            continue
        if stem in stems:
            own.setdefault(stem, [name])
        elif of_several and of_several[1] in stems:
            several[of_several[1]].append(name)
        else:
            unused.append(name)
    unused += [name for image in own.keys() & several.keys() for name in several[image]]
    return several | own, sorted(unused)


def _walk(root: Path, problems: list[Problem]) -> Iterator[tuple[str, list[str]]]:
    """Every folder, relative to the first, with its files; hidden ones and links to folders are not entered."""

    def note(error: OSError) -> None:
        name = Path(error.filename).relative_to(root).as_posix()
        problems.append(Problem(name, UNREADABLE_FOLDER, str(error.strerror)))

    for path, folders, names in os.walk(root, onerror=note):
        folder = Path(path).relative_to(root)
        links = [name for name in folders if (Path(path) / name).is_symlink()]
        problems += [
            Problem((folder / name).as_posix(), LINKED_FOLDER, "links to folders are not followed") for name in links
        ]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in links)
        yield folder.as_posix(), sorted(name for name in names if not name.startswith("."))


register(
    DataSet(
        "pts",
        title="images with .pts files beside them",
        read=lambda config, root: read_pts_folder(root, config.markup.num_points),
    )
)
