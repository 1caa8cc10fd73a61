"""Listing a data set: read its folder, apply the user's lists, leave out faces without a measurable error."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool

from flaxmark.data.config import DataConfig
from flaxmark.data.data_sets import find_data_set
from flaxmark.data.entries import (
    LEAVES_FOLDER,
    LISTED_TWICE,
    MISSING,
    NO_EXTENT,
    ODD_NAME,
    TEST_FACES_LISTED,
    AnnotationError,
    FaceEntry,
    Listing,
    Problem,
    check_landmarks,
    inside,
    note_missing,
)
from flaxmark.data.readers.arrangement import check_arrangement
from flaxmark.data.readers.ibug_300w import photograph_300w
from flaxmark.data.readers.lists import ListedName, read_list
from flaxmark.data.readers.pts import read_face
from flaxmark.errors import ConfigError, DataError, FlaxmarkError
from flaxmark.faces.markup import Markup
from flaxmark.faces.missing import mean_where, present


def read_listing(config: DataConfig, root: Path) -> Listing:
    """List the faces of a data set in the folder `root`, as the config's lists choose them.

    Splits are `train`, `validation` (only where lists or folders name it) and the test splits. Raises DataError where
    the folder or a list cannot be read as a whole, or its points are not arranged as the landmark scheme's.
    """
    return read_folder(config, root)[1]


def read_folder(config: DataConfig, root: Path) -> tuple[Listing, Listing]:
    """List the faces of a data set without and with the config's lists: the same object where no list chooses.

    Faces of both listings share their array of points. Raises DataError as `read_listing` does.
    """
    folder, chosen = _read(config, root)
    usable = _usable(folder, config)
    check_arrangement([entry.landmarks_px for entry in usable.entries], config.markup, root)
    return usable, usable if chosen is folder else _usable(chosen, config)


def _read(config: DataConfig, root: Path) -> tuple[Listing, Listing]:
    """All faces of the folder, and those that the lists choose."""
    data_set = find_data_set(config.name)
    if data_set.read is None:
        raise ConfigError("has no files; choose a data set in a folder", field="data.name", value=config.name)
    try:
        listing = _run_reader(data_set.read, config, root)
        if data_set.lists_hold_faces or config.train_list is None or config.validation_list is None:
            return listing, listing
        names = {
            "validation": read_list(config.validation_list, root, "data.validation_list"),
            "train": read_list(config.train_list, root, "data.train_list"),
        }
        return listing, choose_listed(listing, root, names, config.markup.num_points)
    except OSError as error:
        raise DataError(f"cannot be read: {error}", field="data.dir", value=root) from error


def _run_reader(read: Callable[[DataConfig, Path], Listing], config: DataConfig, root: Path) -> Listing:
    """The listing of a data set's reader; whatever it raises, which may be an extension's, becomes a DataError."""
    try:
        listing = read(config, root)
    except (FlaxmarkError, OSError):
        raise
    except Exception as error:
        reason = f"the reader of {config.name} fails: {type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError(reason, field="data.dir", value=root) from error
    if not isinstance(listing, Listing):
        reason = f"the reader of {config.name} must return a Listing, not {type(listing).__name__}"
        raise DataError(reason, field="data.dir", value=root)
    return listing


def _usable(listing: Listing, config: DataConfig) -> Listing:
    """The listing without faces that have no printable name or no measurable error, and with notes of missing points.

    Every face gets the orientation that the config and the data set's record decide on.
    """
    entries, problems = [], []
    for problem in listing.problems:
        problems.append(dataclasses.replace(problem, file=_printable(problem.file), detail=_printable(problem.detail)))
    viewer_space = find_data_set(config.name).viewer_space
    chosen = config.orientation != "auto"
    oriented = config.orientation == "viewer" if chosen else viewer_space
    whole: list[FaceEntry] = []
    for entry in listing.entries:
        try:  # again, because readers outside this package may not have done it
            check_landmarks(entry.landmarks_px, "its annotation", config.markup.num_points)
        except AnnotationError as error:
            problems.append(Problem(_printable(entry.file), error.kind, str(error)))
        else:
            whole.append(entry)
    for entry, measurable in zip(whole, _measurable(whole, config.markup), strict=True):
        if _printable(entry.file) != entry.file:
            problems.append(Problem(_printable(entry.file), ODD_NAME, "its name is not UTF-8; rename it"))
        elif not measurable:
            detail = "its outer eye corners, or the centres of its eyes, are less than one pixel apart"
            problems.append(Problem(entry.file, NO_EXTENT, detail))
        else:
            entries.append(dataclasses.replace(entry, oriented=oriented, size=None if chosen else entry.size))
    found = {_printable(name): count for name, count in listing.found.items()}
    return Listing(entries, problems + note_missing(entries), found)


def _measurable(entries: Sequence[FaceEntry], markup: Markup) -> Bool[np.ndarray, " n"]:
    """Whether the distances that errors are divided by are at least one pixel, where missing points leave them."""
    if not entries:
        return np.ones(0, bool)
    points = np.stack([entry.landmarks_px for entry in entries])
    eyes = (points[:, list(eye)] for eye in markup.eyes)
    left, right = (mean_where(eye, present(eye)[..., None], axis=1) for eye in eyes)
    corners = np.ptp(points[:, list(markup.interocular)], axis=1)
    distances = np.linalg.norm([corners, left - right], axis=2)
    return np.asarray(~(distances < 1).any(axis=0))  # NaN is not below


def _printable(name: str) -> str:
    """A name with bytes that are not UTF-8 escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def choose_listed(listing: Listing, root: Path, names: dict[str, list[ListedName]], num_points: int) -> Listing:
    """Replace the training faces by those that lists (split -> names) name; test faces that no list names stay.

    A name in several lists belongs to the first of them. Raises DataError where a list leaves nothing in its split.
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
                problems.append(Problem(item.file, LISTED_TWICE, item.where))
                continue
            chosen.add(item.file)
            faces = by_file.get(item.file) or _read_unlisted(root, item, num_points)
            if isinstance(faces, Problem):
                problems += [] if item.file in reported else [faces]
                continue
            entries += [_move(face, split) for face in faces]
        found[f"{split} list"] = (len(entries) - start, len(listed))
        if len(entries) == start:
            reason = f"none of its {len(listed)} names is a face below {root} that no other list names"
            raise DataError(reason + (f"; {doubled} are listed twice" if doubled else ""), field=f"data.{split}_list")
    rest = [e for e in listing.entries if e.file not in chosen and e.split not in ("train", "validation")]
    counts = Counter(e.subset for e in listing.entries if e.file in chosen and e.split != "train")
    for subset, count in sorted(counts.items()):
        detail = f"{count} of its faces are named by the lists and so are no test faces"
        problems.append(Problem(subset, TEST_FACES_LISTED, detail, known=True))
    return Listing(entries + rest, problems, found)


def _read_unlisted(root: Path, item: ListedName, num_points: int) -> list[FaceEntry] | Problem:
    """A listed face that the data set's own reader has not found: an image with a .pts file."""
    file = inside(root, item.file)
    if file is None:
        return Problem(item.file, LEAVES_FOLDER, f"{item.where}: names must stay below {root}")
    if not os.path.isfile(root / file):  # False for impossible names
        return Problem(item.file, MISSING, f"{item.where}: no such file below {root}")
    subset = PurePosixPath(file).parent.as_posix()
    face = read_face(root, file, subset, "train", photograph_300w(file), num_points)
    return [face] if isinstance(face, FaceEntry) else face


def _move(entry: FaceEntry, split: str) -> FaceEntry:
    """The same face in another split."""
    return dataclasses.replace(entry, split=split)
