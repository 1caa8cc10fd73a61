"""Where faces come from: a folder or the drawing; both know their fingerprints before they decode."""

import dataclasses
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from flaxmark.data.config import DataConfig
from flaxmark.data.entries import FaceEntry, Problem, names_photographs
from flaxmark.data.prepare.collect import assign_splits, check_boxes, store_entry
from flaxmark.data.prepare.drawn_faces import draw_stored, drawing_version, drawn_name, split_seeds
from flaxmark.data.prepare.duplicates import remove_duplicates
from flaxmark.data.readers.listing import read_folder
from flaxmark.data.records.stored_face import StoredFace
from flaxmark.errors import ConfigError
from flaxmark.faces.markup import IBUG_68
from flaxmark.faces.markup_files import markup_to_json

FORMAT_VERSION = 2  # of what is stored; raising it makes every set be prepared anew

NO_300W = """\
{missing}
300-W is not part of flaxmark. Get it from https://ibug.doc.ic.ac.uk/resources/300-W/ (research only) as
    afw/*.jpg  helen/trainset/*.jpg  helen/testset/*.jpg  lfpw/trainset/*.png  lfpw/testset/*.png
    ibug/*.jpg  300W/01_Indoor/*.png  300W/02_Outdoor/*.png
with a .pts beside each image (any part of it will do), and name that folder with --data.dir, or call it
300w and name its parent with the environment variable FLAXMARK_DATA.
To train without it, on faces that flaxmark draws: --data.name drawn_faces"""


def find_data_dir(config: DataConfig) -> Path:
    """Find the data set's folder.

    Args:
        config: `dir` comes first; without it 300-W is looked for as `300w` in $FLAXMARK_DATA.

    Returns:
        An existing folder.

    Raises:
        ConfigError: There is none; says where to get 300-W and how to go on without it.
    """
    if config.dir:
        folder = Path(config.dir).expanduser()
        missing = f"--data.dir {config.dir}: no such folder."
    elif config.name == "ibug_300w" and os.environ.get("FLAXMARK_DATA"):
        folder = Path(os.environ["FLAXMARK_DATA"]).expanduser() / "300w"
        missing = f"FLAXMARK_DATA: there is no folder {folder}."
    else:
        folder = None
        missing = f"--data.name {config.name} needs its folder: --data.dir."
    if folder is not None and folder.is_dir():
        return folder
    raise ConfigError(NO_300W.format(missing=missing) if config.name == "ibug_300w" else missing)


@dataclasses.dataclass(frozen=True)
class Division:
    """Which faces are in which split.

    Attributes:
        splits: Split -> number of a face -> its photograph.
        problems: What was left out before any image was decoded.
    """

    splits: dict[str, dict[int, str]]
    problems: list[Problem]


class Source(Protocol):
    """Numbered faces.

    Attributes:
        fingerprint: Hash of everything that stored faces depend on.
        chosen: Hash of that and of which faces are in which split.
        problems: Those of the listing.
        found: Subset or folder -> found, expected.
        items: What each face is made from.
    """

    fingerprint: str
    chosen: str
    problems: list[Problem]
    found: dict[str, tuple[int, int | None]]
    items: Sequence[Any]

    @property
    def make(self) -> Callable[[Any], StoredFace | Problem]:
        """From an item to a face; for worker processes."""

    @property
    def stored(self) -> Division:
        """The splits of the records, whatever lists choose from them."""

    @property
    def division(self) -> Division:
        """The splits that the user wants."""


