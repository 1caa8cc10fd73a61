"""What a image looks like, in a few numbers: images that are the same to the eye are found by them."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

THUMBNAIL = 32
# Bits of the difference hash that two copies may differ in, and the mean difference of their thumbnails in grey levels
# once their brightness and contrast are made equal: recompressed and resized copies stay below, other images above.
MAX_BITS, MAX_DIFFERENCE = 6, 12.0
UPRIGHT = 1


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """A image's looks.

    Attributes:
        size: Width and height, pixels.
        content: SHA-256 of the file.
        bits: uint64: the difference hash, and that of the mirrored image.
        thumbnail: float32 `[32, 32]`, grey, of mean 0 and deviation 40.
        oddities: What is unusual about the file, in words.
    """

    size: tuple[int, int]
    content: bytes
    bits: tuple[int, int]
    thumbnail: np.ndarray
    oddities: tuple[str, ...]


def fingerprint(path: Path, pixels: np.ndarray) -> Fingerprint:
    """Describe a image.

    Difference hash: is each of 9 x 8 cells brighter than its right neighbour? (Krawetz, "Kind of like that", 2013.)

    Args:
        path: Its file.
        pixels: uint8 `[height, width, 3]`, decoded.

    Returns:
        Its looks.
    """
    grey = Image.fromarray(pixels).convert("L")
    thumbnail = np.asarray(grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float32)
    deviation = float(thumbnail.std())
    thumbnail = (thumbnail - thumbnail.mean()) * (40 / deviation if deviation else 0)
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), np.int32)
    height, width = pixels.shape[:2]
    return Fingerprint(
        size=(width, height),
        content=hashlib.sha256(path.read_bytes()).digest(),
        bits=(_bits(cells), _bits(cells[:, ::-1])),
        thumbnail=thumbnail,
        oddities=tuple(_oddities(path, pixels, deviation)),
    )


def find_copies(images: Sequence[Fingerprint]) -> Iterator[tuple[int, int, str]]:
    """Find images that are the same to the eye.

    Args:
        images: Their looks.

    Yields:
        Index of the first, of the second, and how they are alike: `identical`, `similar` or `mirrored`.
    """
    own = np.array([image.bits[0] for image in images], np.uint64)
    flipped = np.array([image.bits[1] for image in images], np.uint64)
    thumbnails = np.stack([image.thumbnail for image in images]) if images else np.zeros((0, 1, 1))
    for i, image in enumerate(images):
        for how, other in (("similar", own), ("mirrored", flipped)):
            near = np.flatnonzero(np.bitwise_count(other[i + 1 :] ^ own[i]) <= MAX_BITS) + i + 1
            for j in near.tolist():
                theirs = thumbnails[j][:, ::-1] if how == "mirrored" else thumbnails[j]
                if float(np.abs(theirs - thumbnails[i]).mean()) <= MAX_DIFFERENCE:
                    same = how == "similar" and images[j].content == image.content
                    yield i, j, "identical" if same else how


def _bits(cells: np.ndarray) -> int:
    """64 comparisons as one number."""
    return int("".join("1" if bit else "0" for bit in (cells[:, :-1] > cells[:, 1:]).reshape(-1)), 2)


def _oddities(path: Path, pixels: np.ndarray, deviation: float) -> Iterator[str]:
    """What a look at the file tells."""
    with Image.open(path) as image:
        orientation = image.getexif().get(0x0112, UPRIGHT)
        if orientation != UPRIGHT:
            yield f"EXIF orientation {orientation}: viewers turn it, annotations are of the stored pixels"
        if image.mode not in ("RGB", "L"):
            yield f"mode {image.mode}"
    if np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 1], pixels[..., 2]):
        yield "grey"
    if deviation < 8:
        yield "almost even"
