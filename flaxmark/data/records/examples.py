"""The faces of a split: numbers in memory, encoded images on disk."""

import dataclasses
import os
import weakref
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from flaxmark.data.records.face_index import FaceIndex, prepare_again
from flaxmark.errors import DataError


class Records(Protocol):
    """Encoded images by index: files of records, or a list of bytes."""

    def __getitem__(self, index: int, /) -> bytes:
        """The JPEG of one region; may be called from several threads."""
        ...


@dataclasses.dataclass(frozen=True)
class Examples:
    """A split, sorted by file; its encoded regions stay on disk and are read by index."""

    landmarks: Float[np.ndarray, "n num_points 2"]
    """float32, crop units."""
    crops: Float[np.ndarray, "n 3"]
    """float32: left, top, side in pixels of the decoded JPEG."""
    boxes: Float[np.ndarray, "n 4"]
    """float32: left, top, right, bottom in pixels of the original image."""
    source_crops: Float[np.ndarray, "n 3"]
    """float32: the crops in pixels of the original image."""
    visible: Float[np.ndarray, "n num_points"]
    """float32: 1 for a point that is seen, 0 for a hidden one, NaN where that is not known."""
    subsets: list[str]
    """What metrics are reported for."""
    photographs: list[str]
    """Identifiers that faces of one photograph share."""
    files: list[str]
    """Original images, relative to the data set's folder."""
    region_size: int
    """Side in pixels of the smallest square, a multiple of 16, that holds every stored region of the data set, in
    whatever split."""
    records: Records
    """The encoded regions."""

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.landmarks)

    def encoded(self, index: int) -> bytes:
        """JPEG file of one face's region; DataError where it cannot be read or is not what was written."""
        return self.records[index]

    def checksums(self) -> list[int]:
        """CRC-32 of each face's encoded region."""
        if isinstance(self.records, StoredRecords):
            return self.records.checksums.tolist()
        return [zlib.crc32(self.records[index]) for index in range(len(self))]


class StoredRecords:
    """Encoded images in files of records, read by index, from any thread."""

    def __init__(self, folder: Path, index: FaceIndex) -> None:
        """Open the files of a prepared folder that hold the index's faces; DataError where one is missing.

        A file that is removed later stays readable.
        """
        self._folder, self._names = folder, index.record_files
        self._places, self.checksums = index.places, index.checksums
        self._open()

    def _open(self) -> None:
        self._descriptors: dict[int, int] = {}
        # Not at the end of the process, when threads may still be reading.
        weakref.finalize(self, _close, self._descriptors).atexit = False
        for file in np.unique(self._places[:, 0]).tolist():
            path = self._folder / self._names[file]
            try:
                self._descriptors[file] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise DataError(f"{error.strerror}; {prepare_again(self._folder)}", file=path) from error

    def __getitem__(self, index: int, /) -> bytes:
        """The JPEG of one face."""
        file, offset, length = self._places[index].tolist()
        path = self._folder / self._names[file]
        try:
            data = os.pread(self._descriptors[file], length, offset)  # has no position that threads would share
        except OSError as error:
            raise DataError(f"{error.strerror}; check the disk", file=path) from error
        if len(data) != length or zlib.crc32(data) != self.checksums[index]:
            raise DataError(f"damaged at byte {offset}; {prepare_again(self._folder)}", file=path)
        return data

    def __getstate__(self) -> dict[str, Any]:
        """State without open files, which belong to one process."""
        return {name: value for name, value in vars(self).items() if name != "_descriptors"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the files again."""
        vars(self).update(state)
        self._open()


def _close(descriptors: dict[int, int]) -> None:
    """Close files that are not read any more."""
    for descriptor in descriptors.values():
        os.close(descriptor)
