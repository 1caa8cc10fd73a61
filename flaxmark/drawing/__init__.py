"""A parametric face: `draw_face(seed)` gives a picture and its 68 landmarks."""

from flaxmark.drawing.distribution import sample_parameters
from flaxmark.drawing.other_markups import convert_landmarks
from flaxmark.drawing.parameters import FaceParameters
from flaxmark.drawing.portrait import draw, draw_face

__all__ = ["FaceParameters", "convert_landmarks", "draw", "draw_face", "sample_parameters"]
