"""The door for data sets: records of those that come with flaxmark, and one that a user's file adds."""

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT, refusal, run_command
from helpers.fixture_300w import Tree

from flaxmark.data import entries
from flaxmark.data.config import AugmentConfig, DataConfig, check_data
from flaxmark.data.data_sets import DATA_SETS, DataSet, find_data_set, register
from flaxmark.data.entries import FaceEntry, Listing
from flaxmark.data.prepare.prepare import load_split, prepare
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import ConfigError, DataError
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.schema import from_dict, to_dict

EXTENSION = '''
"""Faces in one text file: a line has the name of the image and its coordinates."""

import numpy as np

from flaxmark.data import DataSet, FaceEntry, Listing, check_landmarks, register


def read(config, root):
    """List the faces of faces.txt."""
    entries = []
    for line in (root / "faces.txt").read_text().splitlines():
        name, *numbers = line.split()
        points = np.array(numbers, float).reshape(-1, 2)
        check_landmarks(points, "faces.txt", config.markup.num_points)
        entries.append(FaceEntry(name, points, None, subset="mine", photograph=name, split="train"))
    return Listing(entries, [], {"faces.txt": (len(entries), None)})


register(DataSet("lines", title="one line a face", read=read, terms="for tests only"))
'''


@pytest.fixture
def own() -> Iterator[None]:
    """Leave no data set of a test behind."""
    before = dict(DATA_SETS)
    yield
    DATA_SETS.clear()
    DATA_SETS.update(before)


def write_lines(folder: Path, tree: Tree, count: int = 12) -> None:
    folder.mkdir()
    lines = []
    for number, (file, points) in enumerate(list(tree.faces.items())[:count]):
        name = f"{number}{Path(file).suffix}"
        shutil.copyfile(tree.folder / file, folder / name)
        lines.append(" ".join([name, *(f"{value}" for value in points.ravel())]))
    (folder / "faces.txt").write_text("\n".join(lines))


def test_the_records_of_the_data_sets_of_flaxmark() -> None:
    assert set(DATA_SETS) == {"ibug_300w", "dlib", "pts", "csv", "coco", "drawn_faces"}
    research = "research only, no commercial use, no redistribution"
    terms = {name: data_set.terms for name, data_set in DATA_SETS.items()}
    own = dict.fromkeys(("pts", "csv", "coco"), "unknown")
    assert terms == {"ibug_300w": research, "dlib": research, "drawn_faces": "free", **own}
    assert [name for name, data_set in DATA_SETS.items() if not data_set.names_photographs] == ["csv"]
    assert {name for name, data_set in DATA_SETS.items() if data_set.lists_hold_faces} == {"csv", "coco"}
    assert {name for name, data_set in DATA_SETS.items() if data_set.num_points == 68} == {"ibug_300w", "dlib"}
    assert [name for name, data_set in DATA_SETS.items() if data_set.read is None] == ["drawn_faces"]


def test_importing_the_data_room_loads_neither_tensorflow_nor_jax() -> None:
    code = "import sys, flaxmark.data; assert not {'jax', 'tensorflow', 'flax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


