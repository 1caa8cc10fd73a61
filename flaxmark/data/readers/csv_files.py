"""Faces in CSV files: the name of an image and x0, y0, x1, y1 .. in pixels that start at 0, as a header names them."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np

from flaxmark.data.data_sets import DataSet, register
from flaxmark.data.entries import (
    MALFORMED,
    AnnotationError,
    FaceEntry,
    Listing,
    Problem,
    check_landmarks,
    check_one_image,
    divide,
    find_image,
)
from flaxmark.data.images import SUFFIXES
from flaxmark.data.readers.csv_columns import Columns, read_header
from flaxmark.data.readers.lists import check_size, find_list
from flaxmark.data.readers.missing_marks import mark_missing, number_or_missing
from flaxmark.errors import DataError
from flaxmark.system.reading import reason_for_text

TRAIN_NAME = "training_frames_keypoints.csv"
TEST_NAME = "test_frames_keypoints.csv"
MAX_LINE = 1_000_000


def read_csv_folder(
    root: Path, num_points: int, train_list: str | None, validation_list: str | None, test_list: str | None
) -> Listing:
    """List the faces of the CSV files of a folder, or of the files that the config's lists name.

    Without a list, `test_frames_keypoints.csv` has the test faces, and `training_frames_keypoints.csv`, or else every
    CSV file that no other split takes, has the training faces. `found` counts each file. Raises DataError where there
    is no CSV file, a named one does not exist, or one is too large or malformed as a whole.
    """
    files: dict[Path, str] = {}
    if validation_list is not None:
        files[find_list(validation_list, root, "data.validation_list")] = "validation"
    if test_list is not None:
        files[find_list(test_list, root, "data.test_list")] = "test"
    if train_list is not None:
        files[find_list(train_list, root, "data.train_list")] = "train"
    taken = {path.resolve() for path in files}
    defaults = {root / TEST_NAME: "test"} if test_list is None and (root / TEST_NAME).is_file() else {}
    if train_list is None:
        named = [root / TRAIN_NAME] if (root / TRAIN_NAME).is_file() else sorted(root.glob("*.csv"))
        defaults = dict.fromkeys(named, "train") | defaults
    files |= {path: split for path, split in defaults.items() if path.resolve() not in taken}
    if not files:
        raise DataError("has no CSV file; one line is: image, x0, y0, x1, y1 ..", field="data.dir", value=root)
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    found: dict[str, tuple[int, int | None]] = {}
    for path, split in files.items():
        check_size(path)
        good, bad = divide(_read_csv(path, root, split, num_points))
        entries += good
        problems += bad
        found[path.name] = (len(good), len(good) + len(bad))
    return Listing(sorted(entries, key=lambda e: e.file), problems, found)


def _read_csv(path: Path, root: Path, split: str, num_points: int) -> Iterator[FaceEntry | Problem]:
    """The faces of one file, in its order."""
    folders, columns = _image_folders(path, root), Columns()
    files: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            rows = csv.reader(_lines(stream, path))
            for row in rows:
                if rows.line_num == 1 and row and _is_header(row, path):
                    columns = read_header(row, path)
                elif row:
                    where = f"{path.name}:{rows.line_num}"
                    name = row[columns.image].strip() if columns.image < len(row) else ""
                    file = find_image(root, name, folders, where)
                    if isinstance(file, str):
                        files[name] = file
                        yield _read_row(columns.of(row), where, file, split, num_points)
                    else:
                        yield file
    except csv.Error as error:
        raise DataError(f"not a CSV file: {error}", file=path) from error
    check_one_image(files, path)


def _lines(stream: TextIO, path: Path) -> Iterator[str]:
    """Lines of text; DataError for one that is longer than any face."""
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise DataError(f"line {number}: more than {MAX_LINE:,} characters are not a face", file=path)
        if "\0" in line:
            raise DataError(reason_for_text(path, f"line {number}: not text; save the file as UTF-8"), file=path)
        yield line


def _is_header(row: list[str], path: Path) -> bool:
    """Whether the first line names the columns instead of an image."""
    if len(row) == 1:
        raise DataError(reason_for_text(path, "line 1: has no comma; one line is: image, x0, y0, x1, y1 .."), file=path)
    return PurePosixPath(row[0].strip()).suffix.lower() not in SUFFIXES


def _image_folders(path: Path, root: Path) -> list[str]:
    """Folders to look in for the images of a CSV file, relative to the data set's folder; the most likely first."""
    base = path.parent.resolve()
    if not base.is_relative_to(root.resolve()):
        base = root.resolve()
    named = [p.name for p in base.iterdir() if p.is_dir() and path.stem.startswith(p.name)]
    here = base.relative_to(root.resolve()).as_posix()
    return [f"{here}/{name}" for name in sorted(named, key=len, reverse=True)] + [here]


def _read_row(cells: list[str], where: str, file: str, split: str, num_points: int) -> FaceEntry | Problem:
    """One face; names of images end in the number of a person's frame."""
    try:
        numbers = np.array([number_or_missing(cell) for cell in cells])
        if len(numbers) % 2:
            raise AnnotationError(f"an odd number of coordinates, {len(numbers)}", MALFORMED, file=where)
        landmarks_px = check_landmarks(mark_missing(numbers.reshape(-1, 2)), where, num_points)
    except AnnotationError as error:
        return Problem(file, error.kind, str(error))
    except ValueError as error:
        return Problem(file, MALFORMED, f"{where}: {error}")
    person = re.sub(r"_\d+$", "", PurePosixPath(file).stem)
    subset = PurePosixPath(file).parent.as_posix()
    return FaceEntry(file, landmarks_px, None, subset, person, split)


register(
    DataSet(
        "csv",
        title="lines of file, x0, y0 ..",
        read=lambda config, root: read_csv_folder(
            root, config.markup.num_points, config.train_list, config.validation_list, config.test_list
        ),
        names_photographs=False,
        lists_hold_faces=True,
    )
)
