"""Why a file cannot be read: the system or a device fails, or something else lies under its name."""

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from flaxmark.errors import DeviceError, FlaxmarkError, StorageError, causes, device_error, is_of_jax
from flaxmark.system.files import error_number

HEAD = 512  # first bytes of a file, which tell all kinds apart
MAX_HEADER = 100_000_000  # bytes; safetensors allows no more

# Errors of the system that say nothing about the content.
_REFUSED = (
    errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.ENOTCONN,
    errno.EHOSTDOWN, errno.EHOSTUNREACH,
)  # fmt: skip
# The same, as remote storages report it.
_REMOTE = re.compile(r"\b(UNAVAILABLE|PERMISSION_DENIED|UNAUTHENTICATED|DEADLINE_EXCEEDED)\b.*")


@contextmanager
def reading(path: Any) -> Iterator[None]:
    """Raise DeviceError or StorageError for errors of reading a file or folder that say nothing about its content."""
    try:
        yield
    except FlaxmarkError:
        raise
    except Exception as error:
        if found := device_error(error):
            found.file = found.file or path
            raise found from error
        for cause in causes(error):
            if is_of_jax(cause):
                raise DeviceError(f"a device fails while this is read ({_line(cause)})", file=path) from error
            if remote := _REMOTE.search(_line(cause)):
                raise StorageError(f"cannot be read: {remote[0]}", file=path) from error
        number = error_number(error)
        if number in _REFUSED:
            assert number is not None
            reason = f"cannot be read: {os.strerror(number).lower()}"
            raise StorageError(reason, file=path) from error
        raise


def _line(error: BaseException) -> str:
    """An error's message without line breaks."""
    return " ".join(str(error).split())


class FileKind(NamedTuple):
    """What a file is, such as `a ZIP archive`, and what to do about it."""

    title: str
    remedy: str

    def __str__(self) -> str:
        """Both, as the reason of an error."""
        return f"is {self.title}; {self.remedy}"


_AGAIN = "get the file itself again"
_UNPACK = "unpack it, and name the file in it"
XML_TEXT = FileKind("an XML text, perhaps a server's error", _AGAIN)
JSON_TEXT = FileKind("a JSON text, perhaps a server's error", _AGAIN)
POINTER = FileKind("a Git LFS pointer, not the file itself", "run git lfs pull in its repository")
SAFETENSORS = FileKind("a safetensors file", "give it the ending .safetensors")
TORCH = FileKind("a file of PyTorch's torch.save", "give it the ending .pth")
VIDEO = FileKind("a video, or an image in HEIC or AVIF", "give it the ending of its kind")
_KINDS: tuple[tuple[bytes, FileKind], ...] = (
    (rb"version https://git-lfs", POINTER),
    (rb"[/.].{0,200}annex/objects/", FileKind("a git-annex pointer, not the file itself", "run git annex get")),
    (rb"(?i)(\xef\xbb\xbf)?\s*(<!doctype html|<html)", FileKind("an HTML page, of an error or a login", _AGAIN)),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", XML_TEXT),
    (rb"(\xef\xbb\xbf)?\s*\{\s*\"", JSON_TEXT),
    (rb"(?s)PK\x03\x04.{26}[^\x00]{0,200}data\.pkl", TORCH),
    (rb"(?s)\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", TORCH),
    (rb"\x80[\x02-\x05]", FileKind("a pickle of Python", "pickles are not read, since they can run programs")),
    (rb"PK\x03\x04", FileKind("a ZIP archive", _UNPACK)),
    (rb"\x1f\x8b", FileKind("a gzip archive", _UNPACK)),
    (rb"BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!", FileKind("a compressed archive", _UNPACK)),
    (rb"(?s).{257}ustar", FileKind("a tar archive", _UNPACK)),
    (rb"\x89HDF\r\n", FileKind("an HDF5 file, as Keras writes", "convert it to .safetensors")),
    (rb"\x93NUMPY", FileKind("a NumPy array", "convert it to .safetensors")),
    (rb"(?s).{4}TFL3", FileKind("a TFLite model", "name the run that it was exported from")),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|(?s:RIFF.{4}WEBP)", FileKind("an image", _AGAIN)),
    (rb"(?s).{4}ftyp", VIDEO),
    (rb"%PDF", FileKind("a PDF document", _AGAIN)),
    (rb"\x00\x05\x16\x07", FileKind("a file of macOS beside the real one", "name the file without ._ in front")),
    (rb"(?s)\x00{16}", FileKind("a file that begins with zeros, as an interrupted copy does", _AGAIN)),
)  # fmt: skip


def kind_of(path: Any) -> FileKind | None:
    """What a file is by its first bytes, and what to do where another kind is needed; None where it is not known.

    For a reader that cannot use the file. Paths of `etils.epath` work, too.
    """
    path = Path(path) if isinstance(path, str) else path
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            return kind_of_bytes(head) or _safetensors(file, head, size)
    except IsADirectoryError:
        return FileKind("a folder", "name the file in it")
    except OSError:
        return None


def kind_of_bytes(content: bytes) -> FileKind | None:
    """What a file is by its content or its first `HEAD` bytes; None where it is not known."""
    if not content:
        return FileKind("an empty file", _AGAIN)
    return next((kind for pattern, kind in _KINDS if re.match(pattern, content)), None)


def reason_for_text(path: Any, reason: str) -> str:
    """Why a text cannot be read: what its file is by its first bytes, or else the reader's own reason."""
    kind = kind_of(path)
    return reason if kind in (None, XML_TEXT, JSON_TEXT) else str(kind)


def _safetensors(file: Any, head: bytes, size: int) -> FileKind | None:
    """A safetensors file (the length of its header in 8 bytes, the header, the tensors), perhaps cut off."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or length > MAX_HEADER:
        return None
    end = 0
    if 8 + length <= size:
        try:
            file.seek(8)
            tensors = json.loads(file.read(length)).values()
            end = max((tensor["data_offsets"][1] for tensor in tensors if "data_offsets" in tensor), default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return None
    cut_off = 8 + length + end > size
    return FileKind(f"a safetensors file that is cut off after {size:,} bytes", _AGAIN) if cut_off else SAFETENSORS
