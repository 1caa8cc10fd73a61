"""Writing images."""

import contextlib
from pathlib import Path

from PIL import Image

from flaxmark.inference.overlay import Pixels
from flaxmark.system.files import atomic_write


def save_image(image: Pixels, path: Path, like: Path | None = None) -> None:
    """Write an image atomically, in the format of the path's suffix, with the colour profile of the file `like`."""
    with atomic_write(path) as temporary:
        # Thin coloured lines need chroma at full resolution.
        Image.fromarray(image).save(temporary, quality=95, subsampling=0, icc_profile=_rgb_profile(like))


def _rgb_profile(path: Path | None) -> bytes | None:
    """ICC profile of a file whose colours are RGB."""
    if path is None:
        return None
    with contextlib.suppress(OSError), Image.open(path) as image:
        profile = image.info.get("icc_profile") or b""
        return profile if profile[16:20] == b"RGB " else None
    return None
