"""Reading images of any common format as 8-bit RGB, the same way for training and for predict."""

import collections
import contextlib
import io
import sys
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, features

from flaxmark.errors import ImageError
from flaxmark.system.files import is_address, user_path
from flaxmark.system.reading import kind_of, kind_of_bytes

# Pillow also opens formats that start other programs (EPS) or that are not used for photographs.
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
if "avif" in features.modules and features.check("avif"):  # Pillow 11.3 and later, unless it was built without
    FORMATS += ("AVIF",)
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".avif", ".heic", ".heif"}
)
ADDRESS = "is an address, not a file or folder; download it first, for example with curl -O"
MAX_SHOWN = 200  # letters of an odd name
MAX_16_BIT = 65535


class _HasRead(Protocol):
    """A file that is open in binary mode."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many."""
        ...


class _HasArray(Protocol):
    """An array of another library: JAX, PyTorch on the CPU, TensorFlow."""

    def __array__(self) -> np.ndarray:
        """The same numbers as a NumPy array."""
        ...


ImageSource = str | Path | bytes | bytearray | memoryview | Image.Image | np.ndarray | _HasRead | _HasArray


class ImageTooLargeError(ImageError):
    """An image with more pixels than the limit; its pixels were not decoded."""


def read_image(
    source: ImageSource, max_megapixels: float = 64.0, orient: bool = True
) -> UInt8[np.ndarray, "height width 3"]:
    """Read an image as a viewer would show it.

    Grey and palette images become RGB, 16-bit ones are scaled, transparent ones are blended with white (as viewers do),
    and the first frame of an animation is taken.

    Args:
        source: Path, encoded bytes, file open in binary mode, PIL image, or uint8 or uint16 array `[height, width]` or
            `[height, width, 1, 3 or 4]`, RGB(A), of NumPy or of a library whose arrays NumPy can read.
        max_megapixels: Larger images are refused before their pixels are decoded.
        orient: Apply the EXIF orientation.

    Returns:
        RGB pixels.

    Raises:
        ImageError: The file does not exist, is not an image, or is damaged.
        ImageTooLargeError: The image is too large.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_megapixels)
    if isinstance(source, Image.Image):
        return _from_pil(source, None, max_megapixels, orient)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(source), None, max_megapixels, orient)
    if isinstance(source, str | Path):
        return _from_path(source, max_megapixels, orient)
    if hasattr(source, "read"):
        return _from_stream(source, max_megapixels, orient)
    if hasattr(source, "__array__"):
        try:
            array = np.asarray(source)
        except Exception as error:  # such as a tensor of PyTorch on a GPU, which says how to convert it
            raise ImageError(_one_line(error)) from error
        return _from_array(array, max_megapixels)
    raise ImageError(f"{type(source).__name__} is not an image: give a path, bytes, a file, a PIL image or an array")


def _from_path(source: str | Path, max_megapixels: float, orient: bool) -> np.ndarray:
    """Read the image at a path."""
    path = user_path(source)
    try:
        found, other = path.is_file(), path.exists()
    except OSError as error:  # a name that the system does not allow
        raise ImageError(_one_line(error.strerror or error), file=f"{str(path)[:MAX_SHOWN]}..") from error
    if not other and is_address(str(source)):
        raise ImageError(ADDRESS, file=str(source)[:MAX_SHOWN])
    if not found:  # also keeps pipes and devices from being read
        raise ImageError("not a file" if other else "no such file", file=path)
    if path.stat().st_size > _max_bytes(max_megapixels):
        size = path.stat().st_size / 1e6
        raise ImageTooLargeError(f"{size:,.0f} MB, more than an image of {max_megapixels:g} megapixels", file=path)
    return _from_file(path, path, max_megapixels, orient)


def _from_stream(stream: Any, max_megapixels: float, orient: bool) -> np.ndarray:
    """Read the image in an open file, from its position to its end."""
    limit = int(min(_max_bytes(max_megapixels), sys.maxsize - 1))
    data = stream.read(limit + 1)
    if not isinstance(data, bytes):
        raise ImageError(f"{type(stream).__name__} reads {type(data).__name__}: open the file in binary mode, 'rb'")
    if len(data) > limit:
        raise ImageTooLargeError(f"a file of more bytes than an image of {max_megapixels:g} megapixels")
    return _from_file(io.BytesIO(data), None, max_megapixels, orient)


def _max_bytes(max_megapixels: float) -> float:
    """Largest size of a file that can be an image: a pixel takes eight bytes at most, uncompressed."""
    return 8e6 * max_megapixels + 10e6


def _from_file(file: Path | io.BytesIO, name: Path | None, max_megapixels: float, orient: bool) -> np.ndarray:
    """Open a file in one of `FORMATS` and read it."""
    with warnings.catch_warnings():
        # Pillow warns of odd metadata, and of large images by its own limit; ours raises errors.
        warnings.simplefilter("ignore")
        try:
            with _open(file, name) as image:
                return _from_pil(image, name, max_megapixels, orient)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageTooLargeError(str(error), file=name) from error
        except Image.UnidentifiedImageError as error:
            kinds = ", ".join((*FORMATS, "HEIC"))
            kind = kind_of(file) if isinstance(file, Path) else kind_of_bytes(file.getvalue())
            reason = str(kind or f"not an image, or none of {kinds}; convert it first")
            raise ImageError(reason, file=name) from error
        except Exception as error:  # damaged files make decoders raise almost anything
            raise ImageError(_one_line(error), file=name) from error


def _open(file: Path | io.BytesIO, name: Path | None) -> Image.Image:
    """Open a file with Pillow, or one of HEIC, which comes upright, with pillow-heif."""
    try:
        return Image.open(file, formats=FORMATS)
    except Image.UnidentifiedImageError:
        with file.open("rb") if isinstance(file, Path) else contextlib.nullcontext(file) as stream:
            stream.seek(0)
            box = stream.read(12)
            stream.seek(0)
        if box[4:8] != b"ftyp" or box[8:] not in HEIC_BRANDS:
            raise
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ImageError("HEIC needs a package: pip install 'flaxmark[heic]'", file=name) from error
    return HeifImageFile(file)


def _from_pil(image: Image.Image, name: Path | None, max_megapixels: float, orient: bool) -> np.ndarray:
    """Check the size in the header, then decode and convert."""
    _check_size(image.width, image.height, name, max_megapixels)
    try:
        image.load()  # of an animation, the first frame
        if orient:
            image = ImageOps.exif_transpose(image)
        return _to_rgb(image, name)
    except ImageError:
        raise
    except Exception as error:  # see _from_file; lazily opened images are decoded here
        raise ImageError(_one_line(error), file=name) from error


def _to_rgb(image: Image.Image, name: Path | None) -> np.ndarray:
    """Convert an image of any mode to 8-bit RGB."""
    if image.mode == "F":
        raise ImageError("has floating-point pixels of unknown range; save it with 8 or 16 bits", file=name)
    if image.mode.startswith("I"):
        return _from_grey16(np.asarray(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _from_grey16(values: np.ndarray) -> np.ndarray:
    """Scale 16-bit values, which Pillow may hold as 32-bit integers, to 8 bits."""
    grey = (np.clip(values, 0, MAX_16_BIT).astype(np.uint32) + 128) // 257
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)


_REMEDIES = collections.defaultdict(
    lambda: "convert it with array.astype(np.uint8)",
    f="if it is in [0, 1]: (255 * array).round().astype(np.uint8)",
    b="(255 * array).astype(np.uint8)",
    O="it does not hold numbers",
)


def _from_array(array: np.ndarray, max_megapixels: float) -> np.ndarray:
    """Convert decoded pixels to 8-bit RGB."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        remedy = "; channels come last: array.transpose(1, 2, 0)" if first else ""
        raise ImageError(f"array of shape {array.shape}: must be [height, width] or [.., .., 1, 3 or 4]{remedy}")
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"array of {array.dtype}: must be uint8 or uint16, RGB; {_REMEDIES[array.dtype.kind]}")
    _check_size(array.shape[1], array.shape[0], None, max_megapixels)
    if array.dtype == np.uint16:
        if 0 < array.max() <= 255:
            warnings.warn(
                "a uint16 array is nearly black; if its values have 8 bits: array.astype(np.uint8)", stacklevel=2
            )
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.shape[-1] == 1:
        return np.repeat(array, 3, axis=-1)
    if array.shape[-1] == 4:
        return _to_rgb(Image.fromarray(np.ascontiguousarray(array)), None)
    return np.ascontiguousarray(array)


def _check_size(width: int, height: int, name: Path | None, max_megapixels: float) -> None:
    """Raise ImageTooLargeError above the limit."""
    if width * height > max_megapixels * 1e6:
        raise ImageTooLargeError(
            f"{width} x {height} is {width * height / 1e6:.3g} megapixels, above the limit of {max_megapixels:g}; "
            "shrink it, or increase --max-megapixels (of a data set: --data.max-megapixels)",
            file=name,
        )


def _one_line(error: Exception | str) -> str:
    """An error's message without line breaks, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
