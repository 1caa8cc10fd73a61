"""Disks that are full, folders that are read-only or gone: one line, and what was saved is still there."""

import errno
import gc
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.commands import Environment
from helpers.runs import finish, start, steps, wait
from helpers.small_state import METADATA, at_step, make_state

from flaxmark.data.config import DataConfig
from flaxmark.data.prepare.prepare import prepare
from flaxmark.errors import StorageError
from flaxmark.storage.checkpoint import RunCheckpoints, load_best, restore_newest
from flaxmark.storage.metric_log import MetricWriter, read_metrics
from flaxmark.system.files import storage_errors
from flaxmark.training.train_state import TrainState

# Orbax leaves the errors of its tasks behind when a file cannot be written.
pytestmark = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system lets this process write no larger file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def state() -> TrainState:
    return make_state()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, state: TrainState) -> None:
    with RunCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(at_step(state, 1), METADATA, {"loss": 0.5})
    checkpoints = RunCheckpoints(tmp_path)
    with (
        pytest.raises(StorageError) as caught,
        storage_errors(tmp_path, lambda: checkpoints.kept),
        largest_file(100_000),
        checkpoints,
    ):
        checkpoints.save(at_step(state, 2), METADATA, {"loss": 0.4})
    assert caught.value.file == tmp_path
    assert "(a checkpoint takes 90 MB)" in caught.value.reason
    assert f"last good checkpoint: {tmp_path}/checkpoints/1" in caught.value.reason
    assert "\n" not in str(caught.value)
    restored = restore_newest(tmp_path, state)
    assert restored is not None
    assert int(restored.step) == 1
    assert load_best(tmp_path)[1]["step"] == 1
    with RunCheckpoints(tmp_path) as again:  # and the run goes on
        again.save(at_step(state, 2), METADATA, {"loss": 0.4})
    assert load_best(tmp_path)[1]["step"] == 2


def test_metrics_that_cannot_be_written(tmp_path: Path) -> None:
    writer = MetricWriter(tmp_path, 0)
    with pytest.raises(StorageError, match="file too large"), storage_errors(tmp_path), largest_file(2_000):
        try:
            for step in range(1, 100):
                writer.write("train", step, {"epoch": 1, "loss": 0.5})
        finally:
            writer.close()
    with warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always", ResourceWarning)
        del writer
        gc.collect()
    assert not left_open
    known = [line["step"] for line in read_metrics(tmp_path)]
    assert known == list(range(1, len(known) + 1))
    assert len(known) > 10


def test_a_workdir_that_has_gone_is_not_made_again(tmp_path: Path, state: TrainState) -> None:
    workdir = tmp_path / "run"
    workdir.mkdir()
    with RunCheckpoints(workdir) as checkpoints:
        checkpoints.save(state, METADATA)
    checkpoints = RunCheckpoints(workdir)
    with pytest.raises(StorageError, match="bring it back"), storage_errors(workdir), checkpoints:
        shutil.rmtree(workdir)
        checkpoints.save(at_step(state, 2), METADATA)
    assert not workdir.exists()


def test_a_workdir_that_is_being_removed_is_gone(tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    workdir.mkdir()
    with pytest.raises(StorageError, match="has gone; bring it back"), storage_errors(workdir):
        threading.Timer(0.2, workdir.rmdir).start()
        raise ValueError("half of what was written is there")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO])
def test_whatever_the_system_says_is_one_line(tmp_path: Path, number: int) -> None:
    for error in (
        OSError(number, os.strerror(number), str(tmp_path / "x")),
        ValueError(f"Failed writing: \"{tmp_path}/x\": {os.strerror(number)} [os_error_code='{number}']\nmore"),
    ):
        with pytest.raises(StorageError) as caught, storage_errors(tmp_path, lambda: "; step 3 is safe"):
            raise error
        assert caught.value.file == tmp_path
        assert caught.value.reason.startswith(f"{os.strerror(number).lower()}; ")
        assert str(caught.value).endswith("; step 3 is safe")
        assert "\n" not in str(caught.value)


def test_errors_of_something_else_stay_what_they_are(tmp_path: Path) -> None:
    for error in (FileNotFoundError(errno.ENOENT, "none", "/elsewhere/x"), ValueError("RESOURCE_EXHAUSTED: 3 GB")):
        with pytest.raises(type(error)) as caught, storage_errors(tmp_path):
            raise error
        assert caught.value is error


def test_faces_that_cannot_be_prepared(tmp_path: Path) -> None:
    config = DataConfig("drawn_faces", drawn_train=8, drawn_validation=2, prepared_dir=str(tmp_path / "place"))
    with pytest.raises(StorageError, match="file too large") as caught, largest_file(5_000):
        prepare(config)
    assert caught.value.file == tmp_path / "place"
    assert prepare(config).counts == {"train": 8, "validation": 2, "test": 2}  # and nothing is left of it


@pytest.mark.torture
def test_a_run_on_a_full_disk_goes_on_when_there_is_room(environment: Environment, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(*options: str) -> int:
        line = ["mount", *options, "-t", "tmpfs", "tmpfs", str(disk)]
        return subprocess.run(line, capture_output=True, check=False).returncode

    if mount("-o", "size=400m"):  # one checkpoint has room, a second one beside it does not
        pytest.skip("only root may mount a small disk")
    try:
        workdir = disk / "run"
        process = start(environment, workdir)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 2, said
        assert re.search(r"error: .*: no space left on device; free some space \(a checkpoint takes \d+ MB\)", said)
        assert "Traceback" not in said
        assert re.search(r"last good checkpoint: \S+/checkpoints/\d; the same command resumes\n$", said)
        assert mount("-o", "remount,ro") == 0
        process = start(environment, workdir)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 2
        assert "read-only file system" in said.lower()
        assert said.count("\n") == 1
        assert mount("-o", "remount,rw,size=2g") == 0
        finish(start(environment, workdir))
        assert steps(workdir) == 12
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.torture
def test_a_run_whose_folder_is_removed_ends(environment: Environment, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    process = start(environment, workdir)
    assert wait(process, lambda: steps(workdir) >= 4)
    process.send_signal(signal.SIGSTOP)
    shutil.rmtree(workdir)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2, said
    assert "bring it back, or start anew in another folder" in said
    assert "Traceback" not in said
