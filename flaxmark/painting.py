"""Faces painted onto frames, fast enough for video."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

POINT, BOX, EDGE = "#56B4E9", "#F0E442", "#000000"  # Okabe and Ito's colours, which colour-blind readers can tell apart


def point_radius(width: float) -> float:
    """Of a drawn point: visible on a small face, and no feature of a large one is hidden by it.

    Args:
        width: Of the face's box, pixels.

    Returns:
        Pixels.
    """
    return float(np.clip(width * 0.012, 1.0, 6.0))


def paint_faces(picture: np.ndarray, faces: Sequence[Any], labels: Sequence[str] = ()) -> np.ndarray:
    """A copy of a picture with boxes, points and, where they are known, the circles of their sigma.

    Args:
        picture: uint8 `[height, width, 3]`.
        faces: Each with `landmarks` `[num_points, 2]`, `box` `[4]` and `sigma` `[num_points]` or None, pixels.
        labels: Written above the boxes, one a face; none by default.

    Returns:
        uint8 like the picture.
    """
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for index, face in enumerate(faces):
        left, top, right, bottom = (float(edge) for edge in face.box)
        radius = point_radius(right - left)
        edge = EDGE if radius >= 2 else None  # it would hide a smaller one
        pen.rectangle((left, top, right, bottom), outline=BOX, width=max(1, round(radius / 2)))
        if face.sigma is not None:
            for (x, y), sigma in zip(face.landmarks, face.sigma, strict=True):
                pen.ellipse((x - sigma, y - sigma, x + sigma, y + sigma), outline=POINT)
        for x, y in face.landmarks:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=POINT, outline=edge)
        if labels:
            pen.text((left + 2, top - 2), labels[index], fill=BOX, stroke_width=1, stroke_fill=EDGE, anchor="lb")
    return np.asarray(image)
