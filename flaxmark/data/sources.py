"""Where faces come from: a folder or the drawing; both know their fingerprint before they decode."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from flaxmark.config import ConfigError, DataConfig
from flaxmark.data.collect import assign_splits, check_boxes, collect_faces
from flaxmark.data.draw_many import draw_splits, drawing_version, split_seeds
from flaxmark.data.duplicates import remove_duplicates
from flaxmark.data.faces import FaceEntry, Problem, names_photographs
from flaxmark.data.readers import read_listing
from flaxmark.data.stored_face import StoredFace
from flaxmark.landmarks import IBUG_68
from flaxmark.markups import markup_to_json

FORMAT_VERSION = 1  # of what is stored; raising it makes every set be prepared anew

NO_300W = """\
{missing}
300-W is not part of flaxmark. Get it from https://ibug.doc.ic.ac.uk/resources/300-W/ (research only) as
    afw/*.jpg  helen/trainset/*.jpg  helen/testset/*.jpg  lfpw/trainset/*.png  lfpw/testset/*.png
    ibug/*.jpg  300W/01_Indoor/*.png  300W/02_Outdoor/*.png
with a .pts beside each picture (any part of it will do), and name that folder with --data.dir, or call it
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


class FolderSource:
    """Faces in a folder.

    Attributes:
        fingerprint: Hash of the listing, of the pictures' sizes and times, and of the settings.
        problems: Those of the listing.
        found: Subset or folder -> found, expected.
    """

    def __init__(self, config: DataConfig) -> None:
        """List the folder.

        Args:
            config: Which folder, which lists, which crop.

        Raises:
            ConfigError: There is no face in it.
        """
        self._config = config
        self._root = find_data_dir(config)
        listing = read_listing(config, self._root)
        if not listing.entries and not listing.problems:
            lists = [name for name in (config.train_list, config.validation_list, config.test_list) if name]
            named = f" in {', '.join(lists)}" if lists else ""
            missing = f"--data.dir {self._root}: holds no face of {config.name}{named}."
            raise ConfigError(NO_300W.format(missing=missing) if config.name == "ibug_300w" else missing)
        check_boxes(listing.entries, config.crop)
        self._entries = listing.entries
        self.problems = listing.problems
        self.found = listing.found
        self.fingerprint = _hash(
            _settings(config),
            config.max_megapixels,
            config.validation_list is None,
            [_identity(self._root, entry) for entry in self._entries],
            [dataclasses.astuple(problem) for problem in self.problems],
            self.found,
        )

    def collect(self) -> tuple[dict[str, list[StoredFace]], list[Problem]]:
        """Decode, cut and encode all faces.

        Returns:
            Split -> faces, and all problems.
        """
        entries, repeated = remove_duplicates(
            self._entries, self._root, by_content_only=not names_photographs(self._config.name)
        )
        stored, unusable = collect_faces(entries, self._root, self._config)
        named = self._config.validation_list is not None or any(e.split == "validation" for e in self._entries)
        splits = assign_splits(stored, hold_out=not named)
        return splits, self.problems + repeated + unusable


class DrawnSource:
    """Faces that flaxmark draws.

    Attributes:
        fingerprint: Hash of the drawing's source and of the settings.
        problems: None.
        found: Split -> faces.
    """

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
        self.fingerprint = _hash(_settings(config), config.drawn_size, self.found, drawing_version())

    def collect(self) -> tuple[dict[str, list[StoredFace]], list[Problem]]:
        """Draw all faces.

        Returns:
            Split -> faces, and no problems.
        """
        return draw_splits(self._seeds, self._config), []


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


def _hash(*parts: object) -> str:
    """SHA-256 of values in their JSON form."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
