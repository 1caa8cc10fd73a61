"""The faces of a split: numbers in memory, encoded images on disk."""

import dataclasses
import os
import weakref
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from flaxmark.data.records.face_index import FaceIndex, prepare_again
from flaxmark.errors import ConfigError


class Records(Protocol):
    """Where encoded images are: files of records, or a list of bytes."""

    def __getitem__(self, index: int, /) -> bytes:
        """The JPEG of one region; may be called from several threads."""
        ...


@dataclasses.dataclass(frozen=True)
class Examples:
    """A split, sorted by file; its encoded regions stay on disk and are read by index.

    Attributes:
        landmarks: float32 `[n, num_points, 2]`, crop units.
        crops: float32 `[n, 3]`: left, top, side in pixels of the decoded JPEG.
        boxes: float32 `[n, 4]`: left, top, right, bottom in pixels of the original image.
        source_crops: float32 `[n, 3]`: the crops in pixels of the original image.
        subsets: What metrics are reported for.
        photographs: Shared by faces of one photograph.
        files: Original images, relative to the data set's folder.
        region_size: Side in pixels of the smallest square, a multiple of 16, that holds every stored region of the
            data set, whatever its split.
        records: Where the encoded regions are.
    """

    landmarks: np.ndarray
    crops: np.ndarray
    boxes: np.ndarray
    source_crops: np.ndarray
    subsets: list[str]
    photographs: list[str]
    files: list[str]
    region_size: int
    records: Records

    def __len__(self) -> int:
        """How many faces."""
        return len(self.landmarks)

    def encoded(self, index: int) -> bytes:
        """Read one region.

        Args:
            index: Of the face, from 0.

        Returns:
            A JPEG file.

        Raises:
            ConfigError: It cannot be read, or is not what was written.
        """
        return self.records[index]


class StoredRecords:
    """Encoded images in files of records, read by index, from any thread."""

    def __init__(self, folder: Path, index: FaceIndex) -> None:
        """Open the files.

        A file that is removed later stays readable.

        Args:
            folder: The prepared folder.
            index: Which faces.

        Raises:
            ConfigError: One is not there.
        """
        self._folder, self._names = folder, index.record_files
        self._places, self._checksums = index.places, index.checksums
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
                raise ConfigError(f"{path}: {error.strerror}; {prepare_again(self._folder)}") from error

    def __getitem__(self, index: int, /) -> bytes:
        """The JPEG of one face."""
        file, offset, length = self._places[index].tolist()
        path = self._folder / self._names[file]
        try:
            data = os.pread(self._descriptors[file], length, offset)  # moves no position that threads would share
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; look after the disk") from error
        if len(data) != length or zlib.crc32(data) != self._checksums[index]:
            raise ConfigError(f"{path}: damaged at byte {offset}; {prepare_again(self._folder)}")
        return data

    def __getstate__(self) -> dict[str, Any]:
        """Without open files, which belong to one process."""
        return {name: value for name, value in vars(self).items() if name != "_descriptors"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open them again."""
        vars(self).update(state)
        self._open()


def _close(descriptors: dict[int, int]) -> None:
    """Close files that nobody reads any more."""
    for descriptor in descriptors.values():
        os.close(descriptor)