class FolderSource:
    """Faces in a folder: all of them are stored, and the user's lists choose from them; see `Source`."""

    def __init__(self, config: DataConfig) -> None:
        """List the folder.

        Args:
            config: Which folder, which lists, which crop.

        Raises:
            ConfigError: There is no face in it.
        """
        self._config = config
        self._root = find_data_dir(config)
        folder, listing = read_folder(config, self._root)
        if not listing.entries and not listing.problems:
            lists = [name for name in (config.train_list, config.validation_list, config.test_list) if name]
            named = f" in {', '.join(lists)}" if lists else ""
            missing = f"--data.dir {self._root}: holds no face of {config.name}{named}."
            raise ConfigError(NO_300W.format(missing=missing) if config.name == "ibug_300w" else missing)
        check_boxes(listing.entries, config.crop)
        self._listing = listing
        self.problems = listing.problems
        self.found = listing.found
        # A face keeps its array of points, whatever split it is moved to.
        known = {id(entry.landmarks_px) for entry in folder.entries}
        others = [entry for entry in listing.entries if id(entry.landmarks_px) not in known]
        self.items: Sequence[Any] = folder.entries + [dataclasses.replace(entry, split="train") for entry in others]
        self._numbers = {id(entry.landmarks_px): number for number, entry in enumerate(self.items)}
        self._chooses = listing is not folder
        self._hold_out = config.validation_list is None and not _has_validation(listing.entries)
        self.fingerprint = _hash(
            _settings(config), config.max_megapixels, (_identity(self._root, entry) for entry in self.items)
        )
        self.chosen = _hash(
            self.fingerprint,
            self._hold_out,
            ((self._numbers[id(entry.landmarks_px)], entry.split) for entry in listing.entries),
            (dataclasses.astuple(problem) for problem in self.problems),
            self.found,
        )

    @property
    def make(self) -> Callable[[Any], StoredFace | Problem]:
        """Decode, cut and encode."""
        return partial(store_entry, root=self._root, config=self._config)

    @functools.cached_property
    def stored(self) -> Division:
        """Without the user's lists; what has no place in any split is `left_out`, for lists to choose."""
        division = self.division
        if self._chooses:
            division = self._divide(self.items, hold_out=not _has_validation(self.items))
        placed = {number for faces in division.splits.values() for number in faces}
        left_out = {n: entry.photograph for n, entry in enumerate(self.items) if n not in placed}
        return dataclasses.replace(division, splits=division.splits | {"left_out": left_out})

    @functools.cached_property
    def division(self) -> Division:
        """Without faces that are in the listing twice, or on both sides."""
        return self._divide(self._listing.entries, self._hold_out)

    def _divide(self, entries: Sequence[FaceEntry], hold_out: bool) -> Division:
        """Leave out duplicates, then group by split."""
        kept, repeated = remove_duplicates(
            list(entries), self._root, by_content_only=not names_photographs(self._config.name)
        )
        splits = {
            split: {self._numbers[id(entry.landmarks_px)]: entry.photograph for entry in faces}
            for split, faces in assign_splits(kept, hold_out).items()
        }
        return Division(splits, self.problems + repeated)


class DrawnSource:
    """Faces that flaxmark draws; see `Source`."""

    def __init__(self, config: DataConfig) -> None:
        """Choose the seeds.

        Args:
            config: Numbers of faces, size and crop.

        Raises:
            ConfigError: A number cannot work.
        """
        self._config = config
        self._seeds = split_seeds(config)
        self.problems: list[Problem] = []
        self.found: dict[str, tuple[int, int | None]] = {
            split: (len(seeds), len(seeds)) for split, seeds in self._seeds.items()
        }
        self.items: Sequence[Any] = [seed for seeds in self._seeds.values() for seed in seeds]
        self.fingerprint = _hash(_settings(config), config.drawn_size, self.found, drawing_version())
        self.chosen = self.fingerprint

    @property
    def make(self) -> Callable[[Any], StoredFace | Problem]:
        """Draw, cut and encode."""
        config = self._config
        return partial(draw_stored, size=config.drawn_size, definition=config.crop, markup=config.markup.name)

    @functools.cached_property
    def stored(self) -> Division:
        """Consecutive numbers."""
        numbered = enumerate(self.items)
        chosen = {split: itertools.islice(numbered, len(seeds)) for split, seeds in self._seeds.items()}
        return Division({split: {n: drawn_name(seed) for n, seed in faces} for split, faces in chosen.items()}, [])

    @property
    def division(self) -> Division:
        """The same."""
        return self.stored


def _settings(config: DataConfig) -> dict[str, Any]:
    """The settings that every prepared face depends on."""
    settings = {"format": FORMAT_VERSION, "name": config.name, "crop": dataclasses.asdict(config.crop)}
    # Named only where it is another than 300-W's, so that sets prepared before it could be chosen are found again.
    return settings if config.markup == IBUG_68 else settings | {"markup": markup_to_json(config.markup)}


def _identity(root: Path, entry: FaceEntry) -> list[Any]:
    """Everything about a face that can change, its pixels by size and time."""
    state = (root / entry.file).stat()
    box = None if entry.box is None else entry.box.tolist()
    names = [entry.file, entry.subset, entry.photograph, entry.split]
    return [*names, state.st_size, state.st_mtime_ns, box, entry.landmarks_px.tolist()]


def _has_validation(entries: Iterable[FaceEntry]) -> bool:
    """Whether the data set names its validation faces itself."""
    return any(entry.split == "validation" for entry in entries)


def _hash(*parts: Any) -> str:
    """SHA-256 of values in their JSON form; of many values, an iterator, one by one."""
    digest = hashlib.sha256()
    for part in parts:
        for value in part if isinstance(part, Iterator) else [part]:
            digest.update(json.dumps(value, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
