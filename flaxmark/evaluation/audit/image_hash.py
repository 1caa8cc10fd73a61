"""Perceptual hashes of images, to find copies that look the same."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from PIL import Image

THUMBNAIL = 32
# Bits of the difference hash in which two copies may differ, and the mean difference of their thumbnails in grey levels
# after normalisation of brightness and contrast: recompressed and resized copies stay below, other images above.
MAX_BITS, MAX_DIFFERENCE = 6, 12.0
UPRIGHT = 1


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Description of an image's appearance.

    Attributes:
        size: Width and height, pixels.
        content: SHA-256 of the file.
        bits: 64-bit difference hash, and that of the mirrored image.
        thumbnail: Grey levels with mean 0 and standard deviation 40.
        oddities: Unusual properties of the file.
    """

    size: tuple[int, int]
    content: bytes
    bits: tuple[int, int]
    thumbnail: Float32[np.ndarray, "32 32"]
    oddities: tuple[str, ...]


def fingerprint(path: Path, pixels: UInt8[np.ndarray, "height width 3"]) -> Fingerprint:
    """Fingerprint of an image file and its decoded pixels.

    Difference hash: is each of 9 x 8 cells brighter than its right neighbour? (Krawetz, "Kind of like that", 2013.)
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
    """Pairs of images that look the same: two indices, and `identical`, `similar` or `mirrored`."""
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


def _bits(cells: Int32[np.ndarray, "8 9"]) -> int:
    """64 comparisons of neighbours as one number."""
    return int("".join("1" if bit else "0" for bit in (cells[:, :-1] > cells[:, 1:]).reshape(-1)), 2)


def _oddities(path: Path, pixels: UInt8[np.ndarray, "height width 3"], deviation: float) -> Iterator[str]:
    """Unusual properties of an image file; `deviation` is that of its thumbnail in grey levels."""
    with Image.open(path) as image:
        orientation = image.getexif().get(0x0112, UPRIGHT)
        if orientation != UPRIGHT:
            yield f"EXIF orientation {orientation}: viewers turn the image; see --data.orientation"
        if image.mode not in ("RGB", "L"):
            yield f"mode {image.mode}"
    if np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 1], pixels[..., 2]):
        yield "grey"
    if deviation < 8:
        yield "almost even"
