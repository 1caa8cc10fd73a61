"""Faces painted onto images and frames, fast enough for video."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flaxmark.system.files import atomic_write

POINT, BOX, EDGE = "#56B4E9", "#F0E442", "#000000"  # Okabe and Ito's colours, which colour-blind readers can tell apart
LABEL = 14  # height of letters in a image of 800 pixels or less


def paint_faces(picture: np.ndarray, faces: Sequence[Any], labels: Sequence[str] = ()) -> np.ndarray:
    """A copy of a image with boxes, points and, where they are known, the circles of their sigma.

    Lines and letters grow with the image, points with the face: what is looked at as a whole shows its boxes, and
    what is looked at closely hides no feature.

    Args:
        image: uint8 `[height, width, 3]`.
        faces: Each with `landmarks` `[num_points, 2]`, `box` `[4]` and `sigma` `[num_points]` or None, pixels.
        labels: Written above the boxes, one a face; none by default.

    Returns:
        uint8 like the image.
    """
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    zoom = max(1.0, max(picture.shape[:2]) / 800)
    line, font = round(1.5 * zoom), ImageFont.load_default(LABEL * zoom)
    for index, face in enumerate(faces):
        left, top, right, bottom = (float(edge) for edge in face.box)
        radius = max(1.0, 0.012 * (right - left))
        edge = EDGE if radius >= 4 else None  # it would darken a smaller one
        pen.rectangle((left, top, right, bottom), outline=BOX, width=line)
        if face.sigma is not None:
            for (x, y), sigma in zip(face.landmarks, face.sigma, strict=True):
                circle = (x - sigma, y - sigma, x + sigma, y + sigma)
                pen.ellipse(circle, outline=POINT, width=max(1, round(radius / 4)))
        for x, y in face.landmarks:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=POINT, outline=edge)
        if labels:
            # Inside the image, also of a face at its upper border.
            place = (max(left, 0) + line, max(top - line, LABEL * 1.5 * zoom))
            pen.text(place, labels[index], fill=BOX, font=font, stroke_width=line, stroke_fill=EDGE, anchor="lb")
    return np.asarray(image)


def save_image(picture: np.ndarray, path: Path) -> None:
    """Write a image so that the file is there whole or not at all.

    Args:
        image: uint8 `[height, width, 3]`.
        path: Its ending chooses the format; replaced if it exists.
    """
    with atomic_write(path) as temporary:
        Image.fromarray(picture).save(temporary, quality=95)