UNMIRRORED = dataclasses.replace(FIVE_POINTS, name="mine", flip_order=None)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (DataConfig(name="none"), "data.name"),
        (DataConfig(name="dlib", markup=FIVE_POINTS), "data.markup"),
        (DataConfig(name="drawn_faces", markup=dataclasses.replace(FIVE_POINTS, name="mine")), "data.markup"),
        (DataConfig(name="drawn_faces", train_list="a", validation_list="b"), "data.train_list"),
        (DataConfig(name="pts", markup=UNMIRRORED, augment=AugmentConfig(flip=True)), "data.augment.flip"),
    ],
)
def test_configs_that_a_data_set_refuses(config: DataConfig, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_data(config)
    assert caught.value.field == field


def test_a_stored_config_may_name_a_data_set_that_is_not_loaded() -> None:
    config = from_dict(to_dict(DataConfig(name="none")), DataConfig)
    assert config.name == "none"
    for use in (check_data, prepare, lambda config: read_listing(config, Path())):
        with pytest.raises(ConfigError, match="ibug_300w") as caught:
            use(config)
        assert caught.value.field == "data.name"
    with pytest.raises(ConfigError) as caught:
        read_listing(DataConfig(name="drawn_faces"), Path())
    assert caught.value.field == "data.name"


def test_a_name_has_one_data_set(own: None) -> None:
    def read(config: DataConfig, root: Path) -> Listing:
        return Listing([], [], {})

    register(DataSet("mine", title="mine", read=read))
    assert register(DataSet("mine", title="again", read=read)) is find_data_set("mine")
    for bad in (DataSet("csv", title="another", read=read), DataSet("nothing", title="no reader")):
        with pytest.raises(ConfigError):
            register(bad)
    assert "nothing" not in DATA_SETS


def test_what_a_reader_of_a_user_returns_is_checked(own: None, tmp_path: Path) -> None:
    def read(config: DataConfig, root: Path) -> Listing:
        if config.strict:
            raise OSError("torn")
        points = {"a.jpg": np.zeros((5, 2)), "b.jpg": np.full((68, 2), np.nan)}
        return Listing([FaceEntry(file, face, None, "s", file, "train") for file, face in points.items()], [], {})

    register(DataSet("mine", title="mine", read=read, instructions="ask me"))
    listing = read_listing(DataConfig(name="mine"), tmp_path)
    assert [problem.reason for problem in listing.problems] == [entries.POINT_COUNT, entries.NOT_LABELLED]
    with pytest.raises(DataError, match="torn") as caught:
        read_listing(DataConfig(name="mine", strict=True), tmp_path)
    assert caught.value.field == "data.dir"
    with pytest.raises(DataError, match="ask me"):
        prepare(DataConfig(name="mine"))


def test_a_data_set_of_a_user_is_prepared_in_worker_processes(
    own: None, tmp_path: Path, official_tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flaxmark.system.worker_processes.FEW", 1)
    monkeypatch.setattr("flaxmark.system.worker_processes.usable_cores", lambda: 2)
    write_lines(tmp_path / "set", official_tree)
    exec(compile(EXTENSION, "lines.py", "exec"), {"__name__": "lines_of_a_user"})
    prepared = prepare(DataConfig(name="lines", dir=str(tmp_path / "set"), prepared_dir=str(tmp_path / "prepared")))
    assert sum(prepared.counts.values()) == 12
    assert prepared.terms == "for tests only"
    assert prepared.dir.parts[-2:] == ("own_faces", "1.1.0")
    assert load_split(prepared, "train").subsets[0] == "mine"


def test_a_data_set_of_a_user_trains_and_evaluates(
    environment: dict[str, str], tmp_path: Path, official_tree: Tree
) -> None:
    write_lines(tmp_path / "set", official_tree, 24)
    (tmp_path / "lines.py").write_text(EXTENSION)
    extended = environment | {"FLAXMARK_EXTENSIONS": str(tmp_path / "lines.py")}
    data = ["--data.name", "lines", "--data.dir", tmp_path / "set", "--data.image-size", "64"]
    train = ["--config", "configs/quickstart.py", *data, "--train.epochs", "1", "--train.batch-size", "8"]
    done = run_command(extended, "train", *train, "--workdir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    done = run_command(extended, "evaluate", "--workdir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "validation" in done.stdout
    done = run_command(extended, "audit", "--help")
    assert "lines (one line a face)" in " ".join(done.stdout.replace("│", " ").split())
    said = refusal("train", *train, "--workdir", tmp_path / "other")
    assert "--data.name" in said
    assert "lines" in said


@pytest.mark.parametrize("result", [KeyError("left eye"), RuntimeError("first\nsecond"), None])
def test_a_reader_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: object) -> None:
    def read(config: DataConfig, root: Path) -> Listing:
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[return-value]

    monkeypatch.setitem(DATA_SETS, "failing", DataSet("failing", title="failing", read=read))
    with pytest.raises(DataError) as caught:
        read_listing(DataConfig(name="failing", dir=str(tmp_path)), tmp_path)
    assert (caught.value.field, caught.value.value) == ("data.dir", tmp_path)
    assert type(result).__name__ in caught.value.reason
    assert "\n" not in str(caught.value)
