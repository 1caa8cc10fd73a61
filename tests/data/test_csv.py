"""Faces in CSV files, as they should be, as other programs write them, and as they should not be."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import Tree

from flaxmark.data import entries
from flaxmark.data.readers.csv_files import read_csv_folder
from flaxmark.data.readers.lists import MAX_BYTES
from flaxmark.errors import DataError

real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")
POINTS = np.random.default_rng(0).uniform(-5, 300, (68, 2)).round(3)
ROW = "a.jpg," + ",".join(f"{value}" for value in POINTS.ravel())


def test_csv_defaults(csv_tree: Tree) -> None:
    listing = read_csv_folder(csv_tree.folder, 68, None, None, None)
    assert not listing.problems
    assert Counter(e.split for e in listing.entries) == {"train": 30, "test": 6}
    assert listing.found == {"test_frames_keypoints.csv": (6, 6), "training_frames_keypoints.csv": (30, 30)}
    for entry in listing.entries:
        np.testing.assert_array_equal(entry.landmarks_px, csv_tree.faces[entry.file])
    assert len({e.photograph for e in listing.entries if e.split == "train"}) == 15


def test_csv_lines(tmp_path: Path) -> None:
    for name in ("a_1.jpg", "b.png"):
        (tmp_path / name).write_bytes(b"")
    row = ",".join(str(v) for v in POINTS.ravel())
    lines = [
        f"a_1.jpg,{row}",  # no header
        "",
        f"none.jpg,{row}",
        f"../b.png,{row}",
        f"b.png,{row},7",
        f"b.png,{row},7,8",
        f"b.png,{row.replace('.', 'x', 1)}",
        f"b.png,{row.replace(str(POINTS[3, 0]), 'nan', 1)}",
    ]
    (tmp_path / "faces.csv").write_text("\n".join(lines))
    listing = read_csv_folder(tmp_path, 68, None, None, None)
    assert [(e.file, e.split, e.photograph) for e in listing.entries] == [("a_1.jpg", "train", "a")]
    np.testing.assert_array_equal(listing.entries[0].landmarks_px, POINTS)
    wrong = [
        entries.MISSING,
        entries.LEAVES_FOLDER,
        entries.MALFORMED,
        entries.POINT_COUNT,
        entries.MALFORMED,
        entries.NOT_FINITE,
    ]
    assert [p.reason for p in listing.problems] == wrong
    assert "faces.csv:3" in listing.problems[0].detail


def test_a_csv_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text(ROW)
    os.truncate(tmp_path / "faces.csv", MAX_BYTES + 1)
    for named in (None, "faces.csv"):
        with pytest.raises(DataError) as caught:
            read_csv_folder(tmp_path, 68, named, None, None)
        assert caught.value.file == tmp_path / "faces.csv"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ROW.replace(",", ";"), "line 1: has no comma"),
        (ROW.replace(",", "\t"), "line 1: has no comma"),
        ('"' + ROW, "line 1: has no comma"),
        (ROW.replace("a.jpg", "a.jpg\0"), "line 1: not text"),
        (ROW.encode("utf-16"), "line 1: not text"),
        ("a.jpg," + "1," * 10_000_000, "line 1: more than 1,000,000"),
        ('"' + "a\n" * 500_000, "field larger than"),
    ],
)
def test_csv_files_that_are_none(tmp_path: Path, content: str | bytes, message: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "f.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message) as caught:
        read_csv_folder(tmp_path, 68, None, None, None)
    assert caught.value.file == tmp_path / "f.csv"


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("\ufeff" + ROW, []),
        (ROW.replace("a.jpg", '"a.jpg"') + "\r\n", []),
        ("image,x,y\n" + ROW, []),
        (ROW.replace("a.jpg", "\udce4.jpg"), [entries.MISSING]),
        ("a.jpg," + "1,5," * 135 + "1,5", [entries.POINT_COUNT]),  # decimal commas
        (ROW + "\n" + ROW.replace(f"{POINTS[0, 0]}", "1,5"), [entries.MALFORMED]),
        (ROW.replace("a.jpg", ".\\a.jpg"), []),
        (ROW.replace(f"{POINTS[0, 0]}", "9" * 5000), [entries.NOT_FINITE]),
    ],
)
def test_csv_as_other_programs_write_it(tmp_path: Path, content: str, problems: list[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "f.csv").write_text(content, encoding="utf-8", errors="surrogateescape", newline="")
    listing = read_csv_folder(tmp_path, 68, None, None, None)
    assert [problem.reason for problem in listing.problems] == problems
    assert len(listing.entries) == (not problems or "\n" in content)


def test_csv_files_that_are_named(csv_tree: Tree) -> None:
    name = "test_frames_keypoints.csv"
    listing = read_csv_folder(csv_tree.folder, 68, "training_frames_keypoints.csv", str(csv_tree.folder / name), None)
    assert Counter((e.split, e.subset) for e in listing.entries) == {
        ("train", "training"): 30,
        ("validation", "test"): 6,
    }
    with pytest.raises(DataError) as caught:
        read_csv_folder(csv_tree.folder, 68, None, None, "no.csv")
    assert (caught.value.field, caught.value.value) == ("data.test_list", "no.csv")
    with pytest.raises(DataError) as caught:
        read_csv_folder(csv_tree.folder / "test", 68, None, None, None)
    assert (caught.value.field, caught.value.value) == ("data.dir", csv_tree.folder / "test")


@real
def test_real_csv() -> None:
    listing = read_csv_folder(Path(os.environ["FLAXMARK_DATA"]) / "ytf", 68, None, None, None)
    assert Counter(e.split for e in listing.entries) == {"train": 2655, "test": 591}


def test_a_header_says_where_the_coordinates_are(tmp_path: Path) -> None:
    points = np.arange(24.0).reshape(12, 2) + np.array([1, 0.5])
    (tmp_path / "a.jpg").write_bytes(b"")
    numbers = range(12)
    by_axis = [*(("x", n) for n in numbers), *(("y", n) for n in numbers)]
    in_pairs = [(axis, n) for n in numbers for axis in ("x", "y")]
    shuffled = [in_pairs[i] for i in np.random.default_rng(0).permutation(24)]
    styles = ["{0}{1}", "{0}_{1}", "{1}_{0}", "landmark_{1}_{0}", "{0}[{1}]", " {0}_{1} ", "{0}{1:03d}", "P{1}.{0}"]
    for order in (by_axis, in_pairs, shuffled):
        for first in (0, 1):
            for style in styles:
                names = [style.format(axis, n + first) for axis, n in order]
                cells = [f"{points[n]['xy'.index(axis)]}" for axis, n in order]
                (tmp_path / "f.csv").write_text(f"image,{','.join(names)}\na.jpg,{','.join(cells)}\n")
                listing = read_csv_folder(tmp_path, 12, None, None, None)
                np.testing.assert_array_equal(listing.entries[0].landmarks_px, points)


def test_named_points_are_in_the_order_of_their_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    header = ",x_left_eye,x_right_eye,y_left_eye,y_right_eye,filename,score"  # with pandas's index
    (tmp_path / "f.csv").write_text(f"{header}\n0,1,2,3,4,a.jpg,0.5\n")
    entry = read_csv_folder(tmp_path, 2, None, None, None).entries[0]
    assert entry.landmarks_px.tolist() == [[1, 3], [2, 4]]
    assert entry.file == "a.jpg"


@pytest.mark.parametrize(
    "header",
    ["image,x0,x1,y0,z1", "image,x0,y0,x0,y1", "image,x0,y0,x2,y2", "x0,y0,x1,y1", "image,x0,x1,x2,x3"],
)
def test_headers_that_cannot_be_meant(tmp_path: Path, header: str) -> None:
    (tmp_path / "f.csv").write_text(f"{header}\na.jpg,1,2,3,4\n")
    with pytest.raises(DataError) as caught:
        read_csv_folder(tmp_path, 2, None, None, None)
    assert caught.value.file == tmp_path / "f.csv"


def test_a_header_with_another_number_of_points(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "f.csv").write_text("image,x0,y0,x1,y1,x2,y2\na.jpg,1,2,3,4,5,6\n")
    assert [p.reason for p in read_csv_folder(tmp_path, 2, None, None, None).problems] == [entries.POINT_COUNT]
