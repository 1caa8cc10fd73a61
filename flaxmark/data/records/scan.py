"""The index of faces from the files of records that TFDS has written."""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flaxmark.data.records.face_index import FaceIndex
from flaxmark.data.tensorflow_setup import tf
from flaxmark.errors import DataError

# A record: its length, a checksum of that, the data, a checksum of them.
HEADER, LENGTH_CHECK, DATA_CHECK = 8, 4, 4


def scan_records(folder: Path, names: Sequence[str], count: int) -> FaceIndex:
    """Read `count` records from the named files of a prepared folder; the index of their faces by number, each once.

    Raises DataError where a file ends early.
    """
    columns: dict[str, Any] = {}
    texts: dict[str, Any] = {"subsets": [], "photographs": [], "files": []}
    records = ((number, *record) for number, name in enumerate(names) for record in _read_records(folder / name))
    for row, (number, start, data) in enumerate(records):
        face, described = _describe(data, number, start)
        for name, value in face.items():
            # In place from the start: a million small arrays would take twice the memory.
            columns.setdefault(name, np.empty((count, *value.shape), value.dtype))[row] = value
        for name, text in described.items():
            texts[name].append(text)
    index = FaceIndex(**columns, **texts, record_files=list(names))
    # Faces of `test_full` are stored twice.
    return index.take(np.unique(index.numbers, return_index=True)[1])


def _read_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and content of each record of a file."""
    with path.open("rb") as stream:
        while header := stream.read(HEADER + LENGTH_CHECK):
            (length,) = struct.unpack("<Q", header[:HEADER].ljust(HEADER, b"\xff"))
            start = stream.tell()
            data = stream.read(length) if len(header) == HEADER + LENGTH_CHECK else b""
            if len(data) != length or len(stream.read(DATA_CHECK)) != DATA_CHECK:
                raise DataError("ends in the middle of a face; free some space and start again", file=path)
            yield start, data


def _describe(data: bytes, file: int, start: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Numbers and texts of a record that starts at an offset of a file."""
    features = tf.train.Example.FromString(data).features.feature
    image = features["image"].bytes_list.value[0]
    offset = data.index(image[:64])  # a prefix: searching for all of it takes longer than reading it
    assert data[offset : offset + len(image)] == image

    def floats(name: str) -> np.ndarray:
        return np.array(features[name].float_list.value, np.float32)

    with Image.open(io.BytesIO(image)) as opened:  # reads no more than its header
        width, height = opened.size
    numbers = {
        "numbers": np.int64(features["number"].int64_list.value[0]),
        "landmarks": floats("landmarks").reshape(-1, 2),
        "crops": floats("crop"),
        "boxes": floats("box"),
        "source_crops": floats("source_crop"),
        "visible": floats("visible"),
        "sizes": np.array([height, width], np.int32),
        "places": np.array([file, start + offset, len(image)], np.int64),
        "checksums": np.uint32(zlib.crc32(image)),
    }
    texts = {f"{name}s": features[name].bytes_list.value[0].decode() for name in ("subset", "photograph", "file")}
    return numbers, texts
