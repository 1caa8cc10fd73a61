"""Annotated faces of a data set, and problems with them, before any image is decoded."""

import dataclasses
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float

from flaxmark.errors import DataError
from flaxmark.faces.markup_files import MARKUPS
from flaxmark.faces.missing import count_missing

MAX_NAME, MAX_DETAIL = 300, 1000
MIN_POINTS = 3  # that a face needs

# Kinds of problems: what reports count by.
UNREADABLE = "unreadable image"
TOO_LARGE = "image too large"
OUTSIDE_IMAGE = "face outside the image"
EMPTY = "empty annotation"
MALFORMED = "malformed annotation"
POINT_COUNT = "wrong number of points"
NOT_FINITE = "coordinates not finite"
NO_EXTENT = "points too close together"
NO_ANNOTATION = "image without a .pts file"
NO_IMAGE = ".pts file without an image"
MISSING = "listed file not found"
LISTED_TWICE = "listed twice"
SHARED = ".pts file of several images"
TEST_FACES_LISTED = "test faces in the lists"
LINKED_FOLDER = "link to a folder"
UNREADABLE_FOLDER = "unreadable folder"
LEAVES_FOLDER = "path outside the data set's folder"
ODD_NAME = "file name not in UTF-8"
NOT_LABELLED = "too few points labelled"
POINTS_MISSING = "points missing"
NOT_A_FACE = "annotation marked as none to use"
OTHER_SIZE = "image of another size than its annotation"
UNKNOWN_SUBSET = "folder is not a subset of 300-W"
SAME_FACE = "duplicate face"
SPLIT_BY_IMAGE = "validation split by image, not by person"
HELD_OUT = "photograph in training and in a held-out split"
KNOWN_COPY = "known copy of a held-out photograph"


class AnnotationError(DataError):
    """An annotation that cannot be used.

    Attributes:
        kind: One of this module's constants.
    """

    def __init__(self, reason: str, kind: str = MALFORMED, *, file: str | Path | None = None) -> None:
        """Keep the kind beside the reason."""
        super().__init__(reason, file=file)
        self.kind = kind


@dataclasses.dataclass(frozen=True)
class FaceEntry:
    """One annotated face of a data set."""

    file: str
    """The image, relative to the data set's folder, with forward slashes."""
    landmarks_px: Float[np.ndarray, "num_points 2"]
    """float64, pixels of the image, turned as `oriented` says; (0, 0) is the centre of the first. A missing point is
    NaN, NaN."""
    box: Float[np.ndarray, "4"] | None
    """The data set's own bounding box: left, top, right, bottom in the same pixels; or None."""
    subset: str
    """The part of the data set that metrics are reported for."""
    photograph: str
    """An identifier of the photograph (in CSV files: of the person). Faces that share it are kept on one side of the
    split into training and validation."""
    split: str
    """`train`, `validation`, or a test split: any name that starts with `test`."""
    oriented: bool = True
    """Whether the pixels are those of the image as viewers show it, turned by its EXIF orientation, and not those of
    the stored image. Readers need not set it: `data.orientation` and the data set's record decide."""
    size: tuple[int, int] | None = None
    """Width and height of the image that was annotated, where the annotation tells."""
    visible: Float[np.ndarray, " num_points"] | None = None
    """Whether each point is seen (1) or hidden (0), NaN where that is not known; None: of no point."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A file or face of a data set that cannot be used, or that is worth a note."""

    file: str
    """The file, relative to the data set's folder."""
    reason: str
    """The kind of problem, which reports count by."""
    detail: str
    """What exactly, in one line."""
    known: bool = False
    """Whether it is known of the official files, and so not an error with `data.strict`."""

    def __str__(self) -> str:
        """One line, without its end."""
        return f"{self.file}: {self.reason} ({self.detail})"

    def __post_init__(self) -> None:
        """Bound the length of messages, whatever a file contains."""
        object.__setattr__(self, "file", self.file[:MAX_NAME])
        object.__setattr__(self, "detail", self.detail[:MAX_DETAIL])


@dataclasses.dataclass(frozen=True)
class Listing:
    """The faces of a data set."""

    entries: list[FaceEntry]
    """Faces that can be used, sorted by file."""
    problems: list[Problem]
    """What was left out, and why."""
    found: dict[str, tuple[int, int | None]]
    """Subset or folder -> number of faces that were found, and how many there should be (None: unknown)."""


