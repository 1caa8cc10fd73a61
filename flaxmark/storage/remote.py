"""Workdirs in remote storage: checkpoints are written there, other files locally and copied at each save."""

import os
from pathlib import Path
from urllib.parse import quote

from etils import epath

from flaxmark.errors import ConfigError, StorageError
from flaxmark.system.files import atomic_write, user_path, write_text

SCHEMES = ("gs://", "file://")  # file:// is a folder of this machine, such as a mounted share
REMOTE = ".remote"
CHECKPOINTS = "checkpoints"
PRETRAINING = "pretraining"
"""Folder of the run that a run's weights come from: a workdir of its own."""


def local_workdir(workdir: str | Path) -> Path:
    """The local folder of a workdir: itself, or `runs/bucket+run` for a URL such as `gs://bucket/run`.

    The files that the URL has already are copied there, but for the checkpoints; other commands take the folder.
    Raises ConfigError for an unknown kind of storage, StorageError for one that cannot be reached or written.
    """
    scheme, separator, rest = str(workdir).partition("://")
    if not separator:
        return user_path(workdir)
    relative = scheme == "file" and not rest.startswith("/")
    if scheme + separator not in SCHEMES or relative or not rest.strip("/"):
        reason = "give a folder, or gs://BUCKET/FOLDER, or file:///FOLDER"
        raise ConfigError(reason, field="workdir", value=workdir)
    # No two URLs share a folder: a quoted name contains no +, and only that of file:// starts with one.
    parts = [quote(part) for part in rest.split("/") if part]
    folder = Path("runs", ("+" if scheme == "file" else "") + "+".join(parts))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / REMOTE, f"{workdir}\n")
        fetch(folder)
    except Exception as error:  # of the storage's client, whichever it is
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        reason = f"{reason}; does it exist, and can you write to it?"
        raise StorageError(reason, field="workdir", value=workdir) from error
    return folder


def remote_of(workdir: Path) -> epath.Path | None:
    """The remote folder of a local workdir, or None."""
    path = workdir / REMOTE
    if not path.is_file():
        return None
    url = path.read_text(encoding="utf-8").strip()
    return epath.Path(url.removeprefix("file://")) if url.startswith("file://") else epath.Path(url)


def checkpoints_of(workdir: str | Path) -> epath.Path:
    """The folder of a run's checkpoints, local or in its remote storage."""
    remote = remote_of(Path(workdir))
    return epath.Path(workdir).absolute() / CHECKPOINTS if remote is None else remote / CHECKPOINTS


def saved_checkpoints(workdir: str | Path) -> list[epath.Path]:
    """The checkpoints of a run, oldest first, without what an unfinished save has left."""
    found = [path for path in checkpoints_of(workdir).glob("*") if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def push(workdir: Path) -> None:
    """Copy the files of a local workdir, but for hidden ones, to its remote storage, where it has one."""
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
    """Copy the files of a workdir's remote storage, but for the checkpoints, into the local folder."""
    remote = remote_of(workdir)
    assert remote is not None
    remote.mkdir(parents=True, exist_ok=True)
    folders = [remote]
    for folder in folders:
        for path in folder.iterdir():
            if path.is_dir() and path.name not in (CHECKPOINTS, "damaged", PRETRAINING):
                folders.append(path)
            elif path.is_file():
                _copy(path, epath.Path(workdir) / os.path.relpath(str(path), str(remote)))


def _is_there(source: epath.Path, target: epath.Path) -> bool:
    """Whether a copy is newer than the file, by size and time, so that no save reads anything back."""
    if not target.exists():
        return False
    copy, original = target.stat(), source.stat()
    return copy.length == original.length and copy.mtime > original.mtime


def _copy(source: epath.Path, target: epath.Path) -> None:
    """Copy a file atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as temporary:
        temporary.write_bytes(source.read_bytes())
