"""Image files that are small enough for a page and a repository."""

from pathlib import Path

from PIL import Image

from flaxmark.system.files import atomic_write

SHEET_WIDTH, SHEET_QUALITY = 900, 60


def save_sheet(source: Path, path: Path) -> None:
    """Write a sheet of faces as a WebP file of at most 900 pixels in width."""
    with Image.open(source) as image:
        width = min(SHEET_WIDTH, image.width)
        size = width, round(image.height * width / image.width)
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    with atomic_write(path) as temporary:
        small.save(temporary, quality=SHEET_QUALITY, method=6)


def shrink_plot(path: Path) -> None:
    """Rewrite a plot as a PNG file with a palette of 256 colours."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    with atomic_write(path) as temporary:
        small.save(temporary, optimize=True)
