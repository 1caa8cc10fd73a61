"""dlib's packaging of 300-W: one XML file for training and one for testing."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import Tree, dlib_box, image_element

from flaxmark.data import entries
from flaxmark.data.readers.dlib import MAX_BYTES, read_dlib
from flaxmark.errors import DataError

POINTS = np.random.default_rng(0).uniform(-5, 300, (68, 2)).round(3)


def test_dlib_packaging(dlib_tree: Tree) -> None:
    listing = read_dlib(dlib_tree.folder)
    assert not listing.problems
    assert [e.file for e in listing.entries] == sorted(dlib_tree.faces)
    assert listing.found["mirrored twins, left out"] == (len(dlib_tree.faces), None)
    assert listing.found["helen/testset"] == (3, 330)
    for entry in listing.entries:
        np.testing.assert_array_equal(entry.landmarks_px, dlib_tree.faces[entry.file])
        left, top, width, height = dlib_box(entry.landmarks_px)
        assert entry.box is not None
        assert entry.box.tolist() == [left, top, left + width - 1, top + height - 1]
        is_test = not entry.file.startswith("afw") and "trainset" not in entry.file
        assert entry.split.startswith("test") == is_test


def test_bad_dlib_entries(tmp_path: Path) -> None:
    (tmp_path / "afw").mkdir()
    for name in "abcdefg":
        (tmp_path / f"afw/{name}.jpg").write_bytes(b"")
    good = image_element("afw/a.jpg", POINTS)
    images = [
        good,
        image_element("../out.jpg", POINTS),
        image_element("/etc/passwd", POINTS),
        image_element("afw/none.jpg", POINTS),
        image_element("elsewhere/a.jpg", POINTS),
        image_element("afw/b.jpg", POINTS[:67]),
        good.replace("a.jpg", "c.jpg").replace("name='07'", "name='77'"),
        good.replace("a.jpg", "d.jpg").replace("<box top=", "<box tip="),
        "<image file='afw/e.jpg'/>",
        good.replace("a.jpg", "f.jpg").replace("name='07'", "name='seven'"),
        re.sub(r"width='[\d.]+'", "width='0'", good.replace("a.jpg", "g.jpg")),
    ]
    (tmp_path / "labels_ibug_300W_train.xml").write_text(f"<dataset>{''.join(images)}</dataset>")
    listing = read_dlib(tmp_path)
    assert [e.file for e in listing.entries] == ["afw/a.jpg"]
    assert {problem.file: problem.reason for problem in listing.problems} == {
        "../out.jpg": entries.LEAVES_FOLDER,
        "/etc/passwd": entries.LEAVES_FOLDER,
        "afw/none.jpg": entries.MISSING,
        "elsewhere/a.jpg": entries.UNKNOWN_SUBSET,
        "afw/b.jpg": entries.POINT_COUNT,
        "afw/c.jpg": entries.MALFORMED,
        "afw/d.jpg": entries.MALFORMED,
        "afw/e.jpg": entries.MALFORMED,
        "afw/f.jpg": entries.MALFORMED,
        "afw/g.jpg": entries.MALFORMED,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has neither"),
        ("<dataset>", "not XML"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "refused"),
        ('<?xml version="1.0" encoding="utf-7"?><dataset/>', "can be read"),
        ('<?xml version="1.0" encoding="foo"?><dataset/>', "can be read|not XML"),
        ("<a>" * 200_000, "not XML"),
        ("<dataset>\0</dataset>", "not XML"),
        ('<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>', "refused"),
    ],
)
def test_hostile_xml(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "labels_ibug_300W_test.xml").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_dlib(tmp_path)
    if text is None:
        assert (caught.value.field, caught.value.value) == ("data.dir", tmp_path)
    else:
        assert caught.value.file == tmp_path / "labels_ibug_300W_test.xml"


def test_xml_larger_than_any_list_of_faces(tmp_path: Path) -> None:
    path = tmp_path / "labels_ibug_300W_test.xml"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(DataError) as caught:
        read_dlib(tmp_path)
    assert caught.value.file == path


def test_xml_that_is_large_and_says_nothing(tmp_path: Path) -> None:
    deep = "<a>" * 100_000 + "</a>" * 100_000
    names = ["x" * 3_000_000, "afw/" + "x" * 300 + ".jpg", "afw/" + "y/" * 2500 + "a.jpg"]
    images = "".join(image_element(name, POINTS) for name in names)
    (tmp_path / "labels_ibug_300W_train.xml").write_text(f"<dataset>{deep}{images}</dataset>")
    listing = read_dlib(tmp_path)
    assert not listing.entries
    assert len(listing.problems) == 3
    assert all(len(problem.file) <= 300 and len(problem.detail) <= 1000 for problem in listing.problems)


def test_boxes_to_ignore_and_boxes_in_boxes(tmp_path: Path) -> None:
    (tmp_path / "afw").mkdir()
    for name in "abc":
        (tmp_path / f"afw/{name}.jpg").write_bytes(b"")
    face, other = image_element("afw/a.jpg", POINTS), image_element("afw/b.jpg", POINTS + 9)
    box = face[face.index("<box") : face.index("</image>")]
    ignored = box.replace("<box ", "<box ignore='1' ")
    images = [
        face.replace("</image>", f"{ignored}</image>"),
        other.replace("</box>", f"{box}</box>"),  # one in another
        f"<image file='afw/c.jpg'><box top='1' left='1' width='9' height='9'>{box}</box></image>",
        image_element("afw/c.jpg", POINTS + 5).replace("</box>", "<box top='1' left='1' width='9' height='9'/></box>"),
    ]
    (tmp_path / "labels_ibug_300W_train.xml").write_text(f"<dataset>{''.join(images)}</dataset>")
    listing = read_dlib(tmp_path)
    found = [(e.file, round(float((e.landmarks_px - np.round(POINTS)).mean()))) for e in listing.entries]
    assert sorted(found) == [("afw/a.jpg", 0), ("afw/b.jpg", 0), ("afw/b.jpg", 9), ("afw/c.jpg", 0), ("afw/c.jpg", 5)]
    assert [(p.file, p.reason, p.known) for p in listing.problems] == [("afw/a.jpg", entries.NOT_A_FACE, True)]
