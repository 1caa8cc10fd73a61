"""What a person names on the command line: images, folders, patterns, videos."""

import dataclasses
import glob
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from flaxmark.data.images import SUFFIXES
from flaxmark.errors import ConfigError

# Images that cannot be read: in a folder they are counted among the broken ones.
OTHER_SUFFIXES = frozenset(
    {".heic", ".heif", ".avif", ".jxl", ".jp2", ".tga", ".psd"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
)
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ogv", ".wmv"})


@dataclasses.dataclass(frozen=True)
class Input:
    """A file to look at.

    Attributes:
        path: Where it is.
        name: What files made of it are called after: a path without `..` or a leading `/`; below a folder that was
            named, or the part of a pattern before its first `*`, relative to that.
    """

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """By its ending."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(names: Sequence[str], not_in: Path | None = None) -> list[Input]:
    """Find all files that are named.

    Args:
        names: Files, folders (searched through, hidden ones and links to folders left out), or patterns with `*`,
            `?` and `**` for shells that pass them on.
        not_in: A folder that is not searched: that of the drawings, which may lie among the images.

    Returns:
        In their order, those of a folder or a pattern sorted; a file that is named twice comes once.

    Raises:
        ConfigError: A name that leads to no file, or nothing at all.
    """
    if not names:
        raise ConfigError("no input: name images, folders, patterns or a video")
    found: dict[Path, Input] = {}
    for name in names:
        path = Path(name)
        if not name:
            raise ConfigError("an input is empty (''): name images, folders, patterns or a video")
        if os.path.isdir(name):
            inputs = [Input(file, file.relative_to(path).as_posix()) for file in _walk(path, not_in)]
            if not inputs:
                raise ConfigError(f"{name}: no image or video in this folder; endings are {_endings()}")
        elif os.path.exists(name) or not glob.has_magic(name):
            inputs = [Input(path, path.name)]  # a file that is not there is among the broken ones
        else:
            matches = sorted(match for match in glob.glob(name, recursive=True) if os.path.isfile(match))
            if not matches:
                raise ConfigError(f"{name}: this pattern matches no file")
            fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
            inputs = [Input(Path(match), Path(match).relative_to(fixed).as_posix()) for match in matches]
        for item in inputs:
            found.setdefault(item.path.absolute(), item)
    return list(found.values())


def is_file_name(place: Path) -> bool:
    """Whether `--draw` means a file: by its ending, unless there is a folder of that name.

    Args:
        place: What `--draw` says.

    Returns:
        False where it means a folder.
    """
    return place.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES | OTHER_SUFFIXES | {".pdf", ".svg"} and not place.is_dir()


def _walk(folder: Path, not_in: Path | None) -> Iterator[Path]:
    """Images and videos of a folder and all below it, sorted."""
    left_out = None if not_in is None else not_in.absolute()
    for path, folders, files in os.walk(folder):
        below = [name for name in folders if not name.startswith(".")]
        folders[:] = sorted(name for name in below if Path(path, name).absolute() != left_out)
        for file in sorted(files):
            if Path(file).suffix.lower() in SUFFIXES | VIDEO_SUFFIXES | OTHER_SUFFIXES and not file.startswith("."):
                yield Path(path, file)


def _endings() -> str:
    return ", ".join(sorted(SUFFIXES | VIDEO_SUFFIXES))
