"""The user's cache folder, and files that are there whole or not at all."""

import os
from pathlib import Path

from flaxmark.errors import ConfigError, StorageError


def replace_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all.

    Args:
        path: Replaced if it exists.
        text: UTF-8.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def cache_dir() -> Path:
    """The user's cache folder for prepared data sets and compiled programs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flaxmark"


def new_file(out: str | None, overwrite: bool, endings: tuple[str, ...]) -> Path | None:
    """Refuse a file that `--out` may not be, before anything slow starts.

    Args:
        out: The argument.
        overwrite: It may exist.
        endings: Which ones it may have, with their dots; "" for a folder.

    Returns:
        Its path, or None where there is no `--out`.

    Raises:
        ConfigError: Wrong ending, no folder that can be written, or it exists.
    """
    if out is None:
        return None
    path = Path(out)
    if path.suffix.lower() not in endings:
        raise ConfigError(f"the ending must be {' or '.join(endings)}", field="out", value=out)
    if not path.parent.is_dir():
        raise ConfigError(f"no folder {path.parent}", field="out", value=out)
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"the folder {path.parent} cannot be written", field="out", value=out)
    if path.is_dir() and "" not in endings:
        raise ConfigError("is a folder; name a file", field="out", value=out)
    if path.exists() and not overwrite:
        raise ConfigError("exists; give another name or --overwrite", field="out", value=out)
    return path


def new_folder(field: str, name: str | Path) -> Path:
    """Make a folder, before anything slow starts.

    Args:
        field: The argument that names it.
        name: It may exist.

    Returns:
        Its path.

    Raises:
        ConfigError: It cannot be made or written.
    """
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{error.strerror}; name a folder that can be written", field=field, value=name) from error
    if not os.access(path, os.W_OK):
        raise StorageError("cannot be written; name another folder", field=field, value=name)
    return path
