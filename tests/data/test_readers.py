import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import Tree, expected_counts, format_pts
from helpers.images import draw

from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.entries import Listing, inside
from flaxmark.data.prepare.duplicates import remove_duplicates
from flaxmark.data.readers.ibug_300w import photograph_300w, read_official
from flaxmark.data.readers.listing import read_listing
from flaxmark.data.readers.lists import MAX_BYTES, read_list
from flaxmark.errors import DataError

POINTS = np.random.default_rng(0).uniform(-5, 300, (68, 2)).round(3)
real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")


def reasons(listing: Listing) -> dict[str, str]:
    return {problem.file: problem.reason for problem in listing.problems}


@pytest.mark.parametrize(
    ("file", "photograph"),
    [
        ("afw/134212_2.jpg", "afw/134212"),
        ("helen/trainset/296814969_1.jpg", "helen/296814969"),
        ("helen/testset/296814969_3.jpg", "helen/296814969"),
        ("lfpw/trainset/image_0001.png", "lfpw/trainset/image_0001"),
        ("lfpw/testset/image_0001.png", "lfpw/testset/image_0001"),
        ("ibug/image_092 _01.jpg", "ibug/image_092"),
        ("ibug/image_003_1.jpg", "ibug/image_003"),
        ("300W/01_Indoor/indoor_001.png", "300W/01_Indoor/indoor_001"),
    ],
)
def test_photographs(file: str, photograph: str) -> None:
    assert photograph_300w(file) == photograph


def test_names_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "in").symlink_to(root / "a")
    (root / "out").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    assert inside(root, "a/b c.jpg") == "a/b c.jpg"
    assert inside(root, "a\\b.jpg") == "a/b.jpg"
    assert inside(root, "in/b.jpg") == "in/b.jpg"
    for name in ("../x", "a/../../x", "/etc/passwd", "out/x", "..\\x", "", "a\0b", "\ud800\\x"):
        assert inside(root, name) is None


def test_official_layout(official_tree: Tree) -> None:
    listing = read_official(official_tree.folder)
    assert not listing.problems
    assert {e.file for e in listing.entries} == set(official_tree.faces)
    for entry in listing.entries:
        np.testing.assert_allclose(entry.landmarks_px, official_tree.faces[entry.file], atol=1e-5)
    counts = expected_counts(official_tree)
    official = [337, 2000, 811, 330, 224, 135, 300, 300]
    assert listing.found == {f: (counts[f], n) for f, n in zip(counts, official, strict=True)}
    subsets = Counter((e.split, e.subset) for e in listing.entries)
    assert subsets[("test_common", "common")] == 5
    assert subsets[("test_challenging", "challenging")] == 3
    assert subsets[("test_private", "indoor")] == 2
    assert subsets[("test_private", "outdoor")] == 1


def test_missing_subsets_are_counted(tmp_path: Path) -> None:
    assert read_official(tmp_path).found["afw"] == (0, 337)


def test_images_and_points_without_each_other(tmp_path: Path) -> None:
    (tmp_path / "afw").mkdir()
    for name in ("a.jpg", "b.pts", "._c.jpg", "d_mirror.jpg", "notes.txt", "e.JPG"):
        (tmp_path / "afw" / name).write_bytes(b"")
    (tmp_path / "afw/e.pts").write_bytes(format_pts(POINTS, 0))
    listing = read_official(tmp_path)
    assert reasons(listing) == {"afw/a.jpg": entries.NO_ANNOTATION, "afw/b.pts": entries.NO_IMAGE}
    assert [e.file for e in listing.entries] == ["afw/e.JPG"]
    assert listing.found["mirrored twins, left out"] == (1, None)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    (root / "afw").mkdir(parents=True)
    away.mkdir()
    for name in ("x.jpg", "x.pts"):
        (away / name).write_bytes(format_pts(POINTS, 0))
        (root / "afw" / name).symlink_to(away / name)
    (root / "ibug").symlink_to(away)
    listing = read_official(root)
    assert not listing.entries
    assert reasons(listing) == {"afw/x.jpg": entries.LEAVES_FOLDER, "ibug": entries.LEAVES_FOLDER}


def write_lists(folder: Path, train: list[str], validation: list[str]) -> dict[str, str]:
    (folder / "train.txt").write_text("# chosen\n\n" + "\n".join(train))
    (folder / "val.txt").write_text("\r\n".join(validation))
    return {"train_list": str(folder / "train.txt"), "validation_list": str(folder / "val.txt")}


def test_lists_choose_the_training_faces(tmp_path: Path, official_tree: Tree) -> None:
    train = ["afw/2001_1.jpg", "./afw/134212_1.jpg", "afw/2001_1.jpg", "afw/no.jpg", "../x.jpg", "/x.jpg"]
    lists = write_lists(tmp_path, train, ["lfpw/trainset/image_0002.png", "ibug/image_092 _01.jpg"])
    listing = read_listing(DataConfig(**lists), official_tree.folder)
    files: dict[str, list[str]] = {}
    for entry in listing.entries:
        files.setdefault(entry.split, []).append(entry.file)
    assert files["train"] == ["afw/2001_1.jpg", "afw/134212_1.jpg"]
    assert files["validation"] == ["lfpw/trainset/image_0002.png", "ibug/image_092 _01.jpg"]
    assert len(files["test_common"]) == 5
    assert files["test_challenging"] == ["ibug/image_003_1.jpg", "ibug/image_012.jpg"]
    assert reasons(listing) == {
        "afw/2001_1.jpg": "listed twice",
        "afw/no.jpg": entries.MISSING,
        "../x.jpg": entries.LEAVES_FOLDER,
        "/x.jpg": entries.LEAVES_FOLDER,
        "challenging": "test faces in the lists",
    }
    assert "train.txt:6" in next(p.detail for p in listing.problems if p.file == "afw/no.jpg")
    assert listing.found["train list"] == (2, 6)


