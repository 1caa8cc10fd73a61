import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import Tree, config_of, expected_counts
from PIL import Image

from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.prepare.collect import validation_photograph
from flaxmark.data.prepare.drawn_faces import draw_stored, split_seeds
from flaxmark.data.prepare.prepare import Examples, Prepared, load_split, prepare
from flaxmark.data.readers.ibug_300w import read_official
from flaxmark.data.records.builders import Ibug300W
from flaxmark.data.records.stored_face import store_face
from flaxmark.faces.crop import CropDefinition, landmark_box, square_crop, to_crop_units, to_pixels

real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")


@pytest.fixture(scope="module")
def official(official_tree: Tree) -> Prepared:
    return prepare(DataConfig(dir=str(official_tree.folder)))


def splits_of(prepared: Prepared) -> dict[str, Examples]:
    return {split: load_split(prepared, split) for split in prepared.counts}


def images(examples: Examples) -> list[bytes]:
    return [examples.encoded(index) for index in range(len(examples))]


def test_splits(official: Prepared, official_tree: Tree) -> None:
    counts = expected_counts(official_tree)
    assert {s: n for s, n in official.counts.items() if s.startswith("test")} == {
        "test_common": 5,
        "test_challenging": 3,
        "test_full": 8,
        "test_private": 3,
    }
    training = counts["afw"] + counts["helen/trainset"] + counts["lfpw/trainset"]
    assert official.counts["train"] + official.counts["validation"] == training
    splits = splits_of(official)
    assert {s: len(e.files) for s, e in splits.items()} == official.counts
    assert all(validation_photograph(p) for p in splits["validation"].photographs)
    assert not any(validation_photograph(p) for p in splits["train"].photographs)
    assert set(splits["test_full"].subsets) == {"common", "challenging"}
    assert set(splits["test_private"].subsets) == {"indoor", "outdoor"}
    assert "ibug/image_092 _01.jpg" in splits["test_challenging"].files
    assert official.terms.startswith("research only")
    assert official.found["afw"] == (counts["afw"], 337)
    assert official.problem_counts() == {entries.HELD_OUT: 2}


def test_stored_faces(official: Prepared, official_tree: Tree) -> None:
    for examples in splits_of(official).values():
        assert examples.files == sorted(examples.files)
        n = len(examples.files)
        arrays = (examples.landmarks, examples.crops, examples.boxes, examples.source_crops)
        assert [a.shape for a in arrays] == [(n, 68, 2), (n, 3), (n, 4), (n, 3)]
        assert {a.dtype for a in arrays} == {np.dtype(np.float32)}
        exact = np.stack([official_tree.faces[file] for file in examples.files])
        np.testing.assert_allclose(to_pixels(examples.landmarks, examples.source_crops), exact, atol=1e-3)
        np.testing.assert_allclose(examples.boxes, landmark_box(exact), atol=1e-3)
        np.testing.assert_allclose(examples.source_crops, square_crop(landmark_box(exact), 1.5), atol=1e-3)
        for encoded, crop in zip(images(examples), examples.crops, strict=True):
            with Image.open(io.BytesIO(encoded)) as image:
                assert image.format == "JPEG"
                assert image.mode == "RGB"
                assert crop[2] <= max(image.size) * 1.6


def test_landmarks_stay_on_their_pixels() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([400, 300], [800, 750], (68, 2)).round()
    image = np.zeros((900, 1200, 3), np.uint8)
    definition = CropDefinition(stored_size=256)
    spot = points[5].astype(int)
    image[spot[1] - 6 : spot[1] + 7, spot[0] - 6 : spot[0] + 7] = 255
    face = store_face(image, points, landmark_box(points), definition, subset="", photograph="", file="")
    pixels = np.asarray(Image.open(io.BytesIO(face.image)).convert("L"), np.float64)
    pixels[pixels < 20] = 0
    rows, columns = np.indices(pixels.shape)
    centre = [(columns * pixels).sum() / pixels.sum(), (rows * pixels).sum() / pixels.sum()]
    np.testing.assert_allclose(centre, to_pixels(face.landmarks, face.crop)[5], atol=0.05)


