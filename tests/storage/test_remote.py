"""A workdir in remote storage; here a folder stands for it."""

import shutil
from pathlib import Path

import pytest
from helpers.small_state import METADATA, at_step, make_state

from flaxmark.errors import ConfigError, FlaxmarkError, StorageError
from flaxmark.storage.checkpoint import RunCheckpoints, load_best, restore_newest
from flaxmark.storage.remote import checkpoints_of, local_workdir, push


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"file://{tmp_path}/bucket/faces/run"


def test_checkpoints_are_remote_and_the_rest_is_copied_at_each_save(url: str, tmp_path: Path) -> None:
    bucket, state = tmp_path / "bucket" / "faces" / "run", make_state()
    workdir = local_workdir(url)
    assert workdir.parent == Path("runs")
    assert workdir.name.startswith("+")  # gs:// has no such folder
    assert workdir.name.endswith("+bucket+faces+run")
    (workdir / "metrics.jsonl").write_text("1\n")
    (workdir / ".lock").write_text("")
    (workdir / "tensorboard").mkdir()
    (workdir / "tensorboard" / "events").write_bytes(b"x")
    with RunCheckpoints(workdir) as checkpoints:
        checkpoints.save(state, METADATA, {"loss": 0.5})
        (workdir / "metrics.jsonl").write_text("1\n2\n")
        checkpoints.save(at_step(state, 1), METADATA, {"loss": 0.4})
    found = {str(path.relative_to(bucket)) for path in bucket.rglob("*") if "checkpoints" not in path.parts}
    assert found == {"metrics.jsonl", "tensorboard", "tensorboard/events"}
    assert (bucket / "metrics.jsonl").read_text() == "1\n2\n"
    assert not (workdir / "checkpoints").exists()
    assert str(checkpoints_of(workdir)) == str(bucket / "checkpoints")
    assert load_best(workdir)[1]["step"] == 1
    # Another machine goes on with it.
    shutil.rmtree(workdir)
    workdir = local_workdir(url)
    assert (workdir / "metrics.jsonl").read_text() == "1\n2\n"
    assert (workdir / "tensorboard" / "events").read_bytes() == b"x"
    restored = restore_newest(workdir, state)
    assert restored is not None
    assert int(restored.step) == 1


def test_damaged_remote_checkpoints_are_put_aside(url: str, tmp_path: Path) -> None:
    bucket, workdir, state = tmp_path / "bucket" / "faces" / "run", local_workdir(url), make_state()
    with RunCheckpoints(workdir) as checkpoints:
        checkpoints.save(state, METADATA, {"loss": 0.4})
        checkpoints.save(at_step(state, 1), METADATA, {"loss": 0.5})
    shutil.rmtree(bucket / "checkpoints" / "1" / "state")
    restored = restore_newest(workdir, state)
    assert restored is not None
    assert int(restored.step) == 0
    assert (bucket / "damaged" / "1").is_dir()


def test_another_url_has_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    urls = [f"file://{tmp_path}/{name}" for name in ("a/b_c", "a_b/c", "a+b/c", "a/b/c", "a%2Bb/c")]
    assert len({local_workdir(url) for url in urls}) == 5


def test_a_folder_is_its_own_place(tmp_path: Path) -> None:
    assert local_workdir(tmp_path) == tmp_path
    push(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://host/run", ConfigError),
        ("gs://", ConfigError),
        ("file://here/run", ConfigError),
        ("file:///proc/1/nowhere", StorageError),
    ],
)
def test_storage_that_cannot_be_used(
    url: str, kind: type[FlaxmarkError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        local_workdir(url)
    assert (caught.value.field, caught.value.value) == ("workdir", url)
    assert "\n" not in str(caught.value)
