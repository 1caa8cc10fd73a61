"""The file that results grow in until they are complete."""

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from flaxmark.errors import ConfigError, StorageError
from flaxmark.system.files import new_folder, try_lock, write_text

Format = Literal["jsonl", "csv", "pts", "coco"]
PARTIAL = ".partial"
# Column and key with an image's path; files of earlier versions have `picture`.
IMAGE_KEYS = ("file", "image", "picture")


class PartialResults:
    """Results of a run under way: `OUT.partial` beside them, or `predict.partial` in a folder of .pts files.

    It belongs to one process at a time, outlives the process, and takes the place of the results when they are
    complete. JSON lines and CSV are written as they will be; of other formats it has a line of JSON for each image.

    Attributes:
        out: The file or folder of the results.
        path: The partial file.
        done: Keys of the images that it has, see `key_of`.
        replaces: Whether files of `out` may be replaced.
    """

    def __init__(self, form: Format, out: Path, overwrite: bool = False, resume: bool = False) -> None:
        """Open it for this process alone.

        With `resume`, what an interrupted run has left goes on after its last whole line, or what `out` has where
        nothing is left. Raises ConfigError where another process writes it, where it is left without `resume` and
        `overwrite`, or where it does not belong to `out`; StorageError where it cannot be written.
        """
        self.form, self.out = form, out
        self.path = out / f"predict{PARTIAL}" if form == "pts" else out.with_name(out.name + PARTIAL)
        if form == "pts":
            new_folder("out", out)
        self._file = _open_locked(self.path, out)
        try:
            self.replaces = overwrite or resume
            left = self._file.read()
            if left and not self.replaces:
                reason = f"an interrupted run has left {self.path}; --resume goes on with it, --overwrite starts anew"
                raise ConfigError(reason, field="out", value=out)
            if form != "pts" and out.exists() and not self.replaces:  # another process has just completed it
                raise ConfigError("exists; give another name or --overwrite", field="out", value=out)
            if form == "pts" and not left:
                self.replaces = overwrite  # files of another run, not of an interrupted one
            kept = self._kept(left, overwrite) if resume else b""
            self.done = _images(kept, form, out)
            self.first_line = kept.split(b"\n", 1)[0].decode("utf-8")
            self._begin(left, kept)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "PartialResults":
        """It is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def key_of(self, path: Path, name: str) -> str:
        """What an image is known by: its name in the data set for COCO, else its path."""
        return name if self.form == "coco" else path.as_posix()

    def write(self, text: str) -> None:
        """Append whole lines at once."""
        self._append(text.encode("utf-8", "backslashreplace"))

    def lines(self) -> Iterator[str]:
        """All lines that it has."""
        with self.path.open(encoding="utf-8", newline="\n") as stream:
            yield from stream

    def how_to_go_on(self) -> str:
        """What has become of the results of an interrupted run, and how it goes on."""
        return f"{self.path} has what is done; the same command with --resume goes on"

    def complete(self, document: str | None = None) -> None:
        """Put the file, or the document made of it, in the place of the results; a folder has them already."""
        if self.form != "pts" and self.path.stat().st_size:
            if self.out.exists() and not self.replaces:
                raise ConfigError(f"exists by now; {self.path} has the results", field="out", value=self.out)
            if document is None:
                self.path.replace(self.out)
            else:
                write_text(self.out, document)
        self.path.unlink(missing_ok=True)
        self._file.close()

    def close(self) -> None:
        """Give it free for other processes; an empty one is removed."""
        if not self._file.closed:
            with contextlib.suppress(OSError):
                if not self.path.stat().st_size:
                    self.path.unlink()
            self._file.close()

    def _kept(self, left: bytes, overwrite: bool) -> bytes:
        """The whole lines to go on with: those that are left, or of the results where those have more."""
        left = _whole(left, self.form)
        if self.form == "pts" or not self.out.exists() or (overwrite and left):
            return left
        results = _results_as_lines(self.form, self.out)
        if left.startswith(results):
            return left
        if results.startswith(left):
            return results
        reason = f"{self.path} has other results than this file; --overwrite --resume goes on with {self.path.name}"
        raise ConfigError(reason, field="out", value=self.out)

    def _begin(self, left: bytes, kept: bytes) -> None:
        """Let the file have the lines that are kept, and stand at their end."""
        if not left.startswith(kept):
            self._file.seek(0)
            self._file.truncate()
            self._append(kept)
        self._file.truncate(len(kept))
        self._file.seek(len(kept))

    def _append(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise StorageError(f"{error.strerror}; {self.how_to_go_on()}", field="out", value=self.out) from error


def _open_locked(path: Path, out: Path) -> Any:
    """Open a file, new or old, that this process alone may write."""
    try:
        while True:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
            if not try_lock(file.fileno()):
                file.close()
                raise ConfigError("another flaxmark predict is writing it; give another name", field="out", value=out)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
            file.close()  # its last process has just completed it
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", field="out", value=out) from error


def _whole(content: bytes, form: Format) -> bytes:
    """The whole lines of a file whose last one may be torn; of a CSV file the whole images."""
    whole = content[: content.rfind(b"\n") + 1]
    if form != "csv" or whole == content:
        return whole
    lines = [line + b"\n" for line in whole.split(b"\n")[:-1]]
    last = _first_cell(lines[-1]) if lines else None
    while len(lines) > 1 and _first_cell(lines[-1]) == last:
        lines.pop()
    return b"".join(lines)


def _first_cell(line: bytes) -> str:
    return next(csv.reader([line.decode("utf-8", "replace")]), [""])[0]


def _results_as_lines(form: Format, out: Path) -> bytes:
    """Complete results as the partial file has them."""
    content = out.read_bytes()
    if form == "coco":
        try:
            return "".join(json.dumps(line) + "\n" for line in _coco_lines(json.loads(content))).encode()
        except (ValueError, KeyError, TypeError) as error:
            raise _not_ours(form, out) from error
    return content + b"\n" if content and not content.endswith(b"\n") else content


def _coco_lines(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An entry for each image of a COCO file, with its annotations; neither has an id."""
    of_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        own = {key: value for key, value in annotation.items() if key not in ("id", "image_id")}
        of_image[annotation["image_id"]].append(own)
    for image in document["images"]:
        number = image.pop("id")
        yield {"image": image["file_name"], "entry": image, "annotations": of_image[number]}


def _images(content: bytes, form: Format, out: Path) -> set[str]:
    """Keys of the images in the lines of a partial file; ConfigError if it is none of this format."""
    try:
        lines = io.StringIO(content.decode("utf-8"), newline="\n")
        rows: Any = csv.DictReader(lines) if form == "csv" else map(json.loads, lines)
        return {next(row[key] for key in IMAGE_KEYS if key in row) for row in rows}
    except (ValueError, StopIteration, TypeError, KeyError, AttributeError, csv.Error) as error:
        raise _not_ours(form, out) from error


def _not_ours(form: Format, out: Path) -> ConfigError:
    return ConfigError(f"is not a {form} file of predict, and cannot be resumed", field="out", value=out)
