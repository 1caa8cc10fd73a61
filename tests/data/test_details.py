"""Details of drawn faces stay where they belong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flaxmark.data.drawn import FaceParameters, draw, portray
from flaxmark.data.drawn.head.pose import View
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.portrait import neck_patch

BALD = FaceParameters(hairstyle="bald", detail_seed=3)


@pytest.mark.parametrize(
    ("details", "others"), [({"wrinkle": 0.0}, {"wrinkle": 1.0}), ({"glasses": "clear"}, {"glasses": "dark"})], ids=str
)
def test_the_back_of_the_head_has_no_face(details: dict[str, Any], others: dict[str, Any]) -> None:
    p = replace(BALD, yaw=75.0, light=(0.0, 0.0, 1.0))
    image, other = (draw(replace(p, **own), 128)[0].astype(int) for own in (details, others))
    places = View(Head(p), 128).places
    difference = np.abs(image - other).max(axis=-1)[: int(places[8, 1])]
    # The exposure is that of the whole face, so that all of it changes a little.
    assert difference[:, : int(places[0, 0]) - 8].max() <= 24 < difference.max()


def test_a_moustache_leaves_the_lips_or_hangs_over_the_upper_one() -> None:
    p = replace(BALD, beard_line=0.2)
    view = View(Head(p), 128)
    lips = np.round(view.places[[50, 51, 52, 56, 57, 58], :2] + np.repeat([[0, 1.5], [0, -2]], 3, axis=0)).astype(int)
    for overhang, hidden in ((0.0, [False] * 6), (1.0, [True] * 3 + [False] * 3)):
        image, bare = (draw(replace(p, moustache=m, overhang=overhang), 128)[0].astype(int) for m in (1.0, 0.0))
        difference = np.abs(image - bare).max(axis=-1)[lips[:, 1], lips[:, 0]]
        np.testing.assert_array_equal(difference > 30, hidden)


@pytest.mark.parametrize("pose", [{}, {"pitch": 20.0}, {"pitch": -20.0}, {"yaw": 40.0, "pitch": 15.0}], ids=str)
def test_the_widest_neck_and_chin_hide_no_landmark(pose: dict[str, Any]) -> None:
    thin = portray(replace(BALD, **pose, neck_width=0.3, under_chin=0.0), 160).visible
    fat = portray(replace(BALD, **pose, neck_width=0.42, under_chin=1.0), 160).visible
    np.testing.assert_array_equal(fat, thin)


def test_a_double_chin_comes_forward_but_not_before_the_chin() -> None:
    tops = []
    for under_chin in (0.0, 1.0):
        head = Head(replace(BALD, under_chin=under_chin))
        view = View(head, 128)
        neck = neck_patch(head, view)[0].positions
        below = np.abs(neck[..., 1] - (view.turn(head.lift(head.points[8:9]))[0, 1] + 0.03)) < 0.03
        tops.append(neck[below][:, 2].max())
    chin = view.turn(head.lift(head.points[8:9]))[0, 2]
    assert tops[0] + 0.1 < tops[1] < chin


def test_a_beard_goes_on_below_the_chin() -> None:
    p = replace(BALD, hair=(0.1, 0.1, 0.1), beard=1.0, under_chin=0.5, neck_shade=0.0, collar=0.16)
    short, long = (draw(replace(p, beard_length=length), 128)[0].astype(int) for length in (0.0, 1.0))
    rows = np.nonzero(np.abs(short - long).max(axis=-1) > 30)[0]
    chin = View(Head(p), 128).places[8, 1]
    assert len(rows) > 20 and rows.min() > chin - 6


def test_breadth_moves_features_and_not_the_outline() -> None:
    narrow, broad = (Head(replace(BALD, breadth=b)).points for b in (-0.1, 0.1))
    np.testing.assert_allclose(narrow[:17], broad[:17], atol=1e-12)
    np.testing.assert_allclose(broad[17:, 0] * 1.1, narrow[17:, 0] * 0.9, atol=0.02)
