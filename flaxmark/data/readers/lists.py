"""Text files that name faces, one a line."""

import dataclasses
import os
from pathlib import Path

from flaxmark.errors import ConfigError

MAX_BYTES = 40_000_000  # in memory it takes up to 70 times as much; 10,000 faces of 98 points have 35 MB at most


@dataclasses.dataclass(frozen=True)
class ListedName:
    """A line of a list.

    Attributes:
        file: The name as written, with forward slashes where they divide it; untrusted.
        where: List and line, for messages.
    """

    file: str
    where: str


def check_size(path: Path, where: str, max_bytes: int = MAX_BYTES) -> None:
    """Refuse a file that would take more memory than there may be.

    Args:
        path: An existing file.
        where: Starts the message.
        max_bytes: The limit.

    Raises:
        ConfigError: It is larger.
    """
    if path.stat().st_size > max_bytes:
        raise ConfigError(f"{where}: above {max_bytes // 10**6} MB, not a list of faces")


def find_list(name: str, root: Path, flag: str, max_bytes: int = MAX_BYTES) -> Path:
    """Find a list as it is given, then below the data set's folder.

    Args:
        name: What the user gave.
        root: The data set's folder.
        flag: The option, for the message.
        max_bytes: Larger files are refused.

    Returns:
        An existing file of acceptable size.

    Raises:
        ConfigError: There is none.
    """
    for path in (Path(name).expanduser(), root / name):
        if path.is_file():
            check_size(path, f"{flag} {path}", max_bytes)
            return path
        if path.is_dir():
            raise ConfigError(f"{flag} {name}: is a folder; name a file")
    raise ConfigError(f"{flag} {name}: no such file, neither here nor below {root}")


def read_list(name: str, root: Path, flag: str) -> list[ListedName]:
    """Read a list; blank lines and lines that start with # are left out: `#1.jpg` is written `./#1.jpg`.

    Backslashes count as slashes, unless there is a file of that very name.

    Args:
        name: What the user gave.
        root: The data set's folder.
        flag: The option, for messages.

    Returns:
        The names in their order.

    Raises:
        ConfigError: No such file, or no name in it.
    """
    path = find_list(name, root, flag)
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
        raise ConfigError(f"{flag} {path}: names no face; write one path a line, relative to {root}")
    return names
