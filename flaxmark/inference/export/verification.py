"""Verification that an exported program agrees with predict."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from flaxmark.data.drawn import draw_face
from flaxmark.faces.crop import landmark_box, square_crop
from flaxmark.inference.face import Face
from flaxmark.inference.network import Outputs
from flaxmark.inference.predictor import Predictor

Program = Callable[[Any, Any], Outputs]
"""`(image uint8 [height, width, 3], boxes float32 [n, 4]) -> outputs [n, ...]`, all in pixels."""

TOLERANCE = 1e-3  # pixels, for a stored size of 256; proportional to it, because float32 has a relative precision
# For faces that are shrunk first: Pillow rounds to whole grey levels, and a value half-way between two may be rounded
# differently in float32.
SHRUNK_TOLERANCE = 0.05

# Side of a drawn face, and height and width of its image in pixels, for a stored size of 256 and a crop of 1.5 boxes.
# Only two sizes of images, because programs are compiled for each.
DRAWN = ((96, 200, 260), (161, 200, 260), (200, 200, 260), (240, 500, 420), (400, 500, 420), (420, 500, 420))


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Differences between an exported program and predict.

    Attributes:
        faces: Number of faces compared.
        largest: Largest difference of any output in pixels, or of a probability, for faces that are not shrunk before
            sampling.
        shrunk: The same for larger faces.
        stored_size: Side in pixels to which larger faces are shrunk.
    """

    faces: int
    largest: float
    shrunk: float
    stored_size: int = 256

    @property
    def holds(self) -> bool:
        """Whether both differences are within their tolerances."""
        factor = max(1.0, self.stored_size / 256)
        return self.largest <= TOLERANCE * factor and self.shrunk <= SHRUNK_TOLERANCE * factor

    def __str__(self) -> str:
        """Summary in one line."""
        return (
            f"differs from predict by at most {self.largest:.6f} pixels, {self.shrunk:.6f} where the face is shrunk "
            f"first ({self.faces} drawn faces)"
        )


def check_agreement(program: Program, predictor: Predictor) -> Agreement:
    """Compare all outputs of a program with predict on drawn faces, small and large and partly outside of the image."""
    differences: dict[bool, list[float]] = {False: [], True: []}
    zoom = predictor.crop.stored_size / 256 * 1.5 / predictor.crop.scale  # some faces are shrunk, and some are not
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
            gaps = [difference(name, values[row], expected, sides[row]) for name, values in found.items()]
            differences[bool(sides[row] > predictor.crop.stored_size)].append(float(np.max(gaps)))
    faces = sum(len(values) for values in differences.values())
    largest, shrunk = (float(np.max(differences[kind])) for kind in (False, True))  # NaN stays, unlike with max
    return Agreement(faces, largest, shrunk, predictor.crop.stored_size)


def difference(name: str, found: Any, expected: Face, side: float) -> float:
    """Largest difference of an output from a face's in pixels; a pose moves points at half the side of the crop.

    Probabilities such as `visible` are compared as they are.
    """
    known = getattr(expected, name)
    if name != "pose":
        return float(np.abs(found - known).max())
    if known is None:  # predict refuses points that are no face
        return 0.0
    degrees = (found - known + 180) % 360 - 180
    return float(np.abs(np.radians(degrees)).max() * side / 2)


def _drawn(seed: int, size: int) -> tuple[UInt8[np.ndarray, "size size 3"], Float[np.ndarray, " 4"]]:
    """A square drawn image with a face, and the box around its landmarks; very small or large images are resized."""
    drawn, landmarks = draw_face(seed, min(max(size, 64), 480))
    resized = np.asarray(Image.fromarray(drawn).resize((size, size)))
    return resized, landmark_box(landmarks * (size / len(drawn)))
