"""A folder of the user's own images, each with its .pts beside it."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from flaxmark.data.entries import LINKED_FOLDER, NO_IMAGE, UNREADABLE_FOLDER, FaceEntry, Listing, Problem, divide
from flaxmark.data.images import SUFFIXES
from flaxmark.data.readers.pts import read_face

# What a folder directly below the data set's may be called to be a split; everything else is for training.
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


def read_pts_folder(root: Path, num_points: int) -> Listing:
    """List the faces of a folder and of all folders below it.

    Args:
        root: The folder.
        num_points: How many points a face has.

    Returns:
        A listing whose `found` counts each folder.
    """
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    found: dict[str, tuple[int, int | None]] = {}
    for folder, names in _walk(root, problems):
        split = SPLIT_FOLDERS.get(PurePosixPath(folder).parts[0].lower() if folder != "." else "", "train")
        images = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
        stems = {PurePosixPath(name).stem for name in images}
        files = (PurePosixPath(folder, name) for name in images)
        good, bad = divide(
            read_face(root, file.as_posix(), folder, split, file.with_suffix("").as_posix(), num_points)
            for file in files
        )
        entries += good
        problems += bad
        problems += [
            Problem(PurePosixPath(folder, name).as_posix(), NO_IMAGE, "no image of this name")
            for name in names
            if name.lower().endswith(".pts") and PurePosixPath(name).stem not in stems
        ]
        if images:
            found[folder] = (len(good), len(images))
    return Listing(sorted(entries, key=lambda entry: entry.file), problems, found)


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
