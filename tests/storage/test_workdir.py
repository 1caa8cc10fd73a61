"""The folder of a run: one process at a time, one config, one result."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flaxmark.config.config import Config, TrainConfig
from flaxmark.data.config import DataConfig
from flaxmark.errors import FlaxmarkError
from flaxmark.schema import to_dict
from flaxmark.storage.workdir import claim_workdir, lock_workdir, stored_result


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
    with pytest.raises(FlaxmarkError), lock_workdir(tmp_path / "x"):
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
    (tmp_path / "x" / "checkpoints").mkdir()
    claim_workdir(tmp_path / "x", Config(train=TrainConfig(log_every=3)))  # what changes no number may change
    with pytest.raises(FlaxmarkError, match=r"train\.epochs.*20.*7"):
        claim_workdir(tmp_path / "x", Config(train=TrainConfig(epochs=7)))
    (tmp_path / "x" / "config.json").write_text("{")
    with pytest.raises(FlaxmarkError):
        claim_workdir(tmp_path / "x", Config())
    (tmp_path / "x" / "config.json").unlink()
    claim_workdir(tmp_path / "x", Config())  # there is no checkpoint yet
    (tmp_path / "x" / "config.json").unlink()
    (tmp_path / "x" / "checkpoints" / "3").mkdir()
    with pytest.raises(FlaxmarkError):
        claim_workdir(tmp_path / "x", Config())


def test_a_result_counts_wherever_it_is_brought_but_for_its_own_config(tmp_path: Path) -> None:
    assert stored_result(tmp_path, Config()) is None
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"rows": [], "config": to_dict(Config())}))
    assert stored_result(tmp_path, Config(data=DataConfig(dir="/elsewhere"))) == json.loads(path.read_text())
    with pytest.raises(FlaxmarkError, match=r"train\.epochs.*20.*7"):
        stored_result(tmp_path, Config(train=TrainConfig(epochs=7)))
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(FlaxmarkError):
            stored_result(tmp_path, Config())
