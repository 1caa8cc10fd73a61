"""The first look at a data set: points in another order or in other axes are refused by name."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.images import draw, encode

from flaxmark.data.config import DataConfig
from flaxmark.data.drawn import convert_landmarks
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.head.pose import View
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.readers.arrangement import check_arrangement, misfits, reference_face
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import DataError
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.faces.markup_files import FIVE_POINTS, MARKUPS

real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")
SIZE, ROOT = 128, Path("set")
FACES = [draw(seed, SIZE)[1] for seed in range(12)]
ORDER = np.random.default_rng(0).permutation(68)
WRONG: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "columns": (lambda p: np.concatenate([p[:, 0], p[:, 1]]).reshape(-1, 2), "x_0 .. x_n, y_0 .. y_n"),
    "columns, y first": (lambda p: np.concatenate([p[:, 1], p[:, 0]]).reshape(-1, 2), "y_0 .. y_n, x_0 .. x_n"),
    "swapped": (lambda p: p[:, ::-1], "x and y are swapped"),
    "upwards": (lambda p: p * [1, -1] + [0, SIZE - 1], "y points upwards"),
    "mirrored": (lambda p: p * [-1, 1] + [SIZE - 1, 0], "mirrored"),
    "renamed": (lambda p: p[list(IBUG_68.flip_order or ())], "mirrored"),
    "shifted": (lambda p: np.roll(p, 1, axis=0), "shifted by one"),
    "shifted back": (lambda p: np.roll(p, -1, axis=0), "shifted by one"),
    "reversed": (lambda p: p[::-1], "reverse"),
    "another order": (lambda p: p[ORDER], "do not look like faces"),
}


def turned(yaw: float, pitch: float = 0, roll: float = 0) -> np.ndarray:
    return View(Head(FaceParameters(yaw=yaw, pitch=pitch, roll=roll)), SIZE).landmarks


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("count", [2, 12])
def test_points_in_another_arrangement_are_refused_by_name(kind: str, count: int) -> None:
    change, cause = WRONG[kind]
    with pytest.raises(DataError) as caught:
        check_arrangement([change(face) for face in FACES[:count]], IBUG_68, ROOT)
    assert (caught.value.field, caught.value.value) == ("data.dir", ROOT)
    assert cause in caught.value.reason


@pytest.mark.parametrize("markup", MARKUPS.values(), ids=lambda m: m.name)
def test_turned_heads_and_single_faces_are_no_false_alarm(markup: Markup) -> None:
    poses = [turned(yaw) for yaw in (-90, -60, 0, 60, 90)]
    poses += [turned(30, pitch) for pitch in (-25, 25)] + [turned(0, roll=roll) for roll in (-60, 90, 180)]
    for face in [*FACES, *poses]:
        check_arrangement([convert_landmarks(face, markup.name)], markup, ROOT)
    check_arrangement([], markup, ROOT)


def test_one_odd_face_among_others_is_no_reason_to_refuse() -> None:
    check_arrangement([*FACES, FACES[0][:, ::-1], FACES[1][ORDER]], IBUG_68, ROOT)


def test_missing_points_do_not_hide_the_arrangement() -> None:
    rng = np.random.default_rng(0)
    sparse = [np.where(rng.random((68, 1)) < 0.4, np.nan, face) for face in FACES]
    check_arrangement(sparse, IBUG_68, ROOT)
    with pytest.raises(DataError, match="swapped"):
        check_arrangement([face[:, ::-1] for face in sparse], IBUG_68, ROOT)


def test_a_scheme_of_ones_own_is_not_checked() -> None:
    mine = Markup(**vars(FIVE_POINTS) | {"name": "mine"})
    assert reference_face(mine) is None
    check_arrangement([np.random.default_rng(0).uniform(0, 99, (5, 2))], mine, ROOT)


def test_misfit_of_known_shapes() -> None:
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    same = square @ np.array([[0, 3], [-3, 0]]) + 7  # turned by 90 degrees, larger, elsewhere
    values, alike = misfits(np.stack([same, square[:, ::-1]]), square)
    np.testing.assert_allclose(values, [0, 1], atol=1e-7)  # a mirrored square has no likeness to it
    assert np.degrees(np.angle(alike[0])) == pytest.approx(90)


def test_every_reader_looks(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw(0)[0]))
    rows = [",".join(["a.png", *(f"{v:.2f}" for v in face.T.ravel())]) for face in FACES]
    (tmp_path / "faces.csv").write_text("\n".join(rows))
    with pytest.raises(DataError) as caught:
        read_listing(DataConfig("csv"), tmp_path)
    assert caught.value.field == "data.dir"
    assert "x_0 .. x_n" in caught.value.reason


@real
@pytest.mark.parametrize(("name", "folder"), [("ibug_300w", "300w"), ("csv", "ytf")])
def test_no_false_alarm_on_real_faces(name: str, folder: str) -> None:
    root = Path(os.environ["FLAXMARK_DATA"]) / folder
    listing = read_listing(DataConfig(name), root)
    points = np.stack([entry.landmarks_px for entry in listing.entries])
    for markup in MARKUPS.values():
        reference = reference_face(markup)
        assert reference is not None
        values = misfits(convert_landmarks(points, markup.name), reference)[0]
        assert np.median(values) < 0.17
        assert values.max() < 0.55
