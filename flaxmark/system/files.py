"""Files and folders: atomic writes, output paths, and what a file system refuses (a full disk, missing permission)."""

import contextlib
import errno
import functools
import itertools
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from flaxmark.errors import ConfigError, FlaxmarkError, StorageError

_numbers = itertools.count()

# Only writing ends with these, whatever was written.
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REMEDIES = {
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EROFS: "make it writable",
}
# These also come from reading something else: they count where the file lies in the folder.
_REMEDIES_INSIDE = {
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.ENOENT: "bring it back, or start anew in another folder",
    errno.ENOTDIR: "bring it back, or start anew in another folder",
    errno.ESTALE: "mount it again",
    errno.EIO: "check the disk",
}


@contextlib.contextmanager
def atomic_write(path: Path, temporary_name: str | None = None) -> Iterator[Path]:
    """Write a file or folder so that readers only ever find a complete one.

    Yields a new path beside it, with the same suffix; what is written there takes the place of `path` at the end, and
    is removed after an error. Nothing happens to `path` where nothing is written. Paths of `etils.epath` work, too.

    A fixed `temporary_name` is for a target that one process writes at a time: the next one removes what a killed one
    has left there.
    """
    temporary = path.with_name(temporary_name or f".{os.getpid()}.{next(_numbers)}.tmp{path.suffix}")
    try:
        if temporary_name is not None:
            remove(temporary)
        yield temporary
        if temporary.exists():
            if temporary.is_dir():
                remove(path)
            temporary.replace(path)
    except BaseException:
        remove(temporary)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; an existing file is replaced."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder with its content, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def user_path(name: str | Path) -> Path:
    """A path that the user has named, with the home folder in place of a leading `~`.

    Shells leave it after `--flag=`. Raises ConfigError where this user has no home folder.
    """
    path = Path(os.path.expanduser(name))
    if path.parts[:1] == ("~",):
        raise ConfigError("there is no home folder here; set HOME, or give the whole path", value=name)
    return path


def cache_dir() -> Path:
    """The user's cache folder for prepared data sets and compiled programs.

    Where there is no home folder or it cannot be written, as in containers, it is a temporary one of the same user.
    """
    if os.environ.get("XDG_CACHE_HOME"):
        return user_path(os.environ["XDG_CACHE_HOME"]) / "flaxmark"
    home = os.path.expanduser("~")
    folder = Path(home, ".cache", "flaxmark")
    return folder if os.path.isabs(home) and _can_be_made(folder) else _temporary_cache()


def _can_be_made(folder: Path) -> bool:
    """Whether a folder can be written, or created where it does not exist."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(existing, os.W_OK | os.X_OK)


@functools.cache
def _temporary_cache() -> Path:
    """A cache folder that no other user can write into, the same for all processes where that can be."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir(), f"flaxmark-{user}")
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
            return folder
    return Path(tempfile.mkdtemp(prefix="flaxmark-"))


def is_address(name: str) -> bool:
    """Whether a name is not of a file, but of something elsewhere: https://, gs:// and the like."""
    return re.match("[A-Za-z][A-Za-z0-9+.-]+:/", name) is not None and not os.path.exists(name)


def _refuse_address(field: str, name: str | Path) -> None:
    """Raise ConfigError for a path that is an address, or -, where a file or folder is written."""
    if is_address(str(name)):  # a path has lost its second slash
        raise ConfigError("is an address; write to this machine and upload it from there", field=field, value=name)
    if str(name) == "-":
        raise ConfigError("means standard output, which cannot be used here; give a name", field=field, value=name)


def try_lock(file: int) -> bool:
    """Whether this process has, from now until it closes the descriptor or ends, the lock of an open file.

    Also true where there are no locks: on Windows, and on file systems such as Lustre without the option `flock`.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def new_file(out: str | None, overwrite: bool, endings: tuple[str, ...]) -> Path | None:
    """Check the value of `--out` before anything slow starts, and return its path, or None where it is not given.

    `endings` are the allowed suffixes with their dots; "" stands for a folder. Raises ConfigError for another suffix, a
    file that exists without `overwrite`, and a missing folder; StorageError for a folder without write permission.
    """
    if out is None:
        return None
    _refuse_address("out", out)
    path = Path(out)
    if path.suffix.lower() not in endings:
        raise ConfigError(f"the ending must be {' or '.join(endings)}", field="out", value=out)
    if not path.parent.is_dir():
        raise ConfigError(f"no folder {path.parent}", field="out", value=out)
    try:
        with tempfile.TemporaryFile(dir=path.parent):  # permissions do not tell of /proc, nor of a full disk
            pass
    except OSError as error:
        reason = f"the folder {path.parent} cannot be written"
        raise StorageError(reason, field="out", value=out) from error
    if path.is_dir() and "" not in endings:
        raise ConfigError("is a folder; name a file", field="out", value=out)
    if path.exists() and not overwrite:
        raise ConfigError("exists; give another name or --overwrite", field="out", value=out)
    return path


def new_folder(field: str, name: str | Path) -> Path:
    """Create the folder that an argument names, if needed; StorageError where it cannot be created or written."""
    _refuse_address(field, name)
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StorageError("is a file, not a folder", field=field, value=name) from error
    except OSError as error:
        raise StorageError(f"{error.strerror}; name a folder that can be written", field=field, value=name) from error
    if not os.access(path, os.W_OK):
        raise StorageError("cannot be written; name another folder", field=field, value=name)
    return path


@contextlib.contextmanager
def storage_errors(folder: Path, kept: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turn errors of writing below a folder, here or in the background, into a StorageError of one line.

    `kept` gives the end of the line: what has been saved. Errors that have nothing to do with the folder pass.
    """
    own = folder.stat().st_ino
    try:
        yield
    except FlaxmarkError:
        raise
    except Exception as error:  # orbax wraps the system's errors in several kinds of its own
        number = error_number(error)
        remedy = _remedy(number, error, folder)
        if remedy is None:
            time.sleep(1.0)  # a folder that is being removed has disappeared by then
        if not folder.exists() or folder.stat().st_ino != own:  # orbax may have made some of it again
            raise StorageError(f"has gone; {_REMEDIES_INSIDE[errno.ENOENT]}", file=folder) from error
        if number is None or remedy is None:
            raise
        raise StorageError(f"{os.strerror(number).lower()}; {remedy}{kept()}", file=folder) from error


def error_number(error: BaseException | None) -> int | None:
    """The system's `errno` in an error or its causes; tensorstore and TensorFlow only quote the number or the text."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
            return int(found[1])
        for number in (*_FULL, *_REMEDIES):
            if os.strerror(number) in str(error):
                return number
        error = error.__cause__ or error.__context__
    return None


def _remedy(number: int | None, error: BaseException, folder: Path) -> str | None:
    """What to do about an error; None where it is not about the folder."""
    if number in _FULL:
        return "free some space"
    if number in _REMEDIES:
        return _REMEDIES[number]
    inside = str(folder.absolute()) in str(error) or str(folder) in str(getattr(error, "filename", None))
    return _REMEDIES_INSIDE.get(number) if inside and number is not None else None
