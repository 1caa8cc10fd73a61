"""Example images of the demo page: faces drawn by flaxmark, which anybody may use."""

import dataclasses
import io

import numpy as np
from PIL import Image

from flaxmark.data.drawn import draw_face

SIDE = 480


@dataclasses.dataclass(frozen=True)
class Example:
    """Description for those who cannot see it, and the seeds of its faces, from left to right."""

    description: str
    seeds: tuple[int, ...]

    def draw(self) -> bytes:
        """The faces side by side, as a JPEG file."""
        faces = np.hstack([draw_face(seed, SIDE)[0] for seed in self.seeds])
        file = io.BytesIO()
        Image.fromarray(faces).save(file, "JPEG", quality=88)
        return file.getvalue()


EXAMPLES = (
    Example("Drawn face with a purple cap, smiling", (30,)),
    Example("Drawn face with glasses", (2,)),
    Example("Drawn face with sunglasses, turned to the right", (14,)),
    Example("Two drawn faces side by side", (13, 26)),
    Example("Drawn face with a hand in front of the mouth", (5,)),
)
