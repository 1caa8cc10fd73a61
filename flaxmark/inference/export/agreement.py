"""Whether an exported program says the same as predict."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from flaxmark.data.drawn import draw_face
from flaxmark.faces.crop import landmark_box, square_crop
from flaxmark.inference.network import Outputs
from flaxmark.inference.predictor import Predictor

Program = Callable[[Any, Any], Outputs]

TOLERANCE = 1e-3  # pixels, where larger faces are shrunk to 256; float32 keeps fewer decimals of larger crops
# Of faces that are shrunk first: Pillow rounds to whole grey levels, and a sum half-way between two may fall to either
# side in float32.
SHRUNK_TOLERANCE = 0.05

# Side of a drawn face, height and width of the image it is in: pixels, where a face is shrunk to 256 and the crop is
# 1.5 boxes. Images of two sizes: programs are compiled for each.
DRAWN = ((96, 200, 260), (161, 200, 260), (200, 200, 260), (240, 500, 420), (400, 500, 420), (420, 500, 420))


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far an exported program is from predict.

    Attributes:
        faces: Compared.
        largest: Largest difference of a coordinate or of sigma, pixels, of faces that are not shrunk before they are
            sampled.
        shrunk: The same of larger faces.
        stored_size: To which those are shrunk, pixels.
    """

    faces: int
    largest: float
    shrunk: float
    stored_size: int = 256

    @property
    def holds(self) -> bool:
        """Whether both are as small as they have to be."""
        factor = max(1.0, self.stored_size / 256)
        return self.largest <= TOLERANCE * factor and self.shrunk <= SHRUNK_TOLERANCE * factor

    def __str__(self) -> str:
        """In one line."""
        return (
            f"differs from predict by at most {self.largest:.6f} pixels, {self.shrunk:.6f} where the face is shrunk "
            f"first ({self.faces} drawn faces)"
        )


def check_agreement(program: Program, predictor: Predictor) -> Agreement:
    """Compare a program with predict on drawn faces: small and large ones, and boxes that reach over the border.

    Args:
        program: Loaded from the exported file.
        predictor: Of the same run.

    Returns:
        The largest difference.
    """
    differences: dict[bool, list[float]] = {False: [], True: []}
    zoom = predictor.crop.stored_size / 256 * 1.5 / predictor.crop.scale  # so that some are shrunk, and some are not
    for seed, sizes in enumerate(DRAWN):
        size, height, width = (round(pixels * zoom) for pixels in sizes)
        face, box = _drawn(800_000 + seed, size)
        image = np.full((height, width, 3), 128, np.uint8)
        image[-size:, :size] = face  # in the lower left corner
        box = box + np.array([0, height - size, 0, height - size])
        over = box + np.array([-0.3, -0.3, 0.3, 0.5]) * size / 4
        boxes = np.stack([box, over, box + size / 3]).astype(np.float32)
        found = {name: np.asarray(values) for name, values in program(image, boxes).items()}
        sides = square_crop(boxes, predictor.crop.scale)[:, 2]
        for row, expected in enumerate(predictor.predict(image, boxes)):
            gap = np.abs(found["landmarks"][row] - expected.landmarks).max()
            if expected.sigma is not None:
                gap = max(gap, np.abs(found["sigma"][row] - expected.sigma).max())
            differences[bool(sides[row] > predictor.crop.stored_size)].append(float(gap))
    faces = sum(len(values) for values in differences.values())
    return Agreement(faces, max(differences[False]), max(differences[True]), predictor.crop.stored_size)


def _drawn(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A square image of a face and the box around its landmarks; very small and very large ones are resized."""
    drawn, landmarks = draw_face(seed, min(max(size, 64), 480))
    resized = np.asarray(Image.fromarray(drawn).resize((size, size)))
    return resized, landmark_box(landmarks * (size / len(drawn)))
