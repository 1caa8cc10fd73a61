"""Points that are not there, as each format marks them: they become NaN, and the face stays."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import format_pts
from helpers.images import draw, encode

from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.prepare.prepare import load_split, prepare
from flaxmark.data.readers.listing import read_listing
from flaxmark.data.readers.missing_marks import mark_missing
from flaxmark.errors import DataError
from flaxmark.faces.crop import to_pixels
from flaxmark.faces.missing import present

IMAGE, FACE = draw(0)
GONE = [3, 40]


def keypoints(points: np.ndarray, gone: object = (0, 0, 0)) -> list[object]:
    return [v for i, (x, y) in enumerate(points.tolist()) for v in (gone if i in GONE else (x, y, 2))]  # type: ignore[attr-defined]


def write(folder: Path, kind: str, mark: str) -> None:
    """Three faces, of which one lacks two points."""
    for seed in (0, 1, 2):
        (folder / f"p{seed}.png").write_bytes(encode(draw(seed)[0]))
    rows = []
    annotations = []
    for seed in (0, 1, 2):
        points = draw(seed)[1]
        words = [[f"{x:.3f}", f"{y:.3f}"] for x, y in points + (kind == "pts")]
        for i in GONE if seed == 0 else []:
            words[i] = mark.split("|")
        if kind == "pts":
            (folder / f"p{seed}.pts").write_text("{\n" + "\n".join(" ".join(pair) for pair in words) + "\n}\n")
        rows.append(",".join([f"p{seed}.png", *(word for pair in words for word in pair)]))
        gone = json.loads(f"[{mark.replace('|', ',')}]") if seed == 0 and kind == "coco" else None
        values = keypoints(points, gone) if gone else [v for x, y in points.tolist() for v in (x, y, 2)]
        annotations.append({"image_id": seed, "keypoints": values})
    if kind == "csv":
        (folder / "faces.csv").write_text("\n".join(rows))
    if kind == "coco":
        images = [{"id": seed, "file_name": f"p{seed}.png"} for seed in (0, 1, 2)]
        (folder / "faces.json").write_text(json.dumps({"images": images, "annotations": annotations}))


@pytest.mark.parametrize(
    ("kind", "mark"),
    [
        ("pts", "-1|-1"), ("pts", "-1.000|-1.0"), ("pts", "nan|NaN"), ("pts", "0|0"), ("pts", "-999|-999"),
        ("csv", "|"), ("csv", "-1|-1"), ("csv", "NA|NA"), ("csv", "nan|nan"), ("csv", "0.0|0.0"), ("csv", "null|None"),
        ("coco", "0|0|0"), ("coco", "12|13|0"), ("coco", "-1|-1|2"), ("coco", "null|null|0"), ("coco", "NaN|NaN|2"),
    ],
)  # fmt: skip
def test_a_marked_point_is_missing_and_its_face_stays(tmp_path: Path, kind: str, mark: str) -> None:
    write(tmp_path, kind, mark)
    listing = read_listing(DataConfig(kind), tmp_path)
    assert [entry.file for entry in listing.entries] == ["p0.png", "p1.png", "p2.png"]
    points = listing.entries[0].landmarks_px
    assert np.flatnonzero(~present(points)).tolist() == GONE
    rest = present(points)
    np.testing.assert_allclose(points[rest], FACE[rest], atol=1e-3)
    assert present(listing.entries[1].landmarks_px).all()
    assert [(p.reason, p.known) for p in listing.problems] == [(entries.POINTS_MISSING, True)]
    assert "2 points of 1 faces" in listing.problems[0].detail


def test_missing_points_stay_missing_in_prepared_faces(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write(tmp_path / "set", "pts", "-1|-1")
    prepared = prepare(DataConfig("pts", dir=str(tmp_path / "set"), prepared_dir=str(tmp_path / "prepared")))
    assert prepared.problem_counts() == {entries.POINTS_MISSING: 1}
    for split in prepared.counts:
        examples = load_split(prepared, split)
        for i, file in enumerate(examples.files):
            points = to_pixels(examples.landmarks[i], examples.source_crops[i])
            exact = draw(int(file[1]))[1]
            gone = GONE if file == "p0.png" else []
            assert np.flatnonzero(~present(points)).tolist() == gone
            np.testing.assert_allclose(np.delete(points, gone, axis=0), np.delete(exact, gone, axis=0), atol=1e-3)


def test_zeros_in_the_corner_of_the_image_may_be_a_point() -> None:
    corner = FACE - FACE.min(axis=0)  # a face that touches the corner
    corner[3] = 0
    np.testing.assert_array_equal(mark_missing(corner), corner)
    corner[4] = 0  # but not twice
    assert np.flatnonzero(~present(mark_missing(corner))).tolist() == [3, 4]
    far = FACE + 500
    far[7] = 0
    assert np.flatnonzero(~present(mark_missing(far))).tolist() == [7]
    outside = FACE - FACE.min(axis=0) - 1
    outside[5] = (-1, -1)  # always a mark
    assert np.flatnonzero(~present(mark_missing(outside))).tolist() == [5]
    real = FACE.copy()
    real[:3] = [[-3, 12], [0, 40.5], [-1, 30]]  # one coordinate alone is none
    np.testing.assert_array_equal(mark_missing(real), real)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.where(np.arange(68)[:, None] < 66, np.nan, FACE), entries.NOT_LABELLED),
        (np.where(np.arange(136).reshape(68, 2) == 20, np.nan, FACE), entries.NOT_FINITE),
        (np.where(np.arange(68)[:, None] > 2, np.nan, FACE * 0.001 + 50), entries.NO_EXTENT),
        (FACE / 200, entries.NO_EXTENT),
    ],
)
def test_faces_that_have_too_little(points: np.ndarray, reason: str) -> None:
    with pytest.raises(entries.AnnotationError) as caught:
        entries.check_landmarks(points, "a", 68)
    assert caught.value.kind == reason


def test_half_a_point_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(IMAGE))
    lines = format_pts(FACE, 0).decode().splitlines()
    lines[10] = "nan 12"
    (tmp_path / "a.pts").write_text("\n".join(lines))
    listing = read_listing(DataConfig("pts"), tmp_path)
    assert [problem.reason for problem in listing.problems] == [entries.NOT_FINITE]
    with pytest.raises(DataError):
        prepare(DataConfig("pts", dir=str(tmp_path), prepared_dir=str(tmp_path / "prepared")))
