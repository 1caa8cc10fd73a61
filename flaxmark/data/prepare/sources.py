"""Where faces come from: what every source offers, and faces in a folder. Fingerprints are known before decoding."""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from flaxmark.data.annotated_images import check_orientation
from flaxmark.data.config import DataConfig
from flaxmark.data.data_sets import find_data_set
from flaxmark.data.entries import SPLIT_BY_IMAGE, FaceEntry, Problem
from flaxmark.data.images import ADDRESS
from flaxmark.data.prepare.collect import assign_splits, check_boxes, store_entry
from flaxmark.data.prepare.duplicates import remove_duplicates
from flaxmark.data.readers.listing import read_folder
from flaxmark.data.records.stored_face import StoredFace
from flaxmark.errors import DataError
from flaxmark.faces.markup import IBUG_68
from flaxmark.faces.markup_files import markup_to_json
from flaxmark.system.files import is_address, user_path

Undivided = Literal["never", "unless_divided", "always"]
"""Whether all faces of a folder make one split, `WHOLE`: never, unless it has held-out faces of its own, or always."""
WHOLE = "all"

FORMAT_VERSION = 3  # of stored faces; increasing it makes every set be prepared anew


def find_data_dir(config: DataConfig) -> Path:
    """Existing folder of a data set: `config.dir`, or the location in its record.

    Raises DataError where there is none, with the data set's instructions.
    """
    data_set = find_data_set(config.name)
    variable, name = data_set.location or ("", "")
    if config.dir:
        folder = Path(config.dir).expanduser()
        if is_address(config.dir):
            raise DataError(ADDRESS, field="data.dir", value=config.dir)
        folder = user_path(config.dir)
        field, value, reason = "data.dir", config.dir, "no such folder"
    elif os.environ.get(variable):
        folder = user_path(os.environ[variable]) / name
        field, value, reason = variable, os.environ[variable], f"there is no folder {folder}"
    else:
        folder = None
        field, value, reason = "data.dir", None, f"must name the folder of the data set {config.name}"
    if folder is not None and folder.is_dir():
        return folder
    raise DataError("\n".join(filter(None, (reason, data_set.instructions))), field=field, value=value)


@dataclasses.dataclass(frozen=True)
class Division:
    """Which faces are in which split."""

    splits: dict[str, dict[int, str]]
    """Split -> number of a face -> its photograph."""
    problems: list[Problem]
    """What was left out before any image was decoded."""


class Source(Protocol):
    """Numbered faces."""

    fingerprint: str
    """Hash of everything that stored faces depend on."""
    chosen: str
    """Hash of that and of the splits."""
    problems: list[Problem]
    """Problems of the listing."""
    found: dict[str, tuple[int, int | None]]
    """Subset or folder -> number of faces found, and expected (None: unknown)."""
    items: Sequence[Any]
    """What each face is made from."""

    def check_images(self) -> None:
        """Look at the images before faces are made of them; DataError where they do not fit the annotations."""

    @property
    def make(self) -> Callable[[Any], StoredFace | Problem]:
        """Function from an item to a face, which worker processes run: a function of a module, or a `partial` of it."""

    @property
    def stored(self) -> Division:
        """Splits of the records, whatever lists choose from them."""

    @property
    def division(self) -> Division:
        """Splits that the config asks for."""


