"""Drawn faces, and images as the bytes of a file."""

import io
from pathlib import Path

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


def save_red(path: Path, red: int, size: tuple[int, int] = (40, 30)) -> None:
    """Write an image of one colour, whose red may stand for a number of faces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (red, 0, 0)).save(path)


def write_folder(folder: Path) -> Path:
    """Make a folder with images of 1, 2 and 0 faces, a hidden, a broken and another file."""
    for name, faces in (("a.png", 1), ("b.png", 2), ("sub/c.png", 0), (".hidden/d.png", 1)):
        save_red(folder / name, faces)
    (folder / "sub" / "broken.jpg").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("no image")
    return folder
