"""Where each stored face is in the files of records, and everything small about it, in one file without pickle."""

import dataclasses
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from flaxmark.errors import ConfigError

TEXTS = ("subsets", "photographs", "files", "record_files")


@dataclasses.dataclass(frozen=True)
class FaceIndex:
    """Stored faces.

    Attributes:
        numbers: int64 `[n]`, what the source of the faces calls them.
        landmarks: float32 `[n, num_points, 2]`, crop units.
        crops: float32 `[n, 3]`: left, top, side in pixels of the stored region.
        boxes: float32 `[n, 4]`: left, top, right, bottom in pixels of the original image.
        source_crops: float32 `[n, 3]`: the crops in pixels of the original image.
        sizes: int32 `[n, 2]`: height and width of the stored region, pixels.
        places: int64 `[n, 3]`: which of `record_files`, offset and length of the JPEG in bytes.
        checksums: uint32 `[n]`, CRC-32 of the JPEG.
        subsets: What metrics are reported for.
        photographs: Shared by faces of one photograph.
        files: Original images.
        record_files: Names of the files of records, relative to the prepared folder.
    """

    numbers: np.ndarray
    landmarks: np.ndarray
    crops: np.ndarray
    boxes: np.ndarray
    source_crops: np.ndarray
    sizes: np.ndarray
    places: np.ndarray
    checksums: np.ndarray
    subsets: list[str]
    photographs: list[str]
    files: list[str]
    record_files: list[str]

    def take(self, rows: np.ndarray) -> "FaceIndex":
        """Some of the faces.

        Args:
            rows: int64 `[m]`, which, in their new order.

        Returns:
            These faces.
        """
        fields = {name: value for name, value in vars(self).items() if name != "record_files"}
        taken: dict[str, Any] = {
            name: value[rows] if isinstance(value, np.ndarray) else [value[row] for row in rows]
            for name, value in fields.items()
        }
        return FaceIndex(**taken, record_files=self.record_files)

    def save(self, path: Path) -> None:
        """Write everything.

        Args:
            path: A new file, .npz.
        """
        arrays = {n: _encode(value) if isinstance(value, list) else value for n, value in vars(self).items()}
        np.savez(path, allow_pickle=False, **arrays)


def prepare_again(folder: Path) -> str:
    """What to do about a damaged file.

    Args:
        folder: The prepared folder.

    Returns:
        The end of a message.
    """
    return f"remove {folder}, and it is prepared again"


def load_index(path: Path, folder: Path) -> FaceIndex:
    """Read what `FaceIndex.save` has written.

    Args:
        path: The file.
        folder: The prepared folder that it belongs to, for the message.

    Returns:
        The faces.

    Raises:
        ConfigError: It is not there, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = dict(stored)
        return FaceIndex(**values | {name: _decode(values[name]) for name in TEXTS})
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: has gone; the same command prepares it again") from error
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"{path}: damaged, or not there; {prepare_again(folder)}") from error


def _encode(texts: list[str]) -> np.ndarray:
    """Texts as bytes, divided by the one character that no name has."""
    return np.frombuffer("\0".join(texts).encode(), np.uint8)


def _decode(encoded: np.ndarray) -> list[str]:
    """The same texts."""
    return encoded.tobytes().decode().split("\0")