def inside(root: Path, name: str) -> str | None:
    """Plain relative path of an untrusted name, with forward slashes; None where it leaves the folder.

    Symbolic links are followed. Backslashes count as slashes, unless a file has that very name.
    """
    try:
        literal = "\\" not in name or os.path.lexists(root / name)
        path = PurePosixPath(name if literal else name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
            return None
        if not (root / path).resolve().is_relative_to(root.resolve()):
            return None
    except (OSError, RuntimeError, UnicodeError):  # a loop of links, half of a surrogate pair
        return None
    return path.as_posix()


def find_image(root: Path, name: str, folders: Iterable[str], where: str) -> str | Problem:
    """Find an image that an annotation names, relative to one of several folders below the data set's.

    A path may also be an absolute one into the data set's folder, or one from the working directory. Of other absolute
    paths, as annotation tools on other machines write them, and of addresses in the web only the file's name counts.

    Args:
        root: The data set's folder.
        name: Untrusted path relative to one of the folders.
        folders: Folders to look in, relative to `root`; the most likely first.
        where: File and line of the annotation, for messages.

    Returns:
        The image's path relative to `root`, or why there is none.
    """
    spelt = name
    if is_elsewhere(name):
        spelt = _relative_to(root, name) or re.split(r"[/\\]", name.split("?")[0])[-1]
    if inside(root, spelt) is None:
        return Problem(name, LEAVES_FOLDER, f"{where}: names must stay below {root}")
    candidates = (f"{folder}/{one}" for folder in folders for one in dict.fromkeys((spelt, spelt.replace("\\", "/"))))
    file = next((file for file in candidates if os.path.isfile(root / file)), None)  # False for impossible names
    file = file or (_relative_to(root, spelt) if os.path.isfile(spelt) else None)  # as from where the command runs
    if file is None:
        return Problem(name, MISSING, f"{where}: no such image in {', '.join(folders)}")
    return inside(root, file) or Problem(name, LEAVES_FOLDER, f"{where}: it is a link out of the data set's folder")


def is_elsewhere(name: str) -> bool:
    """Whether a name is an absolute path, of this system or of another, or an address in the web."""
    return name.startswith(("/", "\\")) or re.match(r"[a-zA-Z]:[/\\]|[a-z]{2,9}://", name) is not None


def _relative_to(root: Path, name: str) -> str | None:
    """A path of this system relative to the data set's folder; None where it does not lead into it."""
    try:
        return Path(name).absolute().relative_to(root.absolute()).as_posix()
    except (ValueError, OSError, RuntimeError):
        return None


def check_one_image(files: Mapping[str, str], where: Path) -> None:
    """Refuse two absolute paths or addresses (name -> file found) that only their last part identifies, and the same.

    Raises DataError with the annotation file `where`.
    """
    first: dict[str, str] = {}
    for name, file in files.items():
        other = first.setdefault(file, name)
        if other != name and (is_elsewhere(name) or is_elsewhere(other)):
            reason = f"{other} and {name} would both be {file}; write paths relative to the data set's folder"
            raise DataError(reason[:MAX_DETAIL], file=where)


def divide(faces: Iterable[FaceEntry | Problem]) -> tuple[list[FaceEntry], list[Problem]]:
    """Separate faces from problems, both in their order."""
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    for face in faces:
        if isinstance(face, FaceEntry):
            entries.append(face)
        else:
            problems.append(face)
    return entries, problems


def name_problems(problems: Iterable[Problem]) -> None:
    """Print the problems of a listing to standard error, except those known of the official files."""
    for problem in problems:
        if not problem.known:
            print(f"left out: {problem}", file=sys.stderr)


def count_points(count: int) -> str:
    """A number of points in words: `1 point`, `67 points`."""
    return f"{count} point" if count == 1 else f"{count} points"


def wrong_count(count: int, num_points: int) -> str:
    """The reason for refusing `count` points where the mark-up has `num_points`, and the mark-up that has as many."""
    fitting = [name for name, markup in MARKUPS.items() if markup.num_points == count]
    hint = f"; these are as many as of --data.markup {' or '.join(fitting)}" if fitting else ""
    return f"{count_points(count)} instead of {num_points}{hint}"


def check_landmarks(
    landmarks_px: Float[np.ndarray, "any 2"], where: str | Path, num_points: int
) -> Float[np.ndarray, "num_points 2"]:
    """Return landmarks unchanged if they are finite or missing, and those that are there span an area.

    Args:
        landmarks_px: Pixels; NaN, NaN for a missing point.
        where: File and line of the annotation, for the message.
        num_points: How many points there must be.

    Returns:
        The same array.

    Raises:
        AnnotationError: Another number of points, a coordinate that is not finite, fewer than three points that are not
            missing (or than all, of schemes with fewer), or an extent below one pixel.
    """
    if len(landmarks_px) != num_points:
        raise AnnotationError(wrong_count(len(landmarks_px), num_points), POINT_COUNT, file=where)
    there = landmarks_px
    if not np.isfinite(landmarks_px).all():
        missing = np.isnan(landmarks_px).all(axis=-1)
        bad = np.flatnonzero(~np.isfinite(landmarks_px).all(axis=-1) & ~missing)
        if bad.size:
            raise AnnotationError(f"point {bad[0]} is not finite", NOT_FINITE, file=where)
        there = landmarks_px[~missing]
        if len(there) < min(MIN_POINTS, num_points):
            raise AnnotationError(f"{len(there)} of {count_points(num_points)}", NOT_LABELLED, file=where)
    if np.ptp(there, axis=0).min() < 1:
        unit = "; coordinates must be pixels, not fractions" if (np.abs(there) <= 1).all() else ""
        raise AnnotationError(f"the points span less than one pixel{unit}", NO_EXTENT, file=where)
    return landmarks_px


def note_missing(entries: Iterable[FaceEntry]) -> list[Problem]:
    """One note for each subset with missing points: how many, and of how many faces."""
    counts: dict[str, list[int]] = {}
    for entry in entries:
        missing = count_missing(entry.landmarks_px)
        if missing:
            counts.setdefault(entry.subset, []).append(missing)
    return [
        Problem(subset, POINTS_MISSING, f"{count_points(sum(faces))} of {len(faces)} faces", known=True)
        for subset, faces in sorted(counts.items())
    ]
