"""From a data set's folder to the listing of its faces: one function for each way faces come on disk."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from flaxmark.config import ConfigError, DataConfig
from flaxmark.data.csv_reader import read_csv_folder
from flaxmark.data.dlib_reader import read_dlib
from flaxmark.data.faces import (
    LEAVES_FOLDER,
    MISSING,
    NO_ANNOTATION,
    NO_PICTURE,
    SUBSETS_300W,
    AnnotationError,
    FaceEntry,
    Listing,
    Problem,
    Subset,
    inside,
    photograph_300w,
)
from flaxmark.data.lists import ListedName, read_list
from flaxmark.data.pictures import SUFFIXES
from flaxmark.data.pts import read_pts


def read_listing(config: DataConfig, root: Path) -> Listing:
    """List the faces of a data set.

    Args:
        config: Gives its kind and the user's lists.
        root: Its folder.

    Returns:
        Entries whose split is `train`, `validation` (only where lists name it) or one of the test splits.

    Raises:
        ConfigError: The folder, or a list, cannot be read at all.
    """
    if config.name == "csv":
        return read_csv_folder(root, config.train_list, config.validation_list, config.test_list)
    readers: dict[str, Callable[[Path], Listing]] = {"ibug_300w": read_official, "dlib": read_dlib}
    listing = readers[config.name](root)
    if config.train_list is None or config.validation_list is None:
        return listing
    names = {
        "validation": read_list(config.validation_list, root, "--data.validation-list"),
        "train": read_list(config.train_list, root, "--data.train-list"),
    }
    return choose_listed(listing, root, names)


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
    pictures = [n for n in names if PurePosixPath(n).suffix.lower() in SUFFIXES]
    points = {PurePosixPath(n).stem for n in names if n.lower().endswith(".pts")}
    twins = [n for n in pictures if PurePosixPath(n).stem.endswith("_mirror")]
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    for name in pictures:
        stem = PurePosixPath(name).stem
        if name in twins:
            continue
        face = read_face(root, f"{folder}/{name}", subset.name, subset.split)
        if isinstance(face, FaceEntry):
            entries.append(face)
        else:
            problems.append(face)
        points.discard(stem)
    orphans = sorted(points - {PurePosixPath(n).stem for n in twins})
    problems += [Problem(f"{folder}/{stem}.pts", NO_PICTURE, "no picture of this name") for stem in orphans]
    return entries, problems, len(twins)


def read_face(root: Path, file: str, subset: str, split: str) -> FaceEntry | Problem:
    """Read the annotation beside a picture.

    Args:
        root: The data set's folder.
        file: The picture, relative to it.
        subset: Passed on.
        split: Passed on.

    Returns:
        The face, or why there is none.
    """
    annotation = PurePosixPath(file).with_suffix(".pts").as_posix()
    for name in (file, annotation):
        if inside(root, name) is None:
            return Problem(name, LEAVES_FOLDER, "it points out of the data set's folder")
    if not (root / annotation).is_file():
        return Problem(file, NO_ANNOTATION, f"no {annotation}")
    try:
        landmarks_px = read_pts(root / annotation)
    except AnnotationError as error:
        return Problem(file, error.reason, str(error))
    return FaceEntry(file, landmarks_px, None, subset, photograph_300w(file), split)


def choose_listed(listing: Listing, root: Path, names: dict[str, list[ListedName]]) -> Listing:
    """Replace the training faces by those that the user's lists name; unlisted test faces stay as they are.

    Args:
        listing: All faces of the folder.
        root: The data set's folder.
        names: Split -> names; a name in several lists belongs to the first of them.

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
        start = len(entries)
        for item in listed:
            if item.file in chosen:
                problems.append(Problem(item.file, "listed twice", item.where))
                continue
            chosen.add(item.file)
            faces = by_file.get(item.file) or _read_unlisted(root, item)
            if isinstance(faces, Problem):
                problems += [] if item.file in reported else [faces]
                continue
            entries += [_move(face, split) for face in faces]
        found[f"{split} list"] = (len(entries) - start, len(listed))
        if len(entries) == start:
            others = sum(item.file in chosen for item in listed)
            raise ConfigError(
                f"--data.{split}-list: none of its {len(listed)} names is a face below {root} that no other list names"
                + (f"; {others} are listed twice" if others else "")
            )
    rest = [e for e in listing.entries if e.file not in chosen and e.split != "train"]
    counts = Counter(e.subset for e in listing.entries if e.file in chosen and e.split != "train")
    for subset, count in sorted(counts.items()):
        detail = f"{count} of its faces are named by the lists and so are no test faces"
        problems.append(Problem(subset, "test faces in the lists", detail, known=True))
    return Listing(entries + rest, problems, found)


def _read_unlisted(root: Path, item: ListedName) -> list[FaceEntry] | Problem:
    """A listed face outside the official folders."""
    file = inside(root, item.file)
    if file is None:
        return Problem(item.file, LEAVES_FOLDER, f"{item.where}: names must stay below {root}")
    if not (root / file).is_file():
        return Problem(item.file, MISSING, f"{item.where}: no such file below {root}")
    face = read_face(root, file, PurePosixPath(file).parent.as_posix(), "train")
    return [face] if isinstance(face, FaceEntry) else face


def _move(entry: FaceEntry, split: str) -> FaceEntry:
    """The same face in another split."""
    return dataclasses.replace(entry, split=split)
