"""The mean head of the drawn people: landmarks in three dimensions, for head poses."""

from dataclasses import replace
from functools import cache

import numpy as np

from flaxmark.data.drawn.arrays import Floats, Points
from flaxmark.data.drawn.head.annotation import annotated
from flaxmark.data.drawn.head.distribution import mean_person
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.other_markups import convert_landmarks, point_weights
from flaxmark.faces.head_pose import head_poses
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.faces.markup_files import is_built_in

JAW_WEIGHT = 0.03
"""Of a point of the jaw, relative to others: it is where the outline is seen, and not a fixed place of the head."""

USUAL_TURN = 25.0
"""Degrees of the turn for which the landmarks are right: what annotators mean by some of them depends on it, and the
errors of poses up to 60 degrees are smallest with one in between."""


@cache
def mean_head(markup: Markup) -> tuple[Points, Points] | None:
    """Landmarks `[points, 3]` in face units and their weights `[points]` in a fit; None for schemes of the user's.

    x is to the image's right, y down, z towards the camera.
    """
    if not is_built_in(markup):
        return None
    head = Head(replace(mean_person(), yaw=USUAL_TURN))
    weights = np.where(np.isin(np.arange(IBUG_68.num_points), IBUG_68.parts["jaw"]), JAW_WEIGHT, 1.0)
    if markup.name != IBUG_68.name:
        weights = point_weights(markup.name) @ weights
    positions = convert_landmarks(annotated(head.lift(head.points), head), markup.name)
    return np.asarray(positions, np.float64), np.asarray(weights)


def poses_of(landmarks: Floats, markup: Markup) -> Points:
    """Yaw, pitch and roll `[..., 3]` of faces with landmarks `[..., points, 2]`, in degrees; NaN where not known."""
    mean = mean_head(markup)
    return np.full((*np.shape(landmarks)[:-2], 3), np.nan) if mean is None else head_poses(landmarks, *mean)