def test_a_prepared_set_is_reused_until_something_changes(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(config_of(small))
    before = load_split(first, "train")
    with monkeypatch.context() as patch:
        patch.setattr("flaxmark.data.prepare.collect.read_annotated", lambda *_, **__: pytest.fail("decoded again"))
        assert prepare(config_of(small)) == first
    assert prepare(config_of(small, crop=CropDefinition(scale=1.6))).dir != first.dir
    assert prepare(config_of(small, image_size=64)).dir == first.dir
    os.utime(small / "afw/2001_1.jpg", (1, 1))
    second = prepare(config_of(small))
    assert second.fingerprint != first.fingerprint
    after = load_split(second, "train")
    assert images(after) == images(before)
    (small / "afw/2001_1.pts").unlink()
    assert prepare(config_of(small)).counts == {"train": 1, "validation": 1}


def test_an_interrupted_preparation_is_not_reused(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ibug300W, "_generate_examples", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(config_of(small))
    assert not list((small.parent / "prepared").glob("*/prepared.json"))
    assert prepare(config_of(small)).counts == {"train": 2, "validation": 1}
    assert [p.name for p in (small.parent / "prepared").iterdir() if "incomplete" in p.name] == []


def test_two_processes_prepare_one_set(small: Path) -> None:
    code = (
        "import sys; from flaxmark.data.config import DataConfig; from flaxmark.data.prepare.prepare import prepare;"
        "print(sorted(prepare(DataConfig(dir=sys.argv[1], prepared_dir=sys.argv[2])).counts.items()))"
    )
    command = [sys.executable, "-c", code, str(small), str(small.parent / "prepared")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [out.strip() for out, _ in outputs] == ["[('train', 2), ('validation', 1)]"] * 2
    # One of them decoded, and nothing but its progress was written.
    assert sorted(len(err.splitlines()) for _, err in outputs) == [0, 1]


def test_lists_decide_the_splits(official_tree: Tree, tmp_path: Path) -> None:
    chosen = {"train": ["afw/2001_1.jpg", "afw/2002_1.jpg"], "validation": ["lfpw/trainset/image_0002.png"]}
    for split, names in chosen.items():
        (tmp_path / split).write_text("\n".join(names))
    lists = {f"{split}_list": str(tmp_path / split) for split in chosen}
    prepared = prepare(DataConfig(dir=str(official_tree.folder), **lists))  # type: ignore[arg-type]
    assert {split: load_split(prepared, split).files for split in chosen} == chosen
    assert prepared.counts["test_full"] == 8
    (tmp_path / "train").write_text("afw/2001_1.jpg")
    assert prepare(DataConfig(dir=str(official_tree.folder), **lists)).counts["train"] == 1  # type: ignore[arg-type]


def test_dlib_boxes(dlib_tree: Tree) -> None:
    config = DataConfig(name="dlib", dir=str(dlib_tree.folder), crop=CropDefinition(box="source", scale=1.2))
    prepared = prepare(config)
    assert prepared.dir.parts[-3:] == ("ibug_300w", "dlib", "1.1.0")
    assert prepared.counts["test_common"] == 5
    assert "test_private" not in prepared.counts
    examples = load_split(prepared, "train")
    sides = examples.boxes[:, 2:] - examples.boxes[:, :2]
    np.testing.assert_array_equal(sides[:, 0], sides[:, 1])
    np.testing.assert_allclose(examples.source_crops, square_crop(examples.boxes, 1.2), rtol=1e-6)
    exact = np.stack([dlib_tree.faces[file] for file in examples.files])
    np.testing.assert_allclose(examples.landmarks, to_crop_units(exact, examples.source_crops), atol=1e-5)


def test_csv(csv_tree: Tree) -> None:
    prepared = prepare(DataConfig(name="csv", dir=str(csv_tree.folder)))
    assert prepared.counts["train"] + prepared.counts.get("validation", 0) == 30
    assert prepared.counts["test"] == 6
    assert prepared.terms == "unknown"
    assert len(set(load_split(prepared, "test").photographs)) == 3


def test_drawn_faces(tmp_path: Path) -> None:
    config = DataConfig(
        name="drawn_faces", drawn_train=5, drawn_validation=2, drawn_size=96, prepared_dir=str(tmp_path)
    )
    prepared = prepare(config)
    assert prepared.counts == {"train": 5, "validation": 2, "test": 2}
    assert prepared.terms == "free"
    examples = load_split(prepared, "validation")
    face = draw_stored(split_seeds(config)["validation"][0], 96, config.crop, "ibug_68")
    assert examples.files[0] == face.file
    assert examples.encoded(0) == face.image
    np.testing.assert_array_equal(examples.landmarks[0], face.landmarks)
    files = [file for split in splits_of(prepared).values() for file in split.files]
    assert len(set(files)) == 9
    assert prepare(dataclasses.replace(config, drawn_size=97)).dir != prepared.dir


def test_drawing_in_processes_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(name="drawn_faces", drawn_train=20, drawn_validation=0, drawn_size=64)
    alone = prepare(dataclasses.replace(config, prepared_dir=str(tmp_path / "alone")), for_training=False)
    monkeypatch.setattr("flaxmark.system.worker_processes.FEW", 1)
    monkeypatch.setattr("flaxmark.system.worker_processes.usable_cores", lambda: 2)
    shared = prepare(dataclasses.replace(config, prepared_dir=str(tmp_path / "shared")), for_training=False)
    assert images(load_split(alone, "train")) == images(load_split(shared, "train"))


def test_images_are_not_turned(small: Path) -> None:
    path = small / "afw/2001_1.jpg"
    with Image.open(path) as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, exif=exif, quality=95)
    prepared = prepare(config_of(small))
    assert not prepared.problems
    face = read_official(small).entries[0]
    boxes = {file: box for one in splits_of(prepared).values() for file, box in zip(one.files, one.boxes, strict=True)}
    np.testing.assert_allclose(boxes[face.file], landmark_box(face.landmarks_px), atol=1e-3)


@real
def test_real_300w(tmp_path: Path) -> None:
    config = DataConfig(
        dir=str(Path(os.environ["FLAXMARK_DATA"]) / "300w"),
        prepared_dir=str(tmp_path),
        train_list="train.txt",
        validation_list="val.txt",
    )
    prepared = prepare(config)
    assert prepared.counts == {"train": 1815, "validation": 176}
    assert prepared.problem_counts() == {entries.KNOWN_COPY: 21}
    own = prepare(dataclasses.replace(config, train_list=None, validation_list=None))
    assert sum(own.counts.values()) == 2012
    assert 0.07 < own.counts["validation"] / 2012 < 0.13


@real
def test_real_originals(tmp_path: Path) -> None:
    folder = Path(os.environ["FLAXMARK_DATA"]) / "originals"
    prepared = prepare(DataConfig(dir=str(folder), prepared_dir=str(tmp_path)))
    assert sum(prepared.counts.values()) == 15
