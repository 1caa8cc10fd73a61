"""Photographs that 300-W has under several names: one photograph everywhere."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import Tree, config_of, write_dlib_packaging

from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.entries import FaceEntry
from flaxmark.data.prepare.collect import assign_splits
from flaxmark.data.prepare.duplicates import KNOWN_SHARED, remove_duplicates
from flaxmark.data.prepare.prepare import Prepared, load_split, prepare
from flaxmark.data.readers import ibug_300w
from flaxmark.data.readers.ibug_300w import COPIES, known_copies, photograph_300w
from flaxmark.errors import DataError

real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")
LFPW = "lfpw/trainset/image_"
GROUPS = [line.split() for line in COPIES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


@pytest.fixture
def tree(tmp_path: Path, official_tree: Tree) -> Tree:
    """Two names of one photograph, two faces of another and a face of its copy, and three other faces."""
    names = {
        f"{LFPW}0482.png": f"{LFPW}0001.png",
        f"{LFPW}0503.png": f"{LFPW}0002.png",
        "helen/trainset/1207662328_2.jpg": "helen/trainset/3001_1.jpg",
        "helen/trainset/1218567979_2.jpg": "helen/trainset/3002_1.jpg",
        "helen/trainset/1218567979_3.jpg": "helen/trainset/3003_1.jpg",
        **{f"afw/200{i}_1.jpg": f"afw/200{i}_1.jpg" for i in (1, 2, 3)},
    }
    folder = tmp_path / "300w"
    for new, old in names.items():
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(official_tree.folder / old, folder / new)
        shutil.copyfile((official_tree.folder / old).with_suffix(".pts"), (folder / new).with_suffix(".pts"))
    return Tree(folder, {new: official_tree.faces[old] for new, old in names.items()})


def prepare_with(folder: Path, validation: list[str], files: list[str], **changes: object) -> Prepared:
    """Prepare with `validation` as validation list and the other files as training list."""
    lists = {"validation": validation, "train": [file for file in files if file not in validation]}
    for name, listed in lists.items():
        (folder.parent / f"{name}.txt").write_text("\n".join(listed))
    paths = {f"{name}_list": str(folder.parent / f"{name}.txt") for name in lists}
    return prepare(config_of(folder, **paths, **changes))


def test_the_list_names_each_photograph_once() -> None:
    names = [name for group in GROUPS for name in group]
    assert len(set(names)) == len(names)
    assert all(len(group) > 1 and group == sorted(group) for group in GROUPS)
    assert {name.split("/")[0] for name in names} == {"helen", "lfpw"}
    assert KNOWN_SHARED not in names
    for group in GROUPS:
        files = [name.replace("helen/", "helen/trainset/") + ".jpg" for name in group]
        assert {photograph_300w(file) for file in files} == {group[0]}
        assert all(known_copies(file, other) for file in files for other in files if file != other)


def test_names_decide_whatever_the_suffix_and_the_face() -> None:
    assert photograph_300w(f"{LFPW}0503.png") == photograph_300w(f"{LFPW}0482.jpg") == f"{LFPW}0482"
    assert photograph_300w("helen/trainset/1218567979_3.jpg") == "helen/1207662328"
    assert photograph_300w("lfpw/testset/image_0503.png") == "lfpw/testset/image_0503"
    assert not known_copies("helen/trainset/1218567979_2.jpg", "helen/trainset/1218567979_3.jpg")
    assert not known_copies(f"{LFPW}0482.jpg", f"{LFPW}0483.jpg")


@pytest.mark.parametrize("name", ["ibug_300w", "dlib"])
def test_copies_of_validation_faces_are_left_out_of_training(tree: Tree, tmp_path: Path, name: str) -> None:
    folder = tree.folder
    if name == "dlib":
        folder = tmp_path / "dlib"
        write_dlib_packaging(folder, tree)
    held_out = ["helen/trainset/1207662328_2.jpg", f"{LFPW}0503.png"]
    prepared = prepare_with(folder, held_out, list(tree.faces), name=name, strict=True)
    assert load_split(prepared, "validation").files == held_out
    assert load_split(prepared, "train").files == [f"afw/200{i}_1.jpg" for i in (1, 2, 3)]
    assert prepared.problem_counts() == {entries.KNOWN_COPY: 3}
    report = [json.loads(line) for line in prepared.report.read_text(encoding="utf-8").splitlines()]
    other_of = {problem["file"]: problem["detail"].removeprefix("also ").split(";")[0] for problem in report}
    assert other_of == {
        "helen/trainset/1218567979_2.jpg": held_out[0],
        "helen/trainset/1218567979_3.jpg": held_out[0],
        f"{LFPW}0482.png": held_out[1],
    }


def test_lists_that_divide_a_photograph_by_its_own_name_stay_a_problem(tree: Tree) -> None:
    held_out = ["helen/trainset/1218567979_2.jpg"]
    prepared = prepare_with(tree.folder, held_out, list(tree.faces))
    assert {problem.file: (problem.reason, problem.known) for problem in prepared.problems} == {
        "helen/trainset/1207662328_2.jpg": (entries.KNOWN_COPY, True),
        "helen/trainset/1218567979_3.jpg": (entries.HELD_OUT, False),
    }
    with pytest.raises(DataError) as caught:
        prepare_with(tree.folder, held_out, list(tree.faces), strict=True)
    assert caught.value.field == "data.strict"


def test_a_validation_split_takes_all_names_of_a_photograph_or_none(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 300, (68, 2))
    faces = []
    for number, name in enumerate(name for group in GROUPS for name in group):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * (number + 1))
        faces.append(FaceEntry(name, points, None, "s", photograph_300w(name), "train"))
    kept, problems = remove_duplicates(faces, tmp_path, by_content_only=False)
    assert (kept, problems) == (faces, [])
    splits = {face.file: split for split, of_split in assign_splits(kept, hold_out=True).items() for face in of_split}
    assert set(splits.values()) == {"train", "validation"}
    assert all(len({splits[name] for name in group}) == 1 for group in GROUPS)


def test_faces_prepared_without_the_list_are_not_used(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = [f"{LFPW}0503.png"]
    with monkeypatch.context() as patch:
        patch.setattr(ibug_300w, "_copies", dict)
        before = prepare_with(tree.folder, held_out, list(tree.faces))
    after = prepare_with(tree.folder, held_out, list(tree.faces))
    assert (before.counts["train"], after.counts["train"]) == (7, 6)
    assert after.folder != before.folder
    assert after.fingerprint != before.fingerprint


@real
def test_real_copies_are_left_out_and_named(tmp_path: Path) -> None:
    folder = str(Path(os.environ["FLAXMARK_DATA"]) / "300w")
    lists = {"train_list": "train.txt", "validation_list": "val.txt"}
    prepared = prepare(DataConfig(dir=folder, prepared_dir=str(tmp_path), strict=True, **lists))  # type: ignore[arg-type]
    assert prepared.counts == {"train": 1815, "validation": 176}
    held_out = set(load_split(prepared, "validation").files)
    assert prepared.problem_counts() == {entries.KNOWN_COPY: 21}
    numbers = [53, 204, 503, 516, 617, 622, 623, 631, 633, 639, 647, 648, 651, 658, 686, 704, 824, 856, 858]
    others = {f"helen/trainset/1218567979_{i}.jpg" for i in (2, 3)}
    assert {problem.file for problem in prepared.problems} == {f"{LFPW}{n:04d}.jpg" for n in numbers} | others
    for problem in prepared.problems:
        assert known_copies(problem.file, problem.detail.removeprefix("also ").split(";")[0])
        assert problem.detail.removeprefix("also ").split(";")[0] in held_out
