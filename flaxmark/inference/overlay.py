"""Drawing faces onto images and video frames."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from flaxmark.inference.face import Face
from flaxmark.system.files import atomic_write

POINT, BOX, EDGE = "#56B4E9", "#F0E442", "#000000"  # colours of Okabe and Ito, distinct for colour-blind readers
LABEL = 14  # height of letters in pixels, in images of at most 800 pixels


def paint_faces(
    image: UInt8[np.ndarray, "height width 3"], faces: Sequence[Face], labels: Sequence[str] = ()
) -> UInt8[np.ndarray, "height width 3"]:
    """Copy of an image with the boxes and points of faces, circles of radius sigma where it is known, and labels.

    Lines and letters grow with the image, points with the face: boxes are visible in the whole image, and points hide
    no facial features in a close-up.
    """
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    zoom = max(1.0, max(image.shape[:2]) / 800)
    line, font = round(1.5 * zoom), ImageFont.load_default(LABEL * zoom)
    for index, face in enumerate(faces):
        left, top, right, bottom = (float(edge) for edge in face.box)
        radius = max(1.0, 0.012 * (right - left))
        edge = EDGE if radius >= 4 else None  # smaller points would be dark
        pen.rectangle((left, top, right, bottom), outline=BOX, width=line)
        if face.sigma is not None:
            for (x, y), sigma in zip(face.landmarks, face.sigma, strict=True):
                circle = (x - sigma, y - sigma, x + sigma, y + sigma)
                pen.ellipse(circle, outline=POINT, width=max(1, round(radius / 4)))
        for x, y in face.landmarks:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=POINT, outline=edge)
        if labels:
            # Inside the image, also for a face at its upper border.
            place = (max(left, 0) + line, max(top - line, LABEL * 1.5 * zoom))
            pen.text(place, labels[index], fill=BOX, font=font, stroke_width=line, stroke_fill=EDGE, anchor="lb")
    return np.asarray(canvas)


def save_image(image: UInt8[np.ndarray, "height width 3"], path: Path) -> None:
    """Write an image atomically, in the format of the path's suffix."""
    with atomic_write(path) as temporary:
        Image.fromarray(image).save(temporary, quality=95)