def test_lists_take_faces_outside_the_official_folders(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"mine/{name}.jpg").write_bytes(b"")
        (tmp_path / f"mine/{name}.pts").write_bytes(format_pts(POINTS, 0))
    lists = write_lists(tmp_path, ["mine/a.jpg"], ["mine/b.jpg"])
    listed = read_listing(DataConfig(**lists), tmp_path).entries
    assert [(e.file, e.subset, e.split) for e in listed] == [
        ("mine/b.jpg", "mine", "validation"),
        ("mine/a.jpg", "mine", "train"),
    ]


def test_names_in_lists(tmp_path: Path) -> None:
    for name in ("a\\b.jpg", "#1.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "list.txt").write_text("a\\b.jpg\nc\\d.jpg\n#1.jpg\n./#1.jpg\n.\\e.jpg\n")
    names = [item.file for item in read_list("list.txt", tmp_path, "data.train_list")]
    assert names == ["a\\b.jpg", "c/d.jpg", "#1.jpg", "e.jpg"]


def test_faces_whose_error_has_no_unit_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = draw(0)[1]
    shifted, level = face.copy(), face.copy()
    shifted[42:48] += face[36:42].mean(axis=0) - face[42:48].mean(axis=0)
    level[45] = level[36]
    for name, points in (("good", face), ("pupils", shifted), ("corners", level)):
        (tmp_path / f"{name}.png").write_bytes(b"")
        (tmp_path / f"{name}.pts").write_bytes(format_pts(points, 0))
    listing = read_listing(DataConfig("pts"), tmp_path)
    assert [entry.file for entry in listing.entries] == ["good.png"]
    assert reasons(listing) == {"pupils.png": entries.NO_EXTENT, "corners.png": entries.NO_EXTENT}
    entries.name_problems([*listing.problems, entries.Problem("ibug", "x", "y", known=True)])
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in said] == [
        "left out: corners.png: points too close together",
        "left out: pupils.png: points too close together",
    ]


def test_bad_lists(tmp_path: Path, official_tree: Tree) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    for name in ("no.txt", "folder", "empty.txt"):
        with pytest.raises(DataError) as caught:
            read_list(name, tmp_path, "data.train_list")
        assert caught.value.field == "data.train_list"
        assert name in str(caught.value)
    lists = write_lists(tmp_path, ["x.jpg"], ["afw/2001_1.jpg"])
    with pytest.raises(DataError, match="none of its 1 names") as caught:
        read_listing(DataConfig(**lists), official_tree.folder)
    assert caught.value.field == "data.train_list"
    lists = write_lists(tmp_path, ["afw/2001_1.jpg", "x.jpg"], ["afw/2001_1.jpg"])
    with pytest.raises(DataError, match=r"none of its 2 names .* no other list names; 1 are listed twice"):
        read_listing(DataConfig(**lists), official_tree.folder)
    os.truncate(tmp_path / "train.txt", MAX_BYTES + 1)
    with pytest.raises(DataError, match="above 40 MB") as caught:
        read_listing(DataConfig(**lists), official_tree.folder)
    assert (caught.value.field, caught.value.file) == ("data.train_list", tmp_path / "train.txt")


def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    user = os.geteuid()
    try:
        if user == 0:  # who may read everything
            os.seteuid(65534)
        with pytest.raises(DataError, match="Permission denied") as caught:
            read_listing(DataConfig(name="dlib"), tmp_path / "shut")
        assert (caught.value.field, caught.value.value) == ("data.dir", tmp_path / "shut")
    finally:
        os.seteuid(user)


@real
def test_real_300w() -> None:
    root = Path(os.environ["FLAXMARK_DATA"]) / "300w"
    listing = read_listing(DataConfig(train_list="train.txt", validation_list="val.txt"), root)
    assert not listing.problems
    assert [listing.found[f] for f in ("afw", "helen/trainset", "lfpw/trainset")] == [
        (337, 337),
        (870, 2000),
        (805, 811),
    ]
    kept, problems = remove_duplicates(listing.entries, root, by_content_only=False)
    assert Counter(p.reason for p in problems) == {entries.KNOWN_COPY: 21}
    assert Counter(e.split for e in kept) == {"train": 1815, "validation": 176}
    assert len({e.photograph for e in kept if e.subset == "afw"}) == 185
    sides = [{e.photograph for e in kept if e.split == split} for split in ("train", "validation")]
    assert not sides[0] & sides[1]


@real
def test_real_originals() -> None:
    listing = read_official(Path(os.environ["FLAXMARK_DATA"]) / "originals")
    assert len(listing.entries) == 15
    assert not listing.problems
