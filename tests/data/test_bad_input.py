import dataclasses
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import Tree, config_of, format_pts
from helpers.images import encode
from PIL import Image

from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.prepare.prepare import find_data_dir, load_split, prepare
from flaxmark.errors import ConfigError, DataError, StorageError
from flaxmark.faces.crop import CropDefinition

real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")


def spoil(folder: Path) -> dict[str, str]:
    """Add one of each kind of bad input; file -> the reason expected."""
    photo, points = (folder / "afw/2001_1.jpg").read_bytes(), (folder / "afw/2001_1.pts").read_bytes()
    lines = points.splitlines(keepends=True)
    bad_points = {
        "3001_1": (b"", entries.EMPTY),
        "3002_1": (b"".join(lines[:40]) + b"}", entries.POINT_COUNT),
        "3003_1": (points.replace(lines[10].strip(), b"nan 3"), entries.NOT_FINITE),
        "3004_1": (points.replace(lines[10].strip(), b"3 inf"), entries.NOT_FINITE),
        "3005_1": (
            format_pts(np.random.default_rng(0).uniform(5000, 5100, (68, 2)), 0),
            entries.OUTSIDE_IMAGE,
        ),
    }
    expected = {f"afw/{name}.jpg": reason for name, (_, reason) in bad_points.items()}
    for name, (content, _) in bad_points.items():
        (folder / f"afw/{name}.jpg").write_bytes(photo)
        (folder / f"afw/{name}.pts").write_bytes(content)
    giant = encode(np.zeros((1100, 1000, 3), np.uint8), "PNG")
    bad_images = {
        "4001_1": (photo[: len(photo) // 2], entries.UNREADABLE),
        "4002_1": (b"", entries.UNREADABLE),
        "4003_1": (b"GIF89a", entries.UNREADABLE),
        "4004_1": (giant, entries.TOO_LARGE),
        "4005_1": (photo, entries.SAME_FACE),
    }
    for name, (content, reason) in bad_images.items():
        (folder / f"afw/{name}.jpg").write_bytes(content)
        (folder / f"afw/{name}.pts").write_bytes(points)
        expected[f"afw/{name}.jpg"] = reason
    (folder / "afw/5001_1.jpg").write_bytes(photo)
    (folder / "afw/5002_1.pts").write_bytes(points)
    for part, number in (("trainset", 1), ("testset", 2)):
        (folder / "helen" / part).mkdir(parents=True)
        shutil.copyfile(folder / "afw/2002_1.pts", folder / f"helen/{part}/77_{number}.pts")
        image = Image.open(folder / "afw/2002_1.jpg")
        image.save(folder / f"helen/{part}/77_{number}.jpg", quality=60 + number)
    return expected | {
        "afw/5001_1.jpg": entries.NO_ANNOTATION,
        "afw/5002_1.pts": entries.NO_IMAGE,
        "helen/trainset/77_1.jpg": entries.HELD_OUT,
    }


def test_bad_input_is_listed_with_its_reason(small: Path) -> None:
    expected = spoil(small)
    prepared = prepare(config_of(small, max_megapixels=1.0))
    assert {p.file: p.reason for p in prepared.problems} == expected
    assert prepared.problem_counts() == dict(Counter(expected.values()))
    assert prepared.counts == {"train": 2, "validation": 1, "test_common": 1, "test_full": 1}
    report = [json.loads(line) for line in prepared.report.read_text().splitlines()]
    assert report == [dataclasses.asdict(p) for p in prepared.problems]
    assert all(p.detail and "\n" not in p.detail for p in prepared.problems)


@pytest.mark.parametrize("stage", ["listing", "decoding"])
def test_strict_makes_problems_fatal(small: Path, stage: str) -> None:
    assert prepare(config_of(small, strict=True)).counts == {"train": 2, "validation": 1}
    (small / "afw/9_1.jpg").write_bytes(b"no image")
    if stage == "decoding":
        shutil.copyfile(small / "afw/2001_1.pts", small / "afw/9_1.pts")
    for _ in range(2):  # the second time the set is prepared already
        with pytest.raises(DataError, match=r"afw/9_1.jpg: (unr|image)") as caught:
            prepare(config_of(small, strict=True))
        assert caught.value.field == "data.strict"
    assert prepare(config_of(small)).counts == {"train": 2, "validation": 1}


def test_the_known_photograph_is_never_fatal(official_tree: Tree) -> None:
    prepared = prepare(DataConfig(dir=str(official_tree.folder), strict=True))
    assert [p.file for p in prepared.problems if p.known] == [f"helen/trainset/296814969_{i}.jpg" for i in (1, 2)]


def test_boxes_that_do_not_exist(official_tree: Tree) -> None:
    for box in ("source", "dots"):
        with pytest.raises(ConfigError) as caught:
            prepare(DataConfig(dir=str(official_tree.folder), crop=CropDefinition(box=box)))
        assert (caught.value.field, caught.value.value) == ("data.crop.box", box)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"drawn_train": 0}, "data.drawn_train"),
        ({"drawn_validation": -1}, "data.drawn_validation"),
        ({"drawn_size": 8}, "data.drawn_size"),
        ({"crop": CropDefinition(box="source")}, "data.crop.box"),
    ],
)
def test_drawn_faces_that_cannot_be(changes: dict, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare(DataConfig(name="drawn_faces", **changes))
    assert caught.value.field == field


def test_finding_300w(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAXMARK_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        find_data_dir(DataConfig())
    assert (caught.value.field, caught.value.value) == ("FLAXMARK_DATA", str(tmp_path))
    (tmp_path / "300w").mkdir()
    assert find_data_dir(DataConfig()) == tmp_path / "300w"
    assert find_data_dir(DataConfig(dir=str(tmp_path))) == tmp_path
    monkeypatch.delenv("FLAXMARK_DATA")
    with pytest.raises(DataError) as caught:
        find_data_dir(DataConfig())
    assert caught.value.field == "data.dir"
    for part in ("ibug.doc.ic.ac.uk", "helen/trainset/*.jpg", "--data.dir", "--data.name drawn_faces"):
        assert part in str(caught.value)
    for config in (DataConfig(name="csv"), DataConfig(dir=str(tmp_path / "none"))):
        with pytest.raises(DataError) as caught:
            find_data_dir(config)
        assert (caught.value.field, caught.value.value) == ("data.dir", config.dir)


def test_nothing_to_train_on(tmp_path: Path, small: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"ibug\.doc\.ic\.ac\.uk") as caught:
        prepare(config_of(tmp_path / "none"))
    assert (caught.value.field, caught.value.value) == ("data.dir", tmp_path / "none")
    (small / "afw").rename(small / "ibug")
    with pytest.raises(DataError, match="found afw 0") as caught:
        prepare(config_of(small))
    assert (caught.value.field, caught.value.value) == ("data.dir", str(small))
    prepared = prepare(config_of(small), for_training=False)
    assert prepared.counts == {"test_challenging": 3, "test_full": 3}
    with pytest.raises(DataError, match=r"'train'; there are test_challenging 3, test_full 3; found"):
        load_split(prepared, "train")


def test_no_face_can_be_used(small: Path) -> None:
    for path in small.glob("afw/*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"afw/2001_1.jpg: .*; all 3 are in .*problems.jsonl"):
        prepare(config_of(small))
    assert prepare(config_of(small), for_training=False).problem_counts() == {entries.UNREADABLE: 3}


def test_a_place_that_cannot_be_written(small: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    config = dataclasses.replace(config_of(small), prepared_dir=str(tmp_path / "file"))
    with pytest.raises(StorageError) as caught:
        prepare(config)
    assert caught.value.field == "data.prepared_dir"
