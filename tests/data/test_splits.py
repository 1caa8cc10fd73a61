"""How a data set without splits of its own is divided, and when it is not."""

from pathlib import Path

import pytest
from helpers.images import draw, encode

from flaxmark.cli.evaluated_faces import describe_faces, prepare_faces
from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.prepare.collect import validation_photograph, validation_photographs
from flaxmark.data.prepare.prepare import load_split, prepare
from flaxmark.errors import ConfigError, DataError


def write_csv(folder: Path, names: list[str], file: str = "faces.csv", first: int = 0) -> DataConfig:
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for seed, name in enumerate(names, first):
        image, points = draw(seed, 96)
        (folder / name).write_bytes(encode(image))
        lines.append(",".join([name, *(f"{v:.2f}" for v in points.ravel())]))
    (folder / file).write_text("\n".join(lines) + "\n")
    return DataConfig("csv", dir=str(folder), prepared_dir=str(folder.parent / "prepared"))


def test_large_sets_are_divided_by_hash_alone() -> None:
    names = [f"p{i}" for i in range(1000)]
    chosen = validation_photographs(names)
    assert chosen == {name for name in names if validation_photograph(name)}
    assert 70 < len(chosen) < 130


def test_small_sets_keep_one_for_validation_and_one_for_training() -> None:
    inside = [name for name in (f"p{i}" for i in range(200)) if validation_photograph(name)]
    outside = [name for name in (f"p{i}" for i in range(200)) if not validation_photograph(name)]
    for names in (inside[:2], outside[:2], outside[:9], inside[:5]):
        chosen = validation_photographs(names)
        assert len(chosen) == 1
        assert chosen < set(names)
        assert chosen == validation_photographs(reversed(names))
    assert len(validation_photographs(outside[:40])) == 4
    assert validation_photographs(outside[:1]) == validation_photographs(inside[:1]) == set()


def test_two_faces_train_on_one(tmp_path: Path) -> None:
    assert prepare(write_csv(tmp_path / "set", ["a.png", "b.png"])).counts == {"train": 1, "validation": 1}
    with pytest.raises(DataError) as caught:
        prepare(write_csv(tmp_path / "one", ["a.png"]))
    assert caught.value.field == "data.dir"
    assert "--data.validation-list" in caught.value.reason


def test_names_that_look_like_one_persons_are_divided_by_image(tmp_path: Path) -> None:
    config = write_csv(tmp_path / "set", [f"img_{i}.png" for i in range(12)])
    prepared = prepare(config)
    assert sum(prepared.counts.values()) == 12
    assert set(prepared.counts) == {"train", "validation"}
    assert [(p.reason, p.known) for p in prepared.problems] == [(entries.SPLIT_BY_IMAGE, True)]
    assert "img" in prepared.problems[0].detail
    assert not set(load_split(prepared, "train").files) & set(load_split(prepared, "validation").files)
    people = prepare(write_csv(tmp_path / "people", [f"{name}_{i}.png" for name in "ab" for i in range(6)]))
    assert people.counts == {"train": 6, "validation": 6}  # two people: one each
    assert not people.problems


def test_evaluate_takes_all_faces_of_another_folder(tmp_path: Path) -> None:
    names = [f"{name}.png" for name in "abcdefghijkl"]
    config = write_csv(tmp_path / "set", names)
    trained = DataConfig("drawn_faces")
    prepared = prepare_faces("auto", config, trained)
    assert prepared.counts == {"all": 12}
    assert describe_faces(prepared) == "all 12 of csv"
    assert load_split(prepared, "all").files == names
    own = prepare_faces("auto", config, config)
    assert own.counts == prepare_faces("held-out", config, trained).counts == prepare(config).counts
    held_out = own.counts["validation"]
    assert describe_faces(own).startswith(f"validation {held_out} of 12 of csv; {12 - held_out} training faces")
    assert prepare_faces("all", config, config).counts == {"all": 12}
    assert own.folder == prepared.folder  # decoded once


def test_evaluate_takes_the_held_out_faces_that_a_folder_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "set", [f"{name}.png" for name in "abcd"], "training_frames_keypoints.csv")
    config = write_csv(tmp_path / "set", ["x.png", "y.png"], "test_frames_keypoints.csv", first=9)
    prepared = prepare_faces("auto", config, DataConfig("drawn_faces"))
    assert prepared.counts == {"train": 3, "validation": 1, "test": 2}
    assert describe_faces(prepared).startswith("validation 1, test 2 of 6 of csv; 3 training faces")
    assert prepare_faces("all", config, DataConfig("drawn_faces")).counts == {"all": 6}


def test_what_evaluate_cannot_take(tmp_path: Path) -> None:
    drawn = DataConfig("drawn_faces", drawn_train=2, drawn_validation=1, drawn_size=64)
    with pytest.raises(ConfigError) as caught:
        prepare_faces("all", drawn, drawn)
    assert (caught.value.field, caught.value.value) == ("faces", "all")
    one = write_csv(tmp_path / "set", ["a.png"])
    with pytest.raises(DataError) as none:
        prepare_faces("auto", one, one)
    assert none.value.field == "data.dir"
    assert prepare_faces("all", one, one).counts == {"all": 1}
