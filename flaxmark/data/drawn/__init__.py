"""Faces drawn by a parametric model: `draw_face(seed)` returns an image and its 68 landmarks."""

from flaxmark.data.drawn.head.distribution import sample_parameters
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.other_markups import convert_landmarks
from flaxmark.data.drawn.portrait import draw, draw_face

__all__ = ["FaceParameters", "convert_landmarks", "draw", "draw_face", "sample_parameters"]
