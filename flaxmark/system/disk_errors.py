"""What a file system refuses, in one line: a full disk, a quota, a folder that is read-only or gone."""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flaxmark.errors import ConfigError

# Only writing ends with these, whatever was written.
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REMEDIES = {
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EROFS: "make it writable",
}
# These also come from reading something else: they count where the file is one of the folder's.
_REMEDIES_INSIDE = {
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.ENOENT: "bring it back, or start anew in another folder",
    errno.ENOTDIR: "bring it back, or start anew in another folder",
    errno.ESTALE: "mount it again",
    errno.EIO: "look after the disk",
}


@contextmanager
def storage_errors(folder: Path, kept: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turn errors of writing in a folder into one line for its owner.

    Args:
        folder: Where everything is written.
        kept: What is safe, for the end of the line.

    Raises:
        ConfigError: A write has failed, here or in the background.
    """
    own = folder.stat().st_ino
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # orbax wraps what the system says in errors of several kinds
        number = error_number(error)
        remedy = _remedy(number, error, folder)
        if remedy is None:
            time.sleep(1.0)  # a folder that is just being removed has gone by then
        if not folder.exists() or folder.stat().st_ino != own:  # orbax may have made some of it again
            raise ConfigError(f"{folder}: has gone; {_REMEDIES_INSIDE[errno.ENOENT]}") from error
        if number is None or remedy is None:
            raise
        raise ConfigError(f"{folder}: {os.strerror(number).lower()}; {remedy}{kept()}") from error


def error_number(error: BaseException | None) -> int | None:
    """What the system said.

    Args:
        error: From Python, or from tensorstore or TensorFlow, which only quote the number or the text; its causes are
            searched, too.

    Returns:
        An `errno`, or None.
    """
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
    """What to do about it; None where the folder has nothing to do with it."""
    if number in _FULL:
        return "free some space"
    if number in _REMEDIES:
        return _REMEDIES[number]
    inside = str(folder.absolute()) in str(error) or str(folder) in str(getattr(error, "filename", None))
    return _REMEDIES_INSIDE.get(number) if inside and number is not None else None
