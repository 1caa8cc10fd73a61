"""Images that stay on disk: where they are, and what happens when they are not."""

import dataclasses
import io
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import Tree, config_of
from helpers.images import encode
from PIL import Image

from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.drawn import portray_face
from flaxmark.data.prepare.drawn_faces import drawn_name
from flaxmark.data.prepare.prepare import Examples, Prepared, load_split, prepare
from flaxmark.data.tensorflow_setup import tfds
from flaxmark.errors import DataError


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    place = tmp_path_factory.mktemp("drawn")
    return prepare(
        DataConfig("drawn_faces", drawn_train=30, drawn_validation=2, drawn_size=64, prepared_dir=str(place))
    )


@pytest.fixture
def spoilt(drawn: Prepared, tmp_path: Path) -> Prepared:
    """The same at another place, to be spoilt."""
    folder = tmp_path / "moved"
    shutil.copytree(drawn.folder, folder)

    def moved(path: Path) -> Path:
        return folder / path.relative_to(drawn.folder)

    return dataclasses.replace(drawn, folder=folder, dir=moved(drawn.dir), report=moved(drawn.report))


def images(examples: Examples) -> list[bytes]:
    return [examples.encoded(index) for index in range(len(examples))]


def test_drawn_faces_know_which_points_are_hidden(drawn: Prepared) -> None:
    examples = load_split(drawn, "train")
    assert examples.visible.shape == (30, 68)
    assert examples.visible.dtype == np.float32
    assert set(np.unique(examples.visible).tolist()) == {0.0, 1.0}
    for seed in range(5):
        row = examples.files.index(drawn_name(seed))
        np.testing.assert_array_equal(examples.visible[row], portray_face(seed, 64).visible)


def test_photographs_do_not_tell_unless_their_annotation_does(official_tree: Tree) -> None:
    examples = load_split(prepare(DataConfig(dir=str(official_tree.folder))), "train")
    assert np.isnan(examples.visible).all()


def record_file(prepared: Prepared, split: str = "train") -> Path:
    (path,) = prepared.dir.glob(f"*-{split}.tfrecord*")
    return path


def test_tfds_reads_the_same_faces(official_tree: Tree) -> None:
    prepared = prepare(DataConfig(dir=str(official_tree.folder)))
    builder = tfds.builder_from_directory(prepared.dir)
    for split in prepared.counts:
        examples = load_split(prepared, split)
        skip = {"image": tfds.decode.SkipDecoding()}
        records = builder.as_dataset(split=split, decoders=skip).as_numpy_iterator()
        ours = zip(examples.files, images(examples), examples.landmarks.tolist(), strict=True)
        theirs = ((r["file"].decode(), r["image"], r["landmarks"].tolist()) for r in records)
        assert sorted(ours) == sorted(theirs)


def test_the_region_size_holds_every_region(small: Path) -> None:
    with Image.open(small / "afw/2001_1.jpg") as image:
        large = image.resize((image.width * 4, image.height * 4))
    points = [line.split() for line in (small / "afw/2001_1.pts").read_text().splitlines()]
    numbers = [[float(v) * 4 for v in p] for p in points if len(p) == 2 and p[0][0].isdigit()]
    (small / "ibug").mkdir()
    large.save(small / "ibug/1_1.jpg")
    (small / "ibug/1_1.pts").write_text("\n".join(f"{x} {y}" for x, y in numbers))
    prepared = prepare(config_of(small))
    sides = {}
    for split in prepared.counts:
        examples = load_split(prepared, split)
        sides[split] = max(max(Image.open(io.BytesIO(image)).size) for image in images(examples))
        assert examples.region_size == prepared.region_size
    assert sides["train"] < sides["test_full"]
    assert prepared.region_size % 16 == 0
    assert 0 <= prepared.region_size - sides["test_full"] < 16


def test_opening_a_split_reads_no_image(spoilt: Prepared) -> None:
    before = load_split(spoilt, "train")
    os.truncate(record_file(spoilt), 0)
    examples = load_split(spoilt, "train")
    assert examples.files == before.files
    with pytest.raises(DataError, match=r"damaged at byte \d+; remove .*moved, and it is prepared") as caught:
        examples.encoded(3)
    assert caught.value.file == record_file(spoilt)
    assert len(images(load_split(spoilt, "validation"))) == 2


@pytest.mark.parametrize("where", [0.02, 0.5, 0.9])
def test_a_changed_byte_is_found(spoilt: Prepared, where: float) -> None:
    path, examples = record_file(spoilt), load_split(spoilt, "train")
    content = bytearray(path.read_bytes())
    position = content.index(examples.encoded(7)) + int(where * len(examples.encoded(7)))
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged at byte") as caught:
        examples.encoded(7)
    assert "\n" not in str(caught.value)
    assert examples.encoded(8)


def test_files_that_have_gone(spoilt: Prepared) -> None:
    examples = load_split(spoilt, "train")
    expected = images(examples)
    records = record_file(spoilt)
    records.unlink()
    assert images(examples) == expected  # they were open
    with pytest.raises(DataError, match=r"No such file.*; remove .*moved, and it is prepared") as caught:
        load_split(spoilt, "train")
    assert caught.value.file == records
    spoilt.report.with_name("train.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"remove .*moved, and it is prepared") as caught:
        load_split(spoilt, "train")
    assert caught.value.file == spoilt.report.with_name("train.npz")


def test_records_travel_to_threads_and_processes(drawn: Prepared) -> None:
    examples = load_split(drawn, "train")
    expected = images(examples)
    order = np.random.default_rng(0).integers(0, len(examples), 2000).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(examples.encoded, order)) == [expected[index] for index in order]
    assert images(pickle.loads(pickle.dumps(examples))) == expected
    code = (
        "import pickle, sys; examples = pickle.load(sys.stdin.buffer); "
        "print(len(examples.encoded(1)), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(examples), capture_output=True, check=True)
    assert done.stdout.decode().split() == [str(len(expected[1])), "False"]


def test_a_split_without_a_usable_face_is_left_out(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is wrong is listed, also where processes find it, and of test faces once, though in two splits."""
    monkeypatch.setattr("flaxmark.system.worker_processes.FEW", 1)
    monkeypatch.setattr("flaxmark.system.worker_processes.usable_cores", lambda: 2)
    (small / "ibug").mkdir()
    for number in range(20):
        (small / f"ibug/{number}_1.jpg").write_bytes(encode(np.zeros((9, 9, 3), np.uint8), "JPEG")[: -number - 300])
        shutil.copyfile(small / "afw/2001_1.pts", small / f"ibug/{number}_1.pts")
    (small / "afw/2003_1.jpg").write_bytes(b"no image")
    prepared = prepare(config_of(small))
    assert prepared.counts == {"validation": 1, "train": 1}  # and no test split
    assert prepared.problem_counts() == {entries.UNREADABLE: 21}
    assert len({problem.file for problem in prepared.problems}) == 21


def test_processes_store_the_same(official_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(dir=str(official_tree.folder), prepared_dir=str(tmp_path / "alone"))
    alone = prepare(config)
    monkeypatch.setattr("flaxmark.system.worker_processes.FEW", 1)
    monkeypatch.setattr("flaxmark.system.worker_processes.usable_cores", lambda: 2)
    shared = prepare(dataclasses.replace(config, prepared_dir=str(tmp_path / "shared")))
    assert shared.counts == alone.counts
    for split in alone.counts:
        assert images(load_split(alone, split)) == images(load_split(shared, split))
