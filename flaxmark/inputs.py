"""What a person names on the command line: pictures, folders, patterns, videos."""

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from flaxmark.config import ConfigError
from flaxmark.data.pictures import SUFFIXES

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ogv", ".wmv"})


@dataclasses.dataclass(frozen=True)
class Input:
    """A file to look at.

    Attributes:
        path: Where it is.
        name: What results call it and are called after: a path without `..` or a leading `/`; below a folder that
            was named, relative to that folder.
    """

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """By its ending."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(names: Sequence[str]) -> list[Input]:
    """Find all files that are named.

    Args:
        names: Files, folders (searched through, hidden ones and links to folders left out), or patterns with `*`,
            `?` and `**` for shells that pass them on.

    Returns:
        In their order, those of a folder or a pattern sorted; a file that is named twice comes once.

    Raises:
        ConfigError: A name that leads to no file, or nothing at all.
    """
    if not names:
        raise ConfigError("no input: name pictures, folders, patterns or a video")
    found: dict[Path, Input] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            inputs = [Input(file, file.relative_to(path).as_posix()) for file in _walk(path)]
            if not inputs:
                raise ConfigError(f"{name}: no picture or video in this folder; endings are {_endings()}")
        elif path.exists() or not glob.has_magic(name):
            inputs = [Input(path, path.name)]  # a file that is not there is among the broken ones
        else:
            matches = sorted(match for match in glob.glob(name, recursive=True) if os.path.isfile(match))
            if not matches:
                raise ConfigError(f"{name}: this pattern matches no file")
            inputs = [Input(Path(match), Path(match).name) for match in matches]
        for item in inputs:
            found.setdefault(item.path.absolute(), item)
    return list(found.values())


def _walk(folder: Path) -> Iterator[Path]:
    """Pictures and videos of a folder and all below it, sorted."""
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            if Path(file).suffix.lower() in SUFFIXES | VIDEO_SUFFIXES and not file.startswith("."):
                yield Path(path, file)


def _endings() -> str:
    return ", ".join(sorted(SUFFIXES | VIDEO_SUFFIXES))
