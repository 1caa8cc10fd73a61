"""From a data set's folder to the listing of its faces: one function for each way faces come on disk."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from flaxmark.data.config import DataConfig
from flaxmark.data.entries import (
    LEAVES_FOLDER,
    MISSING,
    NO_EXTENT,
    NO_IMAGE,
    ODD_NAME,
    SUBSETS_300W,
    FaceEntry,
    Listing,
    Problem,
    Subset,
    inside,
    photograph_300w,
)
from flaxmark.data.images import SUFFIXES
from flaxmark.data.readers.coco import read_coco_folder
from flaxmark.data.readers.csv_files import read_csv_folder
from flaxmark.data.readers.dlib import read_dlib
from flaxmark.data.readers.lists import ListedName, read_list
from flaxmark.data.readers.pts import read_face
from flaxmark.data.readers.pts_folder import read_pts_folder
from flaxmark.errors import ConfigError
from flaxmark.faces.markup import IBUG_68, Markup


def read_listing(config: DataConfig, root: Path) -> Listing:
    """List the faces of a data set.

    Args:
        config: Gives its kind and the user's lists.
        root: Its folder.

    Returns:
        Entries whose split is `train`, `validation` (only where lists or folders name it) or one of the test splits.

    Raises:
        ConfigError: The folder, or a list, cannot be read at all.
    """
    return _usable(_read(config, root)[1], config.markup)


def read_folder(config: DataConfig, root: Path) -> tuple[Listing, Listing]:
    """List the faces of a data set with and without the user's lists.

    Args:
        config: Gives its kind and the lists.
        root: Its folder.

    Returns:
        All faces of the folder, and the listing of `read_listing`: the same one where no list chooses from the folder.
        Faces of both share their array of points.

    Raises:
        ConfigError: The folder, or a list, cannot be read at all.
    """
    folder, chosen = _read(config, root)
    usable = _usable(folder, config.markup)
    return usable, usable if chosen is folder else _usable(chosen, config.markup)


def _read(config: DataConfig, root: Path) -> tuple[Listing, Listing]:
    """What the folder has, and what its lists choose."""
    points = config.markup.num_points
    readers: dict[str, Callable[[], Listing]] = {
        "ibug_300w": lambda: read_official(root),
        "dlib": lambda: read_dlib(root),
        "pts": lambda: read_pts_folder(root, points),
        "csv": lambda: read_csv_folder(root, points, config.train_list, config.validation_list, config.test_list),
        "coco": lambda: read_coco_folder(root, points, config.train_list, config.validation_list, config.test_list),
    }
    try:
        listing = readers[config.name]()
        if config.name in ("csv", "coco"):  # their lists are files of faces
            return listing, listing
        if config.train_list is None or config.validation_list is None:
            return listing, listing
        names = {
            "validation": read_list(config.validation_list, root, "--data.validation-list"),
            "train": read_list(config.train_list, root, "--data.train-list"),
        }
        return listing, choose_listed(listing, root, names, points)
    except OSError as error:
        raise ConfigError(f"--data.dir {root}: cannot be read: {error}") from error


def read_official(root: Path) -> Listing:
    """List 300-W in its official layout, or any part of it.

    Args:
        root: The folder that holds `afw`, `helen/trainset` and the others.

    Returns:
        A listing whose `found` has every official folder.
    """
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    found: dict[str, tuple[int, int | None]] = {}
    mirrored = 0
    for folder, subset in SUBSETS_300W.items():
        faces, wrong, twins = _read_folder(root, folder, subset)
        entries += faces
        problems += wrong
        mirrored += twins
        found[folder] = (len(faces), subset.expected)
    if mirrored:
        found["mirrored twins, left out"] = (mirrored, None)
    return Listing(entries, problems, found)


def _read_folder(root: Path, folder: str, subset: Subset) -> tuple[list[FaceEntry], list[Problem], int]:
    """List one official folder: its faces, its problems and how many mirrored twins were left out."""
    directory = root / folder
    if not directory.is_dir():
        return [], [], 0
    if inside(root, folder) is None:
        return [], [Problem(folder, LEAVES_FOLDER, "the folder is a link out of the data set")], 0
    names = sorted(p.name for p in directory.iterdir() if not p.name.startswith("."))
    images = [n for n in names if PurePosixPath(n).suffix.lower() in SUFFIXES]
    points = {PurePosixPath(n).stem for n in names if n.lower().endswith(".pts")}
    twins = [n for n in images if PurePosixPath(n).stem.endswith("_mirror")]
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    for name in images:
        stem = PurePosixPath(name).stem
        if name in twins:
            continue
        file = f"{folder}/{name}"
        face = read_face(root, file, subset.name, subset.split, photograph_300w(file), IBUG_68.num_points)
        if isinstance(face, FaceEntry):
            entries.append(face)
        else:
            problems.append(face)
        points.discard(stem)
    orphans = sorted(points - {PurePosixPath(n).stem for n in twins})
    problems += [Problem(f"{folder}/{stem}.pts", NO_IMAGE, "no image of this name") for stem in orphans]
    return entries, problems, len(twins)


def _usable(listing: Listing, markup: Markup) -> Listing:
    """Without faces that cannot be told of, or whose errors cannot be measured."""
    entries, problems = [], []
    for problem in listing.problems:
        problems.append(dataclasses.replace(problem, file=_printable(problem.file), detail=_printable(problem.detail)))
    for entry in listing.entries:
        points, (left, right) = entry.landmarks_px, markup.eyes
        corners = np.ptp(points[list(markup.interocular)], axis=0)
        centres = points[list(left)].mean(axis=0) - points[list(right)].mean(axis=0)
        if _printable(entry.file) != entry.file:
            problems.append(Problem(_printable(entry.file), ODD_NAME, "its name is no UTF-8; rename it"))
        elif min(np.linalg.norm(corners), np.linalg.norm(centres)) < 1:
            detail = "its outer eye corners, or the centres of its eyes, are less than one pixel apart"
            problems.append(Problem(entry.file, NO_EXTENT, detail))
        else:
            entries.append(entry)
    found = {_printable(name): count for name, count in listing.found.items()}
    return Listing(entries, problems, found)


def _printable(name: str) -> str:
    """A name with the bytes that are no text written out."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def choose_listed(listing: Listing, root: Path, names: dict[str, list[ListedName]], num_points: int) -> Listing:
    """Replace the training faces by those that the user's lists name; unlisted test faces stay as they are.

    Args:
        listing: All faces of the folder.
        root: The data set's folder.
        names: Split -> names; a name in several lists belongs to the first of them.
        num_points: How many points a face has.

    Returns:
        The faces of the lists, then the test faces.

    Raises:
        ConfigError: A list leaves nothing in its split.
    """
    by_file: dict[str, list[FaceEntry]] = {}
    for entry in listing.entries:
        by_file.setdefault(entry.file, []).append(entry)
    reported = {p.file for p in listing.problems}
    entries: list[FaceEntry] = []
    problems = list(listing.problems)
    found = dict(listing.found)
    chosen: set[str] = set()
    for split, listed in names.items():
        start, doubled = len(entries), 0
        for item in listed:
            if item.file in chosen:
                doubled += 1
                problems.append(Problem(item.file, "listed twice", item.where))
                continue
            chosen.add(item.file)
            faces = by_file.get(item.file) or _read_unlisted(root, item, num_points)
            if isinstance(faces, Problem):
                problems += [] if item.file in reported else [faces]
                continue
            entries += [_move(face, split) for face in faces]
        found[f"{split} list"] = (len(entries) - start, len(listed))
        if len(entries) == start:
            raise ConfigError(
                f"--data.{split}-list: none of its {len(listed)} names is a face below {root} that no other list names"
                + (f"; {doubled} are listed twice" if doubled else "")
            )
    rest = [e for e in listing.entries if e.file not in chosen and e.split not in ("train", "validation")]
    counts = Counter(e.subset for e in listing.entries if e.file in chosen and e.split != "train")
    for subset, count in sorted(counts.items()):
        detail = f"{count} of its faces are named by the lists and so are no test faces"
        problems.append(Problem(subset, "test faces in the lists", detail, known=True))
    return Listing(entries + rest, problems, found)


def _read_unlisted(root: Path, item: ListedName, num_points: int) -> list[FaceEntry] | Problem:
    """A listed face outside the official folders."""
    file = inside(root, item.file)
    if file is None:
        return Problem(item.file, LEAVES_FOLDER, f"{item.where}: names must stay below {root}")
    if not os.path.isfile(root / file):  # False for names that cannot be
        return Problem(item.file, MISSING, f"{item.where}: no such file below {root}")
    subset = PurePosixPath(file).parent.as_posix()
    face = read_face(root, file, subset, "train", photograph_300w(file), num_points)
    return [face] if isinstance(face, FaceEntry) else face


def _move(entry: FaceEntry, split: str) -> FaceEntry:
    """The same face in another split."""
    return dataclasses.replace(entry, split=split)
