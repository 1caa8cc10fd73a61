"""The folder of a run: one process at a time, one config, one result."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flaxmark.config.config import Config, TrainConfig
from flaxmark.data.config import DataConfig
from flaxmark.errors import CheckpointError, StorageError
from flaxmark.models.losses import MAE, SmoothL1
from flaxmark.models.resnet import ResNetConfig
from flaxmark.schema import to_dict
from flaxmark.storage.workdir import _differences, claim_workdir, lock_workdir, stored_result


def test_two_runs_in_one_workdir(tmp_path: Path) -> None:
    with lock_workdir(tmp_path / "x"):
        code = "import sys; from flaxmark.storage.workdir import lock_workdir; from pathlib import Path\n"
        code += "with lock_workdir(Path(sys.argv[1])): print('got it')"
        other = [sys.executable, "-c", code, str(tmp_path / "x")]
        refused = subprocess.run(other, capture_output=True, text=True)
        assert "another process trains in it" in refused.stderr
    assert subprocess.run(other, capture_output=True, text=True).stdout == "got it\n"
    # One that is killed leaves no lock behind.
    other[2] = code + "; sys.stdout.flush(); input()"
    process = subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"got it\n"
    with pytest.raises(CheckpointError), lock_workdir(tmp_path / "x"):
        pass
    process.kill()
    process.communicate()
    with lock_workdir(tmp_path / "x"):
        pass


def test_a_workdir_belongs_to_one_config(tmp_path: Path) -> None:
    config = Config()
    claim_workdir(tmp_path / "x", config)
    claim_workdir(tmp_path / "x", config)
    claim_workdir(tmp_path / "x", Config(data=DataConfig(dir="/elsewhere")))  # where files lie may change
    claim_workdir(tmp_path / "x", Config(train=TrainConfig(epochs=9)))  # nothing was trained yet
    claim_workdir(tmp_path / "x", config)
    (tmp_path / "x" / "checkpoints" / "2").mkdir(parents=True)
    claim_workdir(tmp_path / "x", Config(train=TrainConfig(log_every=3)))  # what changes no number may change
    with pytest.raises(CheckpointError, match=r"train\.epochs.*20.*7"):
        claim_workdir(tmp_path / "x", Config(train=TrainConfig(epochs=7)))
    (tmp_path / "x" / "config.json").write_text("{")
    with pytest.raises(CheckpointError):
        claim_workdir(tmp_path / "x", Config())
    (tmp_path / "x" / "config.json").unlink()
    with pytest.raises(CheckpointError):
        claim_workdir(tmp_path / "x", Config())
    (tmp_path / "x" / "checkpoints" / "2").rename(tmp_path / "x" / "checkpoints" / "2.orbax-checkpoint-tmp")
    claim_workdir(tmp_path / "x", Config(train=TrainConfig(epochs=7)))  # a save that did not finish is no checkpoint


def test_a_result_counts_wherever_it_is_brought_but_for_its_own_config(tmp_path: Path) -> None:
    assert stored_result(tmp_path, Config()) is None
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"rows": [], "config": to_dict(Config())}))
    assert stored_result(tmp_path, Config(data=DataConfig(dir="/elsewhere"))) == json.loads(path.read_text())
    with pytest.raises(CheckpointError, match=r"train\.epochs.*20.*7"):
        stored_result(tmp_path, Config(train=TrainConfig(epochs=7)))
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(CheckpointError):
            stored_result(tmp_path, Config())


def test_a_workdir_of_version_0_1_goes_on(tmp_path: Path) -> None:
    """Its config has no model.name and no model.head, and the fields of every loss."""
    stored = json.loads(json.dumps(to_dict(Config(model=ResNetConfig(depth=18), loss=MAE()))))
    del stored["model"]["name"], stored["model"]["head"]
    stored["loss"] = {"name": "mae", "beta": 0.02, "pixels": 256.0}
    del stored["train"]["accumulate"]  # a field that was added later had its default
    (tmp_path / "config.json").write_text(json.dumps(stored))
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "result.json").write_text(json.dumps({"config": stored}))
    config = Config(model=ResNetConfig(depth=18), loss=MAE())
    claim_workdir(tmp_path, config)
    assert stored_result(tmp_path, config) == {"config": stored}
    with pytest.raises(CheckpointError) as caught:
        claim_workdir(tmp_path, Config(model=ResNetConfig(depth=34), loss=SmoothL1()))
    assert caught.value.file == tmp_path / "config.json"
    assert "model.depth (18 there, 34 here)" in caught.value.reason
    assert "loss.name (mae there, smooth_l1 here)" in caught.value.reason
    assert "beta" not in caught.value.reason
    (tmp_path / "config.json").write_text(json.dumps(stored | {"younger": 1}))
    with pytest.raises(CheckpointError) as caught:
        claim_workdir(tmp_path, config)
    assert "younger" in caught.value.reason


def test_a_workdir_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught, lock_workdir(tmp_path / "file" / "run"):
        pass
    assert (caught.value.field, caught.value.value) == ("workdir", tmp_path / "file" / "run")
    with pytest.raises(StorageError) as caught:
        claim_workdir(tmp_path / "file" / "run", Config())
    assert caught.value.field == "workdir"


def test_only_fields_of_the_data_and_the_loop_are_free() -> None:
    """A field of an extension may have the name of one of them."""
    stored = json.loads(json.dumps(to_dict(Config())))
    assert list(_differences(stored, stored | {"data": stored["data"] | {"dir": "x"}})) == []
    changed = stored | {"model": stored["model"] | {"dir": "x"}}
    assert list(_differences(stored, changed)) == ["model.dir (None there, x here)"]
