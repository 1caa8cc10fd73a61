import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.images import draw

from flaxmark.data.drawn import convert_landmarks
from flaxmark.errors import DataError
from flaxmark.faces.markup import IBUG_68, Markup, flip_landmarks
from flaxmark.faces.markup_files import (
    FIVE_POINTS,
    MARKUPS,
    WFLW_98,
    check_flip_order,
    load_markup,
    markup_from_json,
    markup_to_json,
)

# WFLW's pairs as its users write them out (Wu et al., CVPR 2018); the jaw is point i and 32 - i.
WFLW_PAIRS = [
    (33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49), (40, 48), (41, 47), (55, 59), (56, 58),
    (60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (65, 75), (66, 74), (67, 73), (76, 82), (77, 81), (78, 80),
    (83, 87), (84, 86), (88, 92), (89, 91), (93, 95), (96, 97),
]  # fmt: skip
THREE = {"name": "three", "num_points": 3, "interocular": [0, 1], "flip_order": [1, 0, 2]}


@functools.cache
def mean_face() -> np.ndarray:
    return np.mean([draw(seed, 48)[1] for seed in range(40)], axis=0) / 48


def test_wflw_mirrors_as_published() -> None:
    pairs = dict(WFLW_PAIRS) | {i: 32 - i for i in range(17)}
    expected = list(range(98))
    for a, b in pairs.items():
        expected[a], expected[b] = b, a
    assert WFLW_98.flip_order == tuple(expected)


@pytest.mark.parametrize("markup", MARKUPS.values(), ids=list(MARKUPS))
def test_ready_made_markups_mirror_the_mean_face(markup: Markup) -> None:
    points = convert_landmarks(mean_face(), markup.name)
    assert points.shape == (markup.num_points, 2)
    check_flip_order(markup, points)
    np.testing.assert_allclose(flip_landmarks(flip_landmarks(points, markup), markup), points, atol=1e-12)
    assert sorted(i for part in markup.parts.values() for i in part) == list(range(markup.num_points))
    assert {i for line in markup.outlines for i in line} == set(range(markup.num_points))
    left, right = (points[list(eye)].mean(axis=0) for eye in markup.eyes)
    assert left[0] < right[0]  # the image's left
    # A face whose points are mirrored is as good as the face.
    mirrored = flip_landmarks(points, markup)
    assert np.abs(mirrored - points).max() < 0.1


@pytest.mark.parametrize("angle", [0, 25, -60])
def test_a_wrong_pair_is_named_however_the_head_leans(angle: float) -> None:
    turn = np.radians(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    leaning = mean_face() @ matrix.T
    check_flip_order(IBUG_68, leaning)
    order = list(IBUG_68.flip_order or ())
    order[36], order[45], order[48], order[54] = 54, 48, 45, 36  # corners of eyes and mouth crosswise
    with pytest.raises(
        ValueError, match=r"flip_order\[\d+\] is (54|48|45|36), but point .* falls on point (45|36|54|48)"
    ):
        check_flip_order(dataclasses.replace(IBUG_68, flip_order=tuple(order)), leaning)


def test_faces_that_look_one_way_are_no_mistake() -> None:
    """A few faces may: the nose of their mean is off the middle, and still its own mirror image."""
    points = np.array([[-1.0, -1], [1, -1], [0.4, 0], [-0.7, 1], [0.7, 1]])
    check_flip_order(FIVE_POINTS, points)
    with pytest.raises(ValueError, match=r"flip_order\[(3|4)\] is (3|4), but point"):
        check_flip_order(dataclasses.replace(FIVE_POINTS, flip_order=(1, 0, 2, 3, 4)), points)


@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize("side", [1, -1])
def test_so_are_faces_that_are_all_turned_to_one_side(count: int, side: int) -> None:
    """As few photographs may be, or those of one film."""
    faces = np.stack([draw(seed, 48)[1] for seed in range(40)])
    nose = (faces[:, 30] - faces[:, [36, 45]].mean(axis=1))[:, 0] / np.ptp(faces[:, [36, 45], 0], axis=1)
    turned = faces[np.argsort(side * nose)[:count]].mean(axis=0)
    check_flip_order(IBUG_68, turned)
    with pytest.raises(ValueError, match="flip_order"):
        check_flip_order(dataclasses.replace(IBUG_68, flip_order=tuple(range(68))), turned)


def test_not_mirroring_at_all_is_a_mistake_and_no_flip_order_is_none() -> None:
    with pytest.raises(ValueError, match="flip_order"):
        check_flip_order(dataclasses.replace(IBUG_68, flip_order=tuple(range(68))), mean_face())
    check_flip_order(dataclasses.replace(IBUG_68, flip_order=None), mean_face())


def test_other_markups_are_where_the_68_points_are() -> None:
    face = mean_face()
    five, many = (convert_landmarks(face, name) for name in ("five_points", "wflw_98"))
    np.testing.assert_allclose(five[2:], face[[30, 48, 54]])
    np.testing.assert_allclose(five[0], face[36:42].mean(axis=0))
    np.testing.assert_allclose(many[0:33:2], face[:17])  # every other point of the jaw
    np.testing.assert_allclose(many[[60, 64, 68, 72]], face[[36, 39, 42, 45]])
    np.testing.assert_allclose(many[76:96], face[48:68])
    assert (many[38:42, 1] > many[33:37, 1].min()).all()  # the brows' lower edges are lower
    # A circle's points half-way between lie on it, to the cubic's error.
    circle = np.zeros((68, 2))
    angles = np.linspace(0, np.pi, 17)
    circle[:17] = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    radius = np.linalg.norm(convert_landmarks(circle, "wflw_98")[3:30], axis=-1)
    np.testing.assert_allclose(radius, 1, atol=1e-4)
    with pytest.raises(ValueError, match="not of mine"):
        convert_landmarks(face, "mine")


def test_a_file_gives_a_markup(tmp_path: Path) -> None:
    path = tmp_path / "three.json"
    path.write_text(json.dumps(THREE))
    markup = load_markup(path)
    assert (markup.num_points, markup.flip_order, markup.eyes) == (3, (1, 0, 2), ((0,), (1,)))
    assert load_markup("five_points") is FIVE_POINTS
    assert hash(markup) == hash(dataclasses.replace(markup))
    # All of it is in what a run writes, so the file is not needed again.
    assert markup_from_json(json.loads(json.dumps(markup_to_json(markup)))) == markup
    assert markup_to_json(IBUG_68) == "ibug_68"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"flip_order": [1, 2, 0]}, r"flip_order\[0\] is 1, but flip_order\[1\] is 2"),
        ({"flip_order": [1, 0]}, "2 entries for 3 points"),
        ({"flip_order": [1, 0, 3]}, r"flip_order\[2\] is 3; there are 0 to 2"),
        ({"flip_order": [1, 0, "2"]}, "flip_order must be a list of integers"),
        ({"flip_order": [True, False, 2]}, "integers"),
        ({"interocular": [0, 0]}, "interocular is point 0 twice"),
        ({"interocular": [0, 1, 2]}, "interocular must be two points"),
        ({"interocular": [0, -1]}, "interocular has point -1"),
        ({"eyes": [[0], [7]]}, r"eyes\[1\] has point 7"),
        ({"parts": {"nose": []}}, r"parts\.nose is empty"),
        ({"parts": [[0]]}, "parts must be an object"),
        ({"outlines": [[0, 9]]}, r"outlines\[0\] has point 9"),
        ({"num_points": 1}, "num_points 1"),
        ({"num_points": 10**9}, "num_points"),
        ({"points": 3}, "field 'points' is none of"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: dict, complaint: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(THREE | change))
    with pytest.raises(DataError, match=complaint) as caught:
        load_markup(path)
    assert caught.value.file == path


@pytest.mark.parametrize("text", ["[]", "{", "[" * 10**5, "x" * 1_000_001])
def test_files_that_are_no_markup(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        load_markup(path)
    assert caught.value.file == path
    assert "\n" not in str(caught.value)


def test_names_that_are_no_markup() -> None:
    with pytest.raises(DataError) as caught:
        load_markup("ibug")
    assert caught.value.file == "ibug"
    assert "ibug_68" in caught.value.reason
    with pytest.raises(DataError):
        markup_from_json("x")
    with pytest.raises(DataError, match="'interocular' is missing"):
        markup_from_json({"name": "x", "num_points": 5})


def test_a_scheme_without_a_flip_order_mirrors_nothing() -> None:
    one_way = dataclasses.replace(FIVE_POINTS, name="mine", flip_order=None)
    with pytest.raises(ValueError, match="flip_order"):
        flip_landmarks(np.zeros((5, 2)), one_way)
