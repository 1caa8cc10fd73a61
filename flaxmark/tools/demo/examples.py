"""Example images of the demo page: faces drawn by flaxmark, which anybody may use."""

import dataclasses
import io

import numpy as np
from PIL import Image

from flaxmark.data.drawn import draw_face

SIDE = 480


@dataclasses.dataclass(frozen=True)
class Example:
    """One or two words, and the seeds of its faces, from left to right."""

    name: str
    seeds: tuple[int, ...]

    def draw(self) -> bytes:
        """The faces side by side, as a JPEG file."""
        faces = np.hstack([draw_face(seed, SIDE)[0] for seed in self.seeds])
        file = io.BytesIO()
        Image.fromarray(faces).save(file, "JPEG", quality=88)
        return file.getvalue()


EXAMPLES = (
    Example("Smile", (30,)),
    Example("Glasses", (2,)),
    Example("Sunglasses", (14,)),
    Example("Two faces", (13, 26)),
    Example("Hand", (5,)),
)
