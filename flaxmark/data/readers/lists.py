"""Text files that name faces, one a line."""

import dataclasses
import os
from pathlib import Path

from flaxmark.errors import DataError
from flaxmark.system.files import user_path

MAX_BYTES = 40_000_000  # in memory it takes up to 70 times as much; 10,000 faces of 98 points have 35 MB at most


@dataclasses.dataclass(frozen=True)
class ListedName:
    """A line of a list."""

    file: str
    """The name, with forward slashes as separators; untrusted."""
    where: str
    """List and line, for messages."""


def check_size(path: Path, max_bytes: int = MAX_BYTES, field: str | None = None) -> None:
    """Refuse an existing file that would take too much memory; DataError names the file, and the field if given."""
    if path.stat().st_size > max_bytes:
        raise DataError(f"above {max_bytes // 10**6} MB, not a list of faces", field=field, file=path)


def find_list(name: str, root: Path, field: str, max_bytes: int = MAX_BYTES) -> Path:
    """Find the list that a config field names: as given, or below the data set's folder `root`.

    Raises DataError where it does not exist, is a folder or is larger than `max_bytes`.
    """
    for path in (user_path(name), root / name):
        if path.is_file():
            check_size(path, max_bytes, field)
            return path
        if path.is_dir():
            raise DataError("is a folder; name a file", field=field, value=name)
    raise DataError(f"no such file, neither here nor below {root}", field=field, value=name)


def read_list(name: str, root: Path, field: str) -> list[ListedName]:
    """Read the list that a config field names; DataError where it does not exist or names no face.

    Blank lines and lines that start with # are left out: `#1.jpg` is written `./#1.jpg`. Backslashes count as slashes,
    unless there is a file of that very name.
    """
    path = find_list(name, root, field)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    names = [
        ListedName(
            (line if os.path.lexists(root / line) else line.replace("\\", "/")).removeprefix("./"), f"{path}:{number}"
        )
        for number, line in stripped
        if line and not line.startswith("#")
    ]
    if not names:
        raise DataError(f"names no face; write one path a line, relative to {root}", field=field, file=path)
    return names
