"""Faces drawn by a parametric model: `draw_face(seed)` returns an image and its 68 landmarks."""

from flaxmark.data.drawn.head.distribution import sample_parameters
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.other_markups import convert_landmarks, convert_visible
from flaxmark.data.drawn.portrait import Portrait, draw, draw_face, portray, portray_face

__all__ = [
    "FaceParameters",
    "Portrait",
    "convert_landmarks",
    "convert_visible",
    "draw",
    "draw_face",
    "portray",
    "portray_face",
    "sample_parameters",
]
