"""At least 200 image files that a stranger might send."""

import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

from flaxmark.data import images
from helpers.images import draw, encode

# Every format that Pillow writes without other programs; it opens more of them than are read here.
FORMATS = (
    "BLP", "BMP", "BUFR", "DDS", "DIB", "EPS", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "MSP",
    "PCX", "PDF", "PNG", "PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP", "XBM", "AVIF",
)  # fmt: skip
MODES = {"MSP": "1", "XBM": "1", "SPIDER": "F", "BLP": "P"}


def png(width: int, height: int, data: bytes, depth: int = 8, kind: int = 2) -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def hostile_images() -> Iterator[tuple[str, bytes]]:
    """Names and contents; the same ones each time."""
    face = Image.fromarray(draw(5, 64)[0])
    rng = random.Random(0)
    for form in FORMATS:
        try:
            whole = encode(face.convert(MODES.get(form, "RGB")), form)
        except (OSError, ValueError, KeyError):  # this Pillow cannot write it
            continue
        yield f"whole.{form.lower()}", whole
        yield f"wrong_ending_{form.lower()}.jpg", whole
        for part in range(6 if form in images.FORMATS else 2):
            yield f"truncated_{part}_{form.lower()}.png", whole[: rng.randrange(1, len(whole))]
        if form in images.FORMATS:
            for part in range(6):
                damaged = bytearray(whole)
                for _ in range(rng.randrange(1, 40)):
                    damaged[rng.randrange(len(damaged))] = rng.randrange(256)
                yield f"damaged_{part}_{form.lower()}.png", bytes(damaged)
    yield from odd_images(face)
    yield from bombs()
    yield from no_images(rng)


def odd_images(face: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Whole ones, of kinds that are rare."""
    grey = face.convert("L")
    for mode in ("1", "L", "LA", "P", "RGBA"):
        yield f"mode_{mode}.png", encode(face.convert(mode), "PNG")
    for mode in ("CMYK", "L", "YCbCr"):
        yield f"mode_{mode}.jpg", encode(face.convert(mode), "JPEG")
    for mode in ("CMYK", "1", "RGBA"):
        yield f"mode_{mode}.tif", encode(face.convert(mode), "TIFF")
    for mode in ("F", "I", "I;16"):
        yield f"mode_{mode.replace(';', '_')}.tif", encode(grey.convert(mode), "TIFF")
    yield "mode_I_16.png", encode(grey.convert("I;16"), "PNG")
    yield "mode_LAB.tif", encode(Image.new("LAB", (64, 64)), "TIFF")
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits", "raw"):
        yield f"{compression}.tif", encode(face, "TIFF", compression=compression)
    for width, height in ((1, 1), (1, 500), (500, 1), (2, 2), (3, 4000)):
        yield f"size_{width}_{height}.png", encode(face.resize((width, height)), "PNG")
    for orientation in range(10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"exif_{orientation}.jpg", encode(face, "JPEG", exif=exif)
    frames = [face.rotate(angle) for angle in (0, 90, 180)]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        yield f"animated.{form.lower()}", encode(face, form, save_all=True, append_images=frames)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "icc.jpg", encode(face, "JPEG", icc_profile=profile)
    yield "icc_damaged.jpg", encode(face, "JPEG", icc_profile=b"not a profile" * 50)
    yield "exif_damaged.jpg", encode(face, "JPEG", exif=b"Exif\x00\x00" + b"\xff" * 200)
    yield "progressive.jpg", encode(face, "JPEG", progressive=True)
    yield "deep.pgm", b"P5 8 8 65535\n" + np.arange(64, dtype=">u2").tobytes()
    yield "comment.ppm", b"P6 # " + b"c" * 300 + b"\n1 1 255\n\x00\x00\x00"


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that say, or hold, that they are huge."""
    zeros = zlib.compress(bytes(30_000_000), 9)
    yield "header_60000.png", png(60_000, 60_000, zeros)
    yield "bomb.png", png(9_000, 9_000, zeros)
    yield "header_max.png", png(2**31 - 1, 2**31 - 1, b"")
    yield "zero.png", png(0, 0, b"")
    yield "zero_wide.png", png(0, 5, b"")
    yield "depth.png", png(8, 8, zlib.compress(bytes(300)), depth=7)
    yield "kind.png", png(8, 8, zlib.compress(bytes(300)), kind=9)
    yield "more_than_said.png", png(8, 8, zeros)
    yield "less_than_said.png", png(4_000, 4_000, zlib.compress(bytes(10)))
    yield "header_60000.ppm", b"P6 60000 60000 255\n"
    yield "header_negative.ppm", b"P6 -5 5 255\n"
    yield "header_long.ppm", b"P6 " + b"9" * 100_000 + b" 5 255\n"
    bmp = struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, *6 * [0])
    yield "header_60000.bmp", b"BM" + bmp
    screen, frame = struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0), struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0)
    yield "header_60000.gif", b"GIF89a" + screen + b"\x2c" + frame + b"\x08\x01\x00\x3b"


def no_images(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Something else under a image's name."""
    yield "empty.jpg", b""
    yield "one_byte.jpg", b"\xff"
    yield "text.jpg", b"hello"
    yield "page.png", b"<html><body>404</body></html>"
    yield "archive.png", b"PK\x03\x04" + bytes(100)
    yield "program.gif", b"\x7fELF" + bytes(100)
    yield "script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) run\n"
    yield "vector.jpg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>'
    yield "pickle.png", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94."
    for number, start in enumerate(
        (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\x00", b"RIFF", b"BM", b"P6")
    ):
        yield f"noise_{number}.jpg", start + rng.randbytes(2_000)
