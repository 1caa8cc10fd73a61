"""The faces of a split: numbers in memory, encoded images on disk."""

import dataclasses
from typing import Protocol

import numpy as np


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
