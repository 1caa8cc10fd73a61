import dataclasses
from typing import Any

import numpy as np
import pytest

from flaxmark.errors import DataError
from flaxmark.faces.markup import IBUG_68, flip_landmarks


def test_flip_order_is_the_published_one() -> None:
    # The permutation as 300-W users write it out.
    pairs = [(i, 16 - i) for i in range(17)] + [(17 + i, 26 - i) for i in range(10)]
    pairs += [(i, i) for i in range(27, 31)] + [(31 + i, 35 - i) for i in range(5)]
    pairs += list(zip([36, 37, 38, 39, 40, 41], [45, 44, 43, 42, 47, 46], strict=True))
    pairs += [(48 + i, 54 - i) for i in range(7)] + [(55 + i, 59 - i) for i in range(5)]
    pairs += [(60 + i, 64 - i) for i in range(5)] + [(65, 67), (66, 66), (67, 65)]
    for a, b in pairs:
        assert IBUG_68.flip_order[a] == b
        assert IBUG_68.flip_order[b] == a
    assert sorted(IBUG_68.flip_order) == list(range(68))


def test_flip_twice_is_nothing() -> None:
    landmarks = np.random.default_rng(0).normal(size=(3, 68, 2))
    np.testing.assert_allclose(flip_landmarks(flip_landmarks(landmarks)), landmarks, atol=1e-12)


def test_flip_moves_the_left_eye_corner_to_the_right() -> None:
    landmarks = np.zeros((68, 2))
    landmarks[36] = 0.25, 0.4
    assert flip_landmarks(landmarks)[45].tolist() == [0.75, 0.4]


def test_numbers_are_those_of_the_figure() -> None:
    # Sagonas et al., ICCV workshops 2013, figure 1, counted from 0.
    first_and_last = {"jaw": (0, 16), "brows": (17, 26), "nose": (27, 35), "eyes": (36, 47), "mouth": (48, 67)}
    assert {name: (points[0], points[-1]) for name, points in IBUG_68.parts.items()} == first_and_last
    assert [i for part in IBUG_68.parts.values() for i in part] == list(range(68))
    assert [" ".join(map(str, line)) for line in IBUG_68.outlines[1:]] == [
        "17 18 19 20 21",
        "22 23 24 25 26",
        "27 28 29 30",
        "31 32 33 34 35",
        "36 37 38 39 40 41 36",
        "42 43 44 45 46 47 42",
        "48 49 50 51 52 53 54 55 56 57 58 59 48",
        "60 61 62 63 64 65 66 67 60",
    ]
    assert IBUG_68.outlines[0] == IBUG_68.parts["jaw"]
    assert IBUG_68.interocular == (36, 45)  # the outer corners
    assert IBUG_68.eyes == ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))


ORDER = IBUG_68.flip_order or ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"interocular": (36, 68)}, "interocular has point 68"),
        ({"interocular": (36, 36)}, "interocular is point 36 twice"),
        ({"eyes": ((), (42,))}, "eyes[0] is empty"),
        ({"eyes": ((36,), (-1,))}, "eyes[1] has point -1"),
        ({"parts": {"nose": (27, 99)}}, "parts.nose has point 99"),
        ({"outlines": ((0, 1), (68,))}, "outlines[1] has point 68"),
        ({"flip_order": ORDER[:-1]}, "flip_order has 67 entries for 68 points"),
        ({"flip_order": (68, *ORDER[1:])}, "flip_order[0] is 68"),
        ({"flip_order": (-1, *ORDER[1:])}, "flip_order[0] is -1"),
        ({"flip_order": (*ORDER[:-1], 67)}, "flip_order[65] is 67, but flip_order[67] is 67"),
    ],
)
def test_indices_that_cannot_be_are_named(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as caught:
        dataclasses.replace(IBUG_68, **change)
    assert caught.value.reason.startswith(reason)


def test_first_and_last_point_may_be_named() -> None:
    markup = dataclasses.replace(IBUG_68, interocular=(0, 67), parts={"all": (0, 67)})
    assert markup.interocular == (0, 67)
