"""Inputs of the predict command: images, videos, folders and patterns."""

import dataclasses
import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from flaxmark.data.images import ADDRESS, SUFFIXES
from flaxmark.errors import ConfigError
from flaxmark.system.files import is_address

# Image formats that cannot be read; in a folder they are reported as unreadable.
OTHER_SUFFIXES = frozenset(
    {".jxl", ".jp2", ".j2k", ".tga", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".m2v", ".vob", ".ogv", ".wmv", ".asf", ".flv"}
    | {".f4v", ".3gp", ".3g2", ".ts", ".mts", ".m2ts", ".mxf"}
)
SHOWN = 8  # suffixes of files that are passed over


@dataclasses.dataclass(frozen=True)
class Input:
    """An image or video file.

    Attributes:
        path: Its path.
        name: Relative path without `..` from which names of results are made: relative to the folder that was given,
            or to the part of a pattern before its first wildcard; else the file's name.
    """

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """Whether its suffix is that of a video."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(
    names: Sequence[str], not_in: Sequence[Path] = (), passed_over: Counter[str] | None = None
) -> list[Input]:
    """Find the files of inputs: files, folders, and patterns with `*`, `?` and `**` that the shell has not expanded.

    Folders are searched recursively without hidden files, links to folders, and the folders `not_in` (for drawings,
    which may lie among the images). The order is that of the names; files of a folder or pattern are sorted; a file
    comes once. `passed_over` counts the other files of folders by their suffix.

    Raises ConfigError for no name, an address, and a folder or pattern without files.
    """
    if not names:
        raise ConfigError("no input; give images, folders, patterns or videos")
    found: dict[Path, Input] = {}
    for name in names:
        path = Path(name)
        if not name:
            raise ConfigError("an input is empty (''); give images, folders, patterns or videos")
        if os.path.isdir(name):
            other = Counter[str]()
            inputs = [Input(file, file.relative_to(path).as_posix()) for file in _walk(path, not_in, other)]
            if not inputs:
                but = f", but {count_suffixes(other)}" if other else ""
                raise ConfigError(f"no image or video in this folder{but}; suffixes are {_suffixes()}", file=name)
            if passed_over is not None:
                passed_over.update(other)
        elif is_address(name):
            raise ConfigError(ADDRESS, file=name)
        elif os.path.exists(name) or not glob.has_magic(name):
            inputs = [Input(path, path.name)]  # a missing file is reported as unreadable
        else:
            matches = sorted(match for match in glob.glob(name, recursive=True) if os.path.isfile(match))
            if not matches:
                raise ConfigError("this pattern matches no file", file=name)
            fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
            inputs = [Input(Path(match), Path(match).relative_to(fixed).as_posix()) for match in matches]
        for item in inputs:
            found.setdefault(item.path.absolute(), item)
    return list(found.values())


def is_file_name(place: Path) -> bool:
    """Whether `--draw` names a file: a path with the suffix of an image or video that is not a folder."""
    return place.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES | OTHER_SUFFIXES | {".pdf", ".svg"} and not place.is_dir()


def count_suffixes(files: Counter[str]) -> str:
    """Numbers of files by suffix, the most frequent first, as text: `12 .txt, 1 .pdf, 2 without a suffix`."""
    shown = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in files.most_common(SHOWN)]
    rest = files.total() - sum(count for _, count in files.most_common(SHOWN))
    return ", ".join([*shown, f"{rest:,} others"] if rest else shown)


def _walk(folder: Path, not_in: Sequence[Path], other: Counter[str]) -> Iterator[Path]:
    """Images and videos in a folder and its subfolders, sorted; `other` counts what else is there by suffix."""
    left_out = {path.absolute() for path in not_in}
    for path, folders, files in os.walk(folder):
        below = [name for name in folders if not name.startswith(".")]
        folders[:] = sorted(name for name in below if Path(path, name).absolute() not in left_out)
        for file in (Path(path, name) for name in sorted(files) if not name.startswith(".")):
            suffix = file.suffix.lower()
            if suffix in SUFFIXES | VIDEO_SUFFIXES | OTHER_SUFFIXES and not _is_typescript(file):
                yield file
            else:
                other[suffix] += 1


def _is_typescript(file: Path) -> bool:
    """Whether a file .ts is not an MPEG transport stream, whose packets of 188 bytes start with a G each."""
    if file.suffix.lower() != ".ts":
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(189)[::188] != b"GG"
    except OSError:
        return False  # reported as unreadable


def _suffixes() -> str:
    return ", ".join(sorted(SUFFIXES | VIDEO_SUFFIXES))
