"""Workdirs in remote storage: the checkpoints are there, the rest is written here and copied at each save."""

import os
from pathlib import Path
from urllib.parse import quote

from etils import epath

from flaxmark.errors import ConfigError
from flaxmark.system.files import atomic_write, write_text

SCHEMES = ("gs://", "file://")  # file:// is a folder of this machine, such as a mounted share
REMOTE = ".remote"
CHECKPOINTS = "checkpoints"


def local_workdir(workdir: str | Path) -> Path:
    """Where a run's own files are written.

    Args:
        workdir: A folder, or a URL such as `gs://bucket/run`: its files are in `runs/bucket+run` then, what is in the
            URL already is fetched, and the folder takes the URL's place for other commands.

    Returns:
        The folder.

    Raises:
        ConfigError: An unknown kind of storage, or one that cannot be reached.
    """
    scheme, separator, rest = str(workdir).partition("://")
    if not separator:
        return Path(workdir)
    relative = scheme == "file" and not rest.startswith("/")
    if scheme + separator not in SCHEMES or relative or not rest.strip("/"):
        raise ConfigError(f"--workdir {workdir}: give a folder, or gs://BUCKET/FOLDER, or file:///FOLDER")
    # Another URL never has the same one: in a quoted name is no +, and only that of file:// starts with one.
    parts = [quote(part) for part in rest.split("/") if part]
    folder = Path("runs", ("+" if scheme == "file" else "") + "+".join(parts))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / REMOTE, f"{workdir}\n")
        fetch(folder)
    except Exception as error:  # of the storage's client, whichever it is
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"--workdir {workdir}: {reason}; is it there, and may you write to it?") from error
    return folder


def remote_of(workdir: Path) -> epath.Path | None:
    """The remote storage of a workdir.

    Args:
        workdir: A local folder.

    Returns:
        None where it has none.
    """
    path = workdir / REMOTE
    if not path.is_file():
        return None
    url = path.read_text(encoding="utf-8").strip()
    return epath.Path(url.removeprefix("file://")) if url.startswith("file://") else epath.Path(url)


def checkpoints_of(workdir: str | Path) -> epath.Path:
    """Where a run's checkpoints are.

    Args:
        workdir: A local folder.

    Returns:
        A folder, here or in its remote storage.
    """
    remote = remote_of(Path(workdir))
    return epath.Path(workdir).absolute() / CHECKPOINTS if remote is None else remote / CHECKPOINTS


def push(workdir: Path) -> None:
    """Copy what a run has written to its remote storage, where it has one.

    Args:
        workdir: A local folder; a hidden file in it stays.
    """
    remote = remote_of(workdir)
    if remote is None:
        return
    for path in sorted(workdir.rglob("*")):
        name = path.relative_to(workdir)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            source, target = epath.Path(path), remote / name.as_posix()
            if not _is_there(source, target):
                _copy(source, target)


def fetch(workdir: Path) -> None:
    """Copy what a run has left in its remote storage, but for the checkpoints, into its local folder.

    Args:
        workdir: With a remote storage.
    """
    remote = remote_of(workdir)
    assert remote is not None
    remote.mkdir(parents=True, exist_ok=True)
    folders = [remote]
    for folder in folders:
        for path in folder.iterdir():
            if path.is_dir() and path.name not in (CHECKPOINTS, "damaged"):
                folders.append(path)
            elif path.is_file():
                _copy(path, epath.Path(workdir) / os.path.relpath(str(path), str(remote)))


def _is_there(source: epath.Path, target: epath.Path) -> bool:
    """Whether a copy has been made since the file was written: nothing is read back from afar at each save."""
    if not target.exists():
        return False
    copy, original = target.stat(), source.stat()
    return copy.length == original.length and copy.mtime > original.mtime


def _copy(source: epath.Path, target: epath.Path) -> None:
    """Copy a file so that it is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as temporary:
        temporary.write_bytes(source.read_bytes())
