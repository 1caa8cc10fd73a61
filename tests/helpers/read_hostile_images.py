"""Read a folder of images in a process whose memory is measured; run by test_hostile_images.py."""

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from flaxmark.data.images import ImageError, read_image
from helpers.resident_memory import peak

SECONDS = 3.0  # for each


def read_all(folder: Path) -> None:
    """Print how many were read, how many refused, and by how many bytes memory has grown."""
    read_image(np.zeros((8, 8, 3), np.uint8))
    before = peak()
    count: Counter[str] = Counter()
    for path in sorted(folder.iterdir()):
        start = time.perf_counter()
        try:
            image = read_image(path)
            assert image.dtype == np.uint8
            assert image.ndim == 3
            count["read"] += 1
        except ImageError as error:
            text = str(error)
            assert text.startswith(f"{path}: "), text
            assert "\n" not in text
            assert len(text) < len(str(path)) + 300
            count["refused"] += 1
        assert time.perf_counter() - start < SECONDS, path
    growth = peak() - before
    print(count["read"], count["refused"], growth)


if __name__ == "__main__":
    read_all(Path(sys.argv[1]))
