"""Lists choose from what is prepared: nothing is decoded again, and all is as if it had been prepared for them."""

import shutil
from pathlib import Path

import pytest
from helpers.fixture_300w import Tree

from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.prepare.prepare import Prepared, load_split, prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, official_tree: Tree) -> Path:
    """300-W with an unreadable face, one copy of another, and faces of the user's own beside it."""
    root = tmp_path_factory.mktemp("chosen") / "300w"
    shutil.copytree(official_tree.folder, root)
    (root / "afw/2003_1.jpg").write_bytes(b"no image")
    (root / "mine").mkdir()
    for name in ("2004_1", "2005_1"):
        for suffix in (".jpg", ".pts"):
            shutil.copyfile(root / f"afw/{name}{suffix}", root / f"afw/9{name}{suffix}")
            content = (root / f"helen/trainset/300{name[3]}_1{suffix}").read_bytes()
            (root / f"mine/{name}{suffix}").write_bytes(content + b"\n")
    return root


def choose(folder: Path, train: list[str], validation: list[str], strict: bool = False) -> Prepared:
    lists = {}
    for name, files in (("train", train), ("validation", validation)):
        path = folder.parent / f"{name}.txt"
        path.write_text("\n".join(files))
        lists[f"{name}_list"] = str(path)
    return prepare(DataConfig(dir=str(folder), prepared_dir=str(folder.parent / "prepared"), strict=strict, **lists))  # type: ignore[arg-type]


def files(prepared: Prepared, split: str) -> list[str]:
    return load_split(prepared, split).files


def test_other_lists_decode_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = prepare(DataConfig(dir=str(folder), prepared_dir=str(folder.parent / "prepared")))
    before = {file: load_split(plain, "train").encoded(i) for i, file in enumerate(files(plain, "train"))}
    monkeypatch.setattr("flaxmark.data.prepare.collect.read_annotated", lambda *_, **__: pytest.fail("decoded again"))
    one = choose(folder, ["afw/2001_1.jpg", "afw/2002_1.jpg"], ["lfpw/trainset/image_0002.png", "ibug/image_012.jpg"])
    other = choose(folder, ["afw/2002_1.jpg"], ["afw/2001_1.jpg"])
    assert one.dir == other.dir == plain.dir
    assert len({prepared.fingerprint for prepared in (plain, one, other)}) == 3
    assert files(one, "train") == ["afw/2001_1.jpg", "afw/2002_1.jpg"]
    assert files(one, "validation") == ["ibug/image_012.jpg", "lfpw/trainset/image_0002.png"]
    assert one.counts["test_challenging"] == 2
    assert one.counts["test_full"] == 7
    assert one.found["train list"] == (2, 2)
    assert one.problem_counts() == {entries.TEST_FACES_LISTED: 1}  # what no list names is nobody's problem
    examples = load_split(other, "train")
    assert examples.encoded(0) == before["afw/2002_1.jpg"]
    assert choose(folder, ["afw/2002_1.jpg"], ["afw/2001_1.jpg"]) == other
    assert prepare(DataConfig(dir=str(folder), prepared_dir=str(folder.parent / "prepared"))) == plain
    assert plain.problem_counts() == {entries.HELD_OUT: 2, entries.SAME_FACE: 2, entries.UNREADABLE: 1}


def test_what_the_folder_alone_leaves_out_can_be_chosen(folder: Path) -> None:
    plain = prepare(DataConfig(dir=str(folder), prepared_dir=str(folder.parent / "prepared")))
    copy = "afw/92004_1.jpg"
    assert not any(copy in files(plain, split) for split in plain.counts)
    chosen = choose(folder, [copy, "afw/2001_1.jpg"], ["afw/2002_1.jpg"])
    assert files(chosen, "train") == ["afw/2001_1.jpg", copy]
    assert chosen.dir == plain.dir


def test_chosen_faces_have_their_problems(folder: Path) -> None:
    train = ["afw/2003_1.jpg", "afw/2004_1.jpg", "afw/2005_1.jpg", "../x.jpg", "afw/no.jpg", "afw/2004_1.jpg"]
    chosen = choose(folder, train, ["afw/92004_1.jpg"])
    assert files(chosen, "train") == ["afw/2005_1.jpg"]  # the other one is held out under another name
    assert {problem.file: problem.reason for problem in chosen.problems if problem.file != "afw/2004_1.jpg"} == {
        "afw/2003_1.jpg": entries.UNREADABLE,
        "../x.jpg": entries.LEAVES_FOLDER,
        "afw/no.jpg": entries.MISSING,
    }
    reasons = {problem.reason for problem in chosen.problems if problem.file == "afw/2004_1.jpg"}
    assert reasons == {entries.LISTED_TWICE, entries.SAME_FACE}
    assert len(chosen.report.read_text().splitlines()) == len(chosen.problems)
    assert choose(folder, ["afw/2001_1.jpg"], ["afw/2002_1.jpg"], strict=True).counts["train"] == 1


def test_faces_outside_the_official_folders(folder: Path) -> None:
    chosen = choose(folder, ["mine/2004_1.jpg", "afw/2001_1.jpg"], ["mine/2005_1.jpg"])
    assert files(chosen, "train") == ["afw/2001_1.jpg", "mine/2004_1.jpg"]
    assert files(chosen, "validation") == ["mine/2005_1.jpg"]
    assert load_split(chosen, "train").subsets == ["afw", "mine"]


def test_dlib_and_pts_are_prepared_once(dlib_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("afw/2001_1.jpg\nafw/2002_1.jpg\n")
    (tmp_path / "b").write_text("afw/2004_1.jpg\n")
    lists = {"train_list": str(tmp_path / "a"), "validation_list": str(tmp_path / "b")}
    swapped = {"train_list": str(tmp_path / "b"), "validation_list": str(tmp_path / "a")}
    for name in ("dlib", "pts"):
        root = tmp_path / name
        shutil.copytree(dlib_tree.folder, root)
        if name == "pts":
            for file, points in dlib_tree.faces.items():
                (root / file).with_suffix(".pts").write_text("\n".join(f"{x + 1} {y + 1}" for x, y in points))
        with monkeypatch.context() as patch:
            one = prepare(DataConfig(name, dir=str(root), prepared_dir=str(tmp_path / "prepared"), **lists))  # type: ignore[arg-type]
            patch.setattr("flaxmark.data.prepare.collect.read_annotated", lambda *_, **__: pytest.fail("decoded again"))
            other = prepare(DataConfig(name, dir=str(root), prepared_dir=str(tmp_path / "prepared"), **swapped))  # type: ignore[arg-type]
        assert one.counts["train"] == other.counts["validation"] == 2
        assert files(one, "train") == files(other, "validation")
        assert one.fingerprint != other.fingerprint
