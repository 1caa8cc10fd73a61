import os
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import format_pts
from hypothesis import given, settings
from hypothesis import strategies as st

from flaxmark.data import entries
from flaxmark.data.entries import AnnotationError
from flaxmark.data.readers.pts import read_pts, read_pts_folder

POINTS = np.random.default_rng(0).uniform(-5, 300, (68, 2)).round(3)
real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")


@pytest.fixture
def pts(tmp_path: Path) -> Path:
    return tmp_path / "face.pts"


@pytest.mark.parametrize("style", range(4))
def test_pts_styles(pts: Path, style: int) -> None:
    pts.write_bytes(format_pts(POINTS, style))
    np.testing.assert_allclose(read_pts(pts, 68), POINTS, atol=1e-6)
    assert read_pts(pts, 68).dtype == np.float64


def test_pts_start_at_one(pts: Path) -> None:
    pts.write_text("version: 1\nn_points: 68\n{\n" + "1 1\n" * 67 + "3.5 11\n}\n")
    points = read_pts(pts, 68)
    assert points[0].tolist() == [0, 0]
    assert points[67].tolist() == [2.5, 10]


def test_pts_braces_beside_points_and_a_byte_order_mark(pts: Path) -> None:
    lines = [f"{x} {y}" for x, y in POINTS + 1]
    pts.write_text("\ufeffversion: 1 {" + "\n".join(lines) + "}\n7 7\n", encoding="utf-8")
    np.testing.assert_allclose(read_pts(pts, 68), POINTS)


@pytest.mark.parametrize("count", ["68\n", "\ufeff 68 \r\n", "version: 1\n68\n", "n_points: 68\n{\n68\n"])
def test_pts_whose_number_stands_above_them(pts: Path, count: str) -> None:
    pts.write_text(count + "\n".join(f"{x} {y}" for x, y in POINTS + 1), encoding="utf-8")
    np.testing.assert_allclose(read_pts(pts, 68), POINTS)


def test_pts_with_a_name_in_capitals(tmp_path: Path) -> None:
    """Files that DOS programs have written: the annotation of FACE.JPG is FACE.PTS."""
    for name in ("FACE.JPG", "other.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "FACE.PTS").write_bytes(format_pts(POINTS, 0))
    (tmp_path / "other.pts").write_bytes(format_pts(POINTS + 1, 0))
    listing = read_pts_folder(tmp_path, 68)
    assert listing.problems == []
    assert [entry.file for entry in listing.entries] == ["FACE.JPG", "other.jpg"]
    np.testing.assert_allclose(listing.entries[0].landmarks_px, POINTS, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("", entries.EMPTY, "empty"),
        ("version: 1\nn_points: 68\n{\n}\n", entries.EMPTY, "no points"),
        ("1 2\n", entries.POINT_COUNT, "line 1: 1 point instead of 68"),
        ("1 2\n" * 67, entries.POINT_COUNT, "line 67: 67 points instead of 68"),
        ("version: 1\n{\n" + "1 2\n" * 70 + "}", entries.POINT_COUNT, "line 71: 70 points instead of 68"),
        ("1 2\n" * 60 + "one 2\n" + "1 2\n" * 7, entries.MALFORMED, "line 61: 'one 2' is not two numbers"),
        ("1 2\n" * 60 + "1 2 3\n" + "1 2\n" * 7, entries.MALFORMED, "line 61: "),
        ("1 2\n9 8\n" * 33 + "nan 2\n1 2\n", entries.NOT_FINITE, "point 66 is not finite"),
        ("1 2\n9 8\n" * 33 + "1 -inf\n1 2\n", entries.NOT_FINITE, "point 66 is not finite"),
        ("67\n" + "1 2\n" * 68, entries.POINT_COUNT, "line 1: 67 points, but there are 68"),
        ("68\n", entries.POINT_COUNT, "line 1: 68 points, but there are 0"),
        ("9" * 5000 + "\n" + "1 2\n" * 67, entries.MALFORMED, "line 1: "),
        ("5 5\n" * 68, entries.NO_EXTENT, "span less than one pixel"),
        ("1 2\n" * 300_000, entries.MALFORMED, "above 1000000 bytes"),
    ],
)
def test_bad_pts(pts: Path, content: str, kind: str, message: str) -> None:
    pts.write_text(content)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_pts(pts, 68)
    assert (caught.value.kind, caught.value.file) == (kind, pts)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_points_or_one_clear_error(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.pts"
    path.write_bytes(noise)
    with pytest.raises(AnnotationError) as caught:
        read_pts(path, 68)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("count", "name"), [(5, "five_points"), (98, "wflw_98"), (7, None)])
def test_another_mark_up_is_named_by_its_number_of_points(pts: Path, count: int, name: str | None) -> None:
    pts.write_text("\n".join(f"{point} {point**2}" for point in range(count)))
    with pytest.raises(AnnotationError) as caught:
        read_pts(pts, 68)
    assert ("--data.markup" in str(caught.value)) == (name is not None)
    assert name is None or name in str(caught.value)


def test_two_images_cannot_share_a_file(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"an image")
    for name in ("a.pts", "b.pts"):
        (tmp_path / name).write_bytes(format_pts(POINTS, 0))
    listing = read_pts_folder(tmp_path, 68)
    assert [entry.file for entry in listing.entries] == ["b.jpg"]
    assert [(problem.file, problem.reason) for problem in listing.problems] == [
        ("a.jpg", entries.SHARED),
        ("a.png", entries.SHARED),
    ]


def test_an_image_has_several_faces_as_predict_writes_them(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "b_face1.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"an image")
    for number, name in enumerate(("a_face2", "a_face1", "b_face1", "c", "c_face1", "d_face1")):
        (tmp_path / f"{name}.pts").write_bytes(format_pts(POINTS + number, 0))
    listing = read_pts_folder(tmp_path, 68)
    first = [(entry.file, round(float((entry.landmarks_px - POINTS).mean()))) for entry in listing.entries]
    assert sorted(first) == [("a.jpg", 0), ("a.jpg", 1), ("b_face1.jpg", 2), ("c.jpg", 3)]
    problems = {(problem.file, problem.reason) for problem in listing.problems}
    left = {"b.jpg": entries.NO_ANNOTATION, "c_face1.pts": entries.NO_IMAGE, "d_face1.pts": entries.NO_IMAGE}
    assert problems == set(left.items())
    assert listing.found == {".": (4, 5)}
