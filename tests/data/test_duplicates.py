import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import Tree
from helpers.images import draw, encode

from flaxmark.data.entries import HELD_OUT, SAME_FACE, FaceEntry
from flaxmark.data.prepare.duplicates import remove_duplicates
from flaxmark.data.readers.ibug_300w import photograph_300w, read_official

POINTS = np.random.default_rng(0).uniform(-5, 300, (68, 2)).round(3)
real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")


def entry(file: str, split: str, shift: float = 0.0) -> FaceEntry:
    return FaceEntry(file, POINTS + shift, None, "s", photograph_300w(file), split)


def test_duplicates(tmp_path: Path) -> None:
    (tmp_path / "afw").mkdir()
    image = encode(draw(1, 64)[0], "PNG")
    contents = {
        "1_1": b"x" * 9,
        "1_2": b"x" * 9,
        "2_1": b"x" * 9,
        "3_1": b"y" * 9,
        "4_1": image,
        "4_2": image,
    }
    for name, content in contents.items():
        (tmp_path / f"afw/{name}.jpg").write_bytes(content)
    entries = [
        entry("afw/1_1.jpg", "train"),
        entry("afw/1_2.jpg", "train", 300),  # another face of the photograph
        entry("afw/2_1.jpg", "train", 500),  # the same photograph under another name
        entry("afw/3_1.jpg", "train"),
        entry("afw/4_1.jpg", "train"),
        entry("afw/4_2.jpg", "test", 0.0),  # the same face again
    ]
    kept, problems = remove_duplicates(entries, tmp_path, by_content_only=False)
    assert [e.file for e in kept] == [
        "afw/1_1.jpg",
        "afw/1_2.jpg",
        "afw/2_1.jpg",
        "afw/3_1.jpg",
        "afw/4_2.jpg",
    ]
    assert [e.photograph for e in kept] == ["afw/1"] * 3 + ["afw/3", "afw/4"]
    assert [(p.file, p.reason) for p in problems] == [("afw/4_1.jpg", SAME_FACE)]
    held = [dataclasses.replace(e, split="validation") if e.file == "afw/2_1.jpg" else e for e in entries[:4]]
    kept, problems = remove_duplicates(held, tmp_path, by_content_only=False)
    assert [e.file for e in kept] == ["afw/2_1.jpg", "afw/3_1.jpg"]
    assert {p.file: p.reason for p in problems} == {f"afw/1_{i}.jpg": HELD_OUT for i in (1, 2)}
    assert not any(p.known for p in problems)


def test_a_face_that_is_annotated_twice_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    beside = [entry("a.jpg", "train"), entry("a.jpg", "train", 2.0), entry("a.jpg", "train", 400.0)]
    beside[0].landmarks_px[:9] = np.nan  # which the second annotation has
    kept, problems = remove_duplicates(beside, tmp_path, by_content_only=False)
    assert kept == beside[1:]
    assert [p.reason for p in problems] == [SAME_FACE]


def test_people_may_be_in_training_and_test_but_not_images(tmp_path: Path) -> None:
    for name, content in (("A_1", b"x"), ("A_2", b"y"), ("A_3", b"x")):
        (tmp_path / f"{name}.jpg").write_bytes(content)
    splits = {"A_1": "train", "A_2": "train", "A_3": "test"}
    entries = [FaceEntry(f"{n}.jpg", POINTS + 400 * i, None, "s", "A", s) for i, (n, s) in enumerate(splits.items())]
    kept, problems = remove_duplicates(entries, tmp_path, by_content_only=True)
    assert [e.file for e in kept] == ["A_2.jpg", "A_3.jpg"]
    assert [p.reason for p in problems] == [HELD_OUT]


def test_the_known_photograph_is_named_and_kept(official_tree: Tree) -> None:
    entries = read_official(official_tree.folder).entries
    kept, problems = remove_duplicates(entries, official_tree.folder, by_content_only=False)
    assert len(kept) == len(entries)
    assert {p.file for p in problems} == {f"helen/trainset/296814969_{i}.jpg" for i in (1, 2)}
    assert all(p.known for p in problems)


def test_a_face_with_missing_points_is_the_same_as_a_whole_one_which_stays(tmp_path: Path) -> None:
    for name in ("1_1", "1_2", "1_3"):
        (tmp_path / f"{name}.jpg").write_bytes(b"x" * 9)
    partly, other = POINTS.copy(), POINTS.copy() + 70
    partly[:20] = np.nan
    other[60:] = np.nan
    entries = [
        dataclasses.replace(entry(f"1_{i}.jpg", "train"), landmarks_px=points)
        for i, points in enumerate((partly, POINTS, other), start=1)
    ]
    kept, problems = remove_duplicates(entries, tmp_path, by_content_only=False)
    assert [face.file for face in kept] == ["1_2.jpg", "1_3.jpg"]
    assert [(problem.file, problem.reason) for problem in problems] == [("1_1.jpg", SAME_FACE)]


def test_faces_without_a_common_point_are_two(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x" * 9)
    halves = [POINTS.copy(), POINTS.copy()]
    halves[0][:34], halves[1][34:] = np.nan, np.nan
    entries = [dataclasses.replace(entry("1.jpg", "train"), landmarks_px=points) for points in halves]
    assert remove_duplicates(entries, tmp_path, by_content_only=False) == (entries, [])
