"""Drawn faces, and images as the bytes of a file."""

import io

import numpy as np
from PIL import Image


def draw(seed: int, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A image and its landmarks in pixels."""
    from flaxmark.data.drawn import draw_face

    return draw_face(seed, size)


def encode(picture: Image.Image | np.ndarray, form: str = "PNG", **options: object) -> bytes:
    """A file's content; options are Pillow's."""
    stream = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(stream, form, **options)
    return stream.getvalue()
