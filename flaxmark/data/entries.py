"""What a data set's files say about its faces, before any image is decoded."""

import dataclasses
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from flaxmark.errors import ConfigError

MAX_NAME, MAX_DETAIL = 300, 1000

UNREADABLE = "unreadable image"
TOO_LARGE = "image too large"
OUTSIDE_IMAGE = "face outside the image"
EMPTY = "empty annotation"
MALFORMED = "malformed annotation"
POINT_COUNT = "wrong number of points"
NOT_FINITE = "point not finite"
NO_EXTENT = "face without extent"
NO_ANNOTATION = "image without .pts"
NO_IMAGE = ".pts without image"
MISSING = "listed file missing"
LINKED_FOLDER = "link to a folder"
UNREADABLE_FOLDER = "unreadable folder"
LEAVES_FOLDER = "name leaves the folder"
ODD_NAME = "name is no text"
NOT_LABELLED = "point not labelled"
UNKNOWN_SUBSET = "folder is no subset of 300-W"
SAME_FACE = "same face twice"
HELD_OUT = "photograph in training and in a held-out split"


class AnnotationError(ConfigError):
    """An annotation cannot be used.

    Attributes:
        reason: One of the reasons that reports count by.
    """

    def __init__(self, message: str, reason: str) -> None:
        """Keep the reason beside the message."""
        super().__init__(message)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class FaceEntry:
    """One annotated face.

    Attributes:
        file: Its image, relative to the data set's folder, with forward slashes.
        landmarks_px: float64 `[num_points, 2]`, pixels of the stored (not EXIF-turned) image, 0-based.
        box: float64 `[4]`, the data set's own box in pixels, or None.
        subset: The subset that metrics are reported for.
        photograph: Faces of one photograph (for CSV: of one person) share it and never part.
        split: Where the face belongs.
    """

    file: str
    landmarks_px: np.ndarray
    box: np.ndarray | None
    subset: str
    photograph: str
    split: str


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong with the data.

    Attributes:
        file: The file, relative to the data set's folder.
        reason: One of the module's constants.
        detail: What exactly, in one line.
        known: Known of the official files, so never fatal.
    """

    file: str
    reason: str
    detail: str
    known: bool = False

    def __str__(self) -> str:
        """One line, without its end."""
        return f"{self.file}: {self.reason} ({self.detail})"

    def __post_init__(self) -> None:
        """Keep messages readable, whatever a file holds."""
        object.__setattr__(self, "file", self.file[:MAX_NAME])
        object.__setattr__(self, "detail", self.detail[:MAX_DETAIL])


@dataclasses.dataclass(frozen=True)
class Listing:
    """The faces of a data set.

    Attributes:
        entries: Sorted by file.
        problems: What was left out and why.
        found: Subset or folder -> faces found, and how many there should be (None: unknown).
    """

    entries: list[FaceEntry]
    problems: list[Problem]
    found: dict[str, tuple[int, int | None]]


@dataclasses.dataclass(frozen=True)
class Subset:
    """One folder of 300-W: the name metrics use for it, its split and its official number of faces."""

    name: str
    split: str
    expected: int


# Sagonas et al., "300 faces in-the-wild challenge: database and results", 2016; the division in common use.
SUBSETS_300W = {
    "afw": Subset("afw", "train", 337),
    "helen/trainset": Subset("helen/trainset", "train", 2000),
    "lfpw/trainset": Subset("lfpw/trainset", "train", 811),
    "helen/testset": Subset("common", "test_common", 330),
    "lfpw/testset": Subset("common", "test_common", 224),
    "ibug": Subset("challenging", "test_challenging", 135),
    "300W/01_Indoor": Subset("indoor", "test_private", 300),
    "300W/02_Outdoor": Subset("outdoor", "test_private", 300),
}


def photograph_300w(file: str) -> str:
    """Name the photograph a face of 300-W was cut from.

    HELEN numbers its photographs across training and test, LFPW starts anew in each.

    Args:
        file: Path of the image in the data set.

    Returns:
        The path without the number of the face: `afw/134212_2.jpg` is `afw/134212`.
    """
    path = PurePosixPath(file)
    stem = re.sub(r"(?<=\d) ?_\d{1,2}$", "", path.stem)
    folder = "helen" if path.parts[0] == "helen" else path.parent.as_posix()
    return f"{folder}/{stem}"


def inside(root: Path, name: str) -> str | None:
    """Check that a name stays in a folder, symbolic links followed.

    Args:
        root: The folder.
        name: Untrusted path relative to it; backslashes count as slashes, unless there is a file of that very name.

    Returns:
        The plain relative path with forward slashes, or None where it leaves the folder or is no path.
    """
    try:
        literal = "\\" not in name or os.path.lexists(root / name)
        path = PurePosixPath(name if literal else name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
            return None
        if not (root / path).resolve().is_relative_to(root.resolve()):
            return None
    except (OSError, RuntimeError, UnicodeError):  # a loop of links, half a character
        return None
    return path.as_posix()


def find_image(root: Path, name: str, folders: Iterable[str], where: str) -> str | Problem:
    """Find a image that an annotation names.

    Args:
        root: The data set's folder.
        name: Untrusted path relative to one of the folders.
        folders: To look in, relative to `root`; the most likely first.
        where: Starts the messages.

    Returns:
        Its path relative to `root`, or why there is none.
    """
    if inside(root, name) is None:
        return Problem(name, LEAVES_FOLDER, f"{where}: names must stay below {root}")
    candidates = (f"{folder}/{spelt}" for folder in folders for spelt in dict.fromkeys((name, name.replace("\\", "/"))))
    file = next((file for file in candidates if os.path.isfile(root / file)), None)  # False for names that cannot be
    if file is None:
        return Problem(name, MISSING, f"{where}: no such image in {', '.join(folders)}")
    return inside(root, file) or Problem(name, LEAVES_FOLDER, f"{where}: it points out of the data set's folder")


def divide(faces: Iterable[FaceEntry | Problem]) -> tuple[list[FaceEntry], list[Problem]]:
    """Tell faces from reasons why there is none, in their order.

    Args:
        faces: Of both kinds.

    Returns:
        The faces and the problems.
    """
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    for face in faces:
        if isinstance(face, FaceEntry):
            entries.append(face)
        else:
            problems.append(face)
    return entries, problems


def name_problems(problems: Iterable[Problem]) -> None:
    """Print what was left out of a data set, but for what is known of the official files.

    Args:
        problems: Of its listing.
    """
    for problem in problems:
        if not problem.known:
            print(f"left out: {problem}", file=sys.stderr)


def names_photographs(data_set: str) -> bool:
    """Whether names tell which faces are of one photograph: those in a CSV file only tell people.

    Args:
        data_set: As in `data.name`.

    Returns:
        Whether `FaceEntry.photograph` is a photograph.
    """
    return data_set != "csv"


def check_landmarks(landmarks_px: np.ndarray, where: str, num_points: int) -> np.ndarray:
    """Demand finite points that span an area.

    Args:
        landmarks_px: float64 `[any, 2]`.
        where: Starts the message.
        num_points: How many there must be.

    Returns:
        The same points.

    Raises:
        AnnotationError: They are no face.
    """
    if len(landmarks_px) != num_points:
        raise AnnotationError(f"{where}: {len(landmarks_px)} points instead of {num_points}", POINT_COUNT)
    bad = np.flatnonzero(~np.isfinite(landmarks_px).all(axis=-1))
    if bad.size:
        raise AnnotationError(f"{where}: point {bad[0]} is not finite", NOT_FINITE)
    if np.ptp(landmarks_px, axis=0).min() < 1:
        raise AnnotationError(f"{where}: the points span less than one pixel", NO_EXTENT)
    return landmarks_px
