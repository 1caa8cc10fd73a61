import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow as tf
from tensorboardX.proto.event_pb2 import Event, SessionLog

from flaxmark.config.config import Config, TrainConfig
from flaxmark.data.config import DataConfig
from flaxmark.data.input.network_input import InputForm
from flaxmark.data.prepare.prepare import Examples
from flaxmark.errors import ConfigError
from flaxmark.evaluation.evaluate_split import Outputs, format_table, rows_of_split
from flaxmark.faces.markup import IBUG_68
from flaxmark.models.losses import mse
from flaxmark.models.model import ModelConfig
from flaxmark.schema import to_dict
from flaxmark.storage.metric_log import MetricWriter, read_metrics
from flaxmark.storage.workdir import claim_workdir, lock_workdir, stored_result
from flaxmark.system.devices import make_mesh
from flaxmark.system.progress import Progress, format_seconds
from flaxmark.training import memory
from flaxmark.training.stop_requests import stop_requests
from flaxmark.training.xla_programs import build_programs


def test_ctrl_c_asks_once_and_ends_the_second_time() -> None:
    with pytest.raises(KeyboardInterrupt), stop_requests() as asked:
        assert not asked(1)
        os.kill(os.getpid(), signal.SIGINT)
        assert asked(1)
        os.kill(os.getpid(), signal.SIGINT)


def test_sigterm_asks_once_and_has_an_exit_status_of_its_own() -> None:
    with stop_requests() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # the same one, come a second way
        assert asked(1)
        assert asked.interruption("saved").exit_status == 75
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_sigterm_later_on_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    with stop_requests() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked(1)
        monkeypatch.setattr("flaxmark.training.stop_requests.ECHO_SECONDS", -1.0)
        monkeypatch.setattr(os, "kill", lambda _, number: ended.append(number))
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert ended == [signal.SIGTERM]


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
    with pytest.raises(ConfigError, match="another process"), lock_workdir(tmp_path / "x"):
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
    with pytest.raises(ConfigError, match=r"train\.epochs \(20 there, 7 here\)"):
        claim_workdir(tmp_path / "x", Config(train=TrainConfig(epochs=7)))
    (tmp_path / "x" / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json"):
        claim_workdir(tmp_path / "x", Config())
    (tmp_path / "x" / "config.json").unlink()
    claim_workdir(tmp_path / "x", Config())  # there is no checkpoint yet
    (tmp_path / "x" / "config.json").unlink()
    (tmp_path / "x" / "checkpoints" / "3").mkdir()
    with pytest.raises(ConfigError, match=r"config\.json: is missing, and there are checkpoints; put the run's own"):
        claim_workdir(tmp_path / "x", Config())


def test_a_result_counts_wherever_it_is_brought_but_for_its_own_config(tmp_path: Path) -> None:
    assert stored_result(tmp_path, Config()) is None
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"rows": [], "config": to_dict(Config())}))
    assert stored_result(tmp_path, Config(data=DataConfig(dir="/elsewhere"))) == json.loads(path.read_text())
    with pytest.raises(ConfigError, match=r"train\.epochs \(20 there, 7 here\)"):
        stored_result(tmp_path, Config(train=TrainConfig(epochs=7)))
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"result\.json"):
            stored_result(tmp_path, Config())


def test_a_run_that_will_not_fit_is_refused_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(data=DataConfig(image_size=64), model=ModelConfig(depth=18), train=TrainConfig(batch_size=8))
    mesh = make_mesh(jax.devices()[:1])
    form = InputForm(in_step=False, resident=True, faces=9, side=128, largest_side=80.0)
    programs = build_programs(config, 9, mesh, form)
    monkeypatch.setattr(memory, "available_bytes", lambda device: 10**6)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer count with floats
        with pytest.raises(ConfigError, match=r"needs about \d\.\d GB and 0\.0 GB are free; try a smaller"):
            memory.compile_within_memory(programs, config, mesh, form)
        monkeypatch.setattr(memory, "available_bytes", lambda device: 15 * 10**7)
        with pytest.raises(
            ConfigError, match=r"needs about \d\.\d GB and 0\.\d GB are free; try --train\.accumulate 2,"
        ):
            memory.compile_within_memory(programs, config, mesh, form)
        monkeypatch.setattr(memory, "available_bytes", lambda device: 10**9)
        with pytest.raises(ConfigError, match=r"--data\.residency stream \(the faces take 6\.6 GB\), a smaller"):
            resident = dataclasses.replace(form, in_step=True, faces=100_000)
            memory.compile_within_memory(build_programs(config, 9, mesh, resident), config, mesh, resident)
        monkeypatch.setattr(memory, "available_bytes", lambda device: 10**12)
        memory.compile_within_memory(programs, config, mesh, form)


def test_this_machine_knows_its_memory() -> None:
    available = memory.available_bytes(jax.devices()[0])
    assert available is None or 10**7 < available < 10**15


def test_a_resumed_writer_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    writer = MetricWriter(tmp_path, 0)
    for step in (1, 2, 3):
        writer.write("train", step, {"loss": step / 2})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')  # cut off by a crash
    writer = MetricWriter(tmp_path, 2)
    writer.write("train", 3, {"loss": 9.0})
    writer.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path)] == [(1, 0.5), (2, 1.0), (3, 9.0)]
    newest = max((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    # TensorFlow looks at the checksums.
    start, restart, scalars, *_ = map(Event.FromString, tf.data.TFRecordDataset(str(newest)).as_numpy_iterator())
    assert start.file_version == "brain.Event:2"
    assert (restart.step, restart.session_log.status) == (3, SessionLog.START)
    assert (scalars.step, scalars.summary.value[0].tag) == (3, "train/loss")
    assert scalars.summary.value[0].simple_value == 9.0


def test_rows_have_the_mean_face_and_every_subset() -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(size=(3, 68, 2)).astype(np.float32)
    names = ["a", "b", "b"]
    nothing = np.zeros((3, 4), np.float32)
    examples = Examples(target, nothing, nothing, nothing, names, names, names, 16, [b""] * 3)
    mean_face = target.mean(0)
    rows = rows_of_split("validation", examples, Outputs(target, np.zeros(3, np.float32)), mean_face, mse, IBUG_68)
    assert [(r["subset"], r["predictor"], r["faces"]) for r in rows] == [
        (subset, predictor, n)
        for subset, n in (("all", 3), ("a", 1), ("b", 2))
        for predictor in ("network", "mean face")
    ]
    assert rows[0]["nme"] == 0
    assert rows[1]["loss"] == pytest.approx(np.square(target - mean_face).mean(), rel=1e-5)
    lines = format_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 2 + 6


def test_progress_for_people() -> None:
    assert [format_seconds(s) for s in (0, 42.4, 185, 7620)] == ["0s", "42s", "3m05s", "2h07m"]
    stream = io.StringIO()
    progress = Progress(10, 0, 32, stream)
    progress.step("not shown in a log file")
    progress.line("epoch 1/2")
    assert stream.getvalue().startswith("epoch 1/2  ")
    assert "images/s" in stream.getvalue()
    assert "left\n" in stream.getvalue()
