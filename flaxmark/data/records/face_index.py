"""The index of stored faces: their places in the files of records, their numbers and texts. It needs no pickle."""

import dataclasses
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int32, Int64, UInt32

from flaxmark.errors import DataError

TEXTS = ("subsets", "photographs", "files", "record_files")


@dataclasses.dataclass(frozen=True)
class FaceIndex:
    """Stored faces; arrays and lists have one row a face, but for `record_files`."""

    numbers: Int64[np.ndarray, " n"]
    """Number of the face in its source."""
    landmarks: Float[np.ndarray, "n num_points 2"]
    """float32, crop units."""
    crops: Float[np.ndarray, "n 3"]
    """float32: left, top, side in pixels of the stored region."""
    boxes: Float[np.ndarray, "n 4"]
    """float32: left, top, right, bottom in pixels of the original image."""
    source_crops: Float[np.ndarray, "n 3"]
    """float32: the crops in pixels of the original image."""
    visible: Float[np.ndarray, "n num_points"]
    """float32: 1 for a point that is seen, 0 for a hidden one, NaN where that is not known."""
    sizes: Int32[np.ndarray, "n 2"]
    """Height and width of the stored region, pixels."""
    places: Int64[np.ndarray, "n 3"]
    """Index into `record_files`, offset and length of the JPEG in bytes."""
    checksums: UInt32[np.ndarray, " n"]
    """CRC-32 of the JPEG."""
    subsets: list[str]
    """What metrics are reported for."""
    photographs: list[str]
    """Identifiers that faces of one photograph share."""
    files: list[str]
    """Original images."""
    record_files: list[str]
    """Names of the files of records, relative to the prepared folder."""

    def take(self, rows: Int64[np.ndarray, " m"]) -> "FaceIndex":
        """Some of the faces, in the order of `rows`."""
        fields = {name: value for name, value in vars(self).items() if name != "record_files"}
        taken: dict[str, Any] = {
            name: value[rows] if isinstance(value, np.ndarray) else [value[row] for row in rows]
            for name, value in fields.items()
        }
        return FaceIndex(**taken, record_files=self.record_files)

    def save(self, path: Path) -> None:
        """Write a new .npz file."""
        arrays = {n: _encode(value) if isinstance(value, list) else value for n, value in vars(self).items()}
        np.savez(path, allow_pickle=False, **arrays)


def prepare_again(folder: Path) -> str:
    """What to do about a damaged file of a prepared folder: the end of a message."""
    return f"remove {folder}, and it is prepared again"


def load_index(path: Path, folder: Path) -> FaceIndex:
    """Read what `FaceIndex.save` has written for a prepared folder; DataError where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = dict(stored)
        return FaceIndex(**values | {name: _decode(values[name]) for name in TEXTS})
    except FileNotFoundError as error:
        raise DataError("is missing; the same command prepares it again", file=path) from error
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"damaged; {prepare_again(folder)}", file=path) from error


def _encode(texts: list[str]) -> np.ndarray:
    """Texts as bytes, separated by the one character that no file name has."""
    return np.frombuffer("\0".join(texts).encode(), np.uint8)


def _decode(encoded: np.ndarray) -> list[str]:
    """Texts from the bytes of `_encode`."""
    return encoded.tobytes().decode().split("\0")