class FolderSource:
    """Faces in a folder: all of them are stored, and the config's lists choose from them."""

    def __init__(self, config: DataConfig, undivided: Undivided = "never") -> None:
        """List the folder; DataError where it has no face."""
        self._config, self._data_set = config, find_data_set(config.name)
        self._root = find_data_dir(config)
        folder, listing = read_folder(config, self._root)
        if not listing.entries and not listing.problems:
            lists = [name for name in (config.train_list, config.validation_list, config.test_list) if name]
            reason = f"has no face of {config.name}" + (f" in {', '.join(lists)}" if lists else "")
            instructions = self._data_set.instructions
            raise DataError("\n".join(filter(None, (reason, instructions))), field="data.dir", value=self._root)
        check_boxes(listing.entries, config.crop)
        if undivided == "always" or (undivided == "unless_divided" and _is_undivided(listing.entries)):
            whole = [dataclasses.replace(entry, split=WHOLE) for entry in listing.entries]
            listing = dataclasses.replace(listing, entries=whole)
        self._listing = listing
        self.problems = listing.problems
        self.found = listing.found
        # A face keeps its array of points when it is moved to another split.
        known = {id(entry.landmarks_px) for entry in folder.entries}
        others = [entry for entry in listing.entries if id(entry.landmarks_px) not in known]
        self.items: Sequence[Any] = folder.entries + [dataclasses.replace(entry, split="train") for entry in others]
        self._numbers = {id(entry.landmarks_px): number for number, entry in enumerate(self.items)}
        self._chooses = listing is not folder
        self._hold_out = config.validation_list is None and not _has_validation(listing.entries)
        self.fingerprint = hash_values(
            stored_settings(config), config.max_megapixels, (_identity(self._root, entry) for entry in self.items)
        )
        self.chosen = hash_values(
            self.fingerprint,
            self._hold_out,
            ((self._numbers[id(entry.landmarks_px)], entry.split) for entry in listing.entries),
            (dataclasses.astuple(problem) for problem in self.problems),
            self.found,
        )

    def check_images(self) -> None:
        """Compare the orientation of the images with that of the points."""
        if self._config.orientation == "auto":
            check_orientation(self._listing.entries, self._root, self._config.markup)

    @property
    def make(self) -> Callable[[Any], StoredFace | Problem]:
        """Decode, cut and encode; workers get plain values, so that they need not load a user's file."""
        return partial(
            store_entry,
            root=self._root,
            definition=self._config.crop,
            max_megapixels=self._config.max_megapixels,
        )

    @functools.cached_property
    def stored(self) -> Division:
        """Splits without the lists; faces in no split are `left_out`, where lists can choose them."""
        division = self.division
        if self._chooses:
            division = self._divide(self.items, hold_out=not _has_validation(self.items))
        placed = {number for faces in division.splits.values() for number in faces}
        left_out = {n: entry.photograph for n, entry in enumerate(self.items) if n not in placed}
        return dataclasses.replace(division, splits=division.splits | {"left_out": left_out})

    @functools.cached_property
    def division(self) -> Division:
        """Splits without faces that are in the listing twice, or on both sides of a split."""
        return self._divide(self._listing.entries, self._hold_out)

    def _divide(self, entries: Sequence[FaceEntry], hold_out: bool) -> Division:
        """Leave out duplicates, then group by split."""
        by_content_only = not self._data_set.names_photographs
        kept, repeated = remove_duplicates(list(entries), self._root, by_content_only)
        people = {entry.photograph for entry in kept if entry.split == "train"}
        if hold_out and by_content_only and len(people) == 1:
            kept = [dataclasses.replace(entry, photograph=entry.file) for entry in kept]
            detail = f"all file names look like those of one person, {people.pop()}"
            repeated.append(Problem(str(self._root), SPLIT_BY_IMAGE, detail, known=True))
        splits = {
            split: {self._numbers[id(entry.landmarks_px)]: entry.photograph for entry in faces}
            for split, faces in assign_splits(kept, hold_out).items()
        }
        return Division(splits, self.problems + repeated)


def stored_settings(config: DataConfig) -> dict[str, Any]:
    """Settings that every prepared face depends on."""
    settings = {"format": FORMAT_VERSION, "name": config.name, "crop": dataclasses.asdict(config.crop)}
    return settings if config.markup == IBUG_68 else settings | {"markup": markup_to_json(config.markup)}


def _identity(root: Path, entry: FaceEntry) -> list[Any]:
    """Everything about a face that can change; its pixels by size and time of the file."""
    state = (root / entry.file).stat()
    box = None if entry.box is None else entry.box.tolist()
    names = [entry.file, entry.subset, entry.photograph, entry.split]
    orientation = [entry.oriented, entry.size] if entry.oriented else []
    visible = [] if entry.visible is None else [np.nan_to_num(entry.visible, nan=-1).tolist()]
    return [*names, state.st_size, state.st_mtime_ns, box, entry.landmarks_px.tolist(), *orientation, *visible]


def _has_validation(entries: Iterable[FaceEntry]) -> bool:
    """Whether the data set names its validation faces itself."""
    return any(entry.split == "validation" for entry in entries)


def _is_undivided(entries: Iterable[FaceEntry]) -> bool:
    """Whether a data set names no held-out faces."""
    return all(entry.split == "train" for entry in entries)


def hash_values(*parts: Any) -> str:
    """SHA-256 of values in their JSON form; an iterator counts as its values, one by one."""
    digest = hashlib.sha256()
    for part in parts:
        for value in part if isinstance(part, Iterator) else [part]:
            digest.update(json.dumps(value, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
