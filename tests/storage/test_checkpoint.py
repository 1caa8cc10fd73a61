import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.small_state import METADATA, at_step, make_state

from flaxmark.errors import CheckpointError, DeviceError, FlaxmarkError, StorageError
from flaxmark.storage.checkpoint import RunCheckpoints, load_best, restore_newest
from flaxmark.storage.checksum import crc32
from flaxmark.training.train_state import TrainState

# Orbax leaves the errors of its tasks behind when a file cannot be read.
pytestmark = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def state() -> TrainState:
    return make_state(momentum=0.9, with_ema=True)


def at(state: TrainState, step: int) -> TrainState:
    """The state with its step in every averaged weight too, to recognise it by."""
    ema = jax.tree.map(lambda x: jnp.full_like(x, step), state.ema)
    return at_step(state, step).replace(ema=ema)  # type: ignore[attr-defined]


def test_latest_and_best_are_kept_and_the_best_is_the_average(tmp_path: Path, state: TrainState) -> None:
    with RunCheckpoints(tmp_path) as checkpoints:
        for step, loss in ((1, 0.5), (2, 0.2), (3, 0.4), (4, 0.3)):
            checkpoints.save(at(state, step), METADATA, {"loss": loss})
        checkpoints.save(at(state, 5), METADATA)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["2", "5"]
    variables, metadata = load_best(tmp_path)
    assert metadata["step"] == 2
    assert {float(leaf.ravel()[0]) for leaf in jax.tree.leaves(variables)} == {2.0}
    with RunCheckpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 5
        assert checkpoints.describe_latest().endswith("/5")
    restored = restore_newest(tmp_path, at(state, 0))
    jax.tree.map(np.testing.assert_array_equal, restored, at(state, 5))


def test_a_loss_that_is_not_finite_is_refused(tmp_path: Path, state: TrainState) -> None:
    with RunCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(at(state, 1), METADATA, {"loss": 0.5})
        with pytest.raises(ValueError, match="nan"):
            checkpoints.save(at(state, 2), METADATA, {"loss": float("nan")})
    assert load_best(tmp_path)[1]["step"] == 1


def test_a_folder_without_checkpoints_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CheckpointError) as caught:
            load_best(folder)
        assert caught.value.file == folder
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="no validated checkpoint"):
        load_best(tmp_path)


def test_a_checkpoint_without_a_loss_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    for said in ({"validation": {}}, {"validation": {"loss": "low"}}, {"validation": 5}):
        monkeypatch.setattr("flaxmark.storage.checkpoint._metadata", lambda _, said=said: METADATA | said)
        with pytest.raises(CheckpointError, match="no validated checkpoint"):
            load_best(tmp_path)


def test_a_config_that_is_not_known_here_is_no_damage(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    unknown = METADATA | {"config": METADATA["config"] | {"model": {"name": "of_an_extension"}}}
    monkeypatch.setattr("flaxmark.storage.checkpoint._metadata", lambda _: unknown | {"validation": {"loss": 0.5}})
    with pytest.raises(CheckpointError, match="of_an_extension"):
        load_best(two)
    assert capsys.readouterr().err == ""


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


DAMAGE: list[tuple[str, Callable[[Path], None]]] = [
    ("state/ocdbt.process_0/d/*", flip_a_byte),
    ("state/ocdbt.process_0/d/*", cut_in_half),
    ("state/_METADATA", cut_in_half),
    ("state/manifest.ocdbt", flip_a_byte),
    ("state", remove),
    ("model", remove),
    ("metadata", remove),
    ("*", remove),
]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, state: TrainState) -> Path:
    """A run with two checkpoints, of which the second is the best."""
    folder = tmp_path_factory.mktemp("two")
    with RunCheckpoints(folder) as checkpoints:
        # Weights as they are: orbax stores nothing of arrays whose numbers are all the same.
        checkpoints.save(state.replace(step=jnp.int32(1)), METADATA, {"loss": 0.3})  # type: ignore[attr-defined]
        checkpoints.save(state.replace(step=jnp.int32(2)), METADATA)  # type: ignore[attr-defined]
    return folder


@pytest.mark.parametrize(("pattern", "damage"), DAMAGE)
def test_the_newest_sound_checkpoint_is_used_and_the_damaged_one_kept(
    two: Path, tmp_path: Path, state: TrainState, pattern: str, damage: Callable[[Path], None], capsys: Any
) -> None:
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    for path in sorted((tmp_path / "checkpoints" / "2").glob(pattern)):
        damage(path)
    restored = restore_newest(tmp_path, state)
    assert restored is not None
    assert int(restored.step) == 1
    assert (tmp_path / "damaged" / "2").is_dir()
    assert "checkpoints/2 is damaged" in capsys.readouterr().err
    with RunCheckpoints(tmp_path) as checkpoints:  # and training goes on
        checkpoints.save(at(state, 2), METADATA, {"loss": 0.2})
    again = restore_newest(tmp_path, state)
    assert again is not None
    assert int(again.step) == 2


def test_a_best_one_that_predict_could_not_load_is_found_by_who_can_train_another(
    two: Path, tmp_path: Path, state: TrainState, capsys: Any
) -> None:
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "checkpoints" / "1" / "model")
    restored = restore_newest(tmp_path, state)
    assert restored is not None
    assert int(restored.step) == 2
    assert (tmp_path / "damaged" / "1").is_dir()
    assert "checkpoints/1 is damaged" in capsys.readouterr().err


def test_the_best_sound_checkpoint_is_used(two: Path, tmp_path: Path, state: TrainState, capsys: Any) -> None:
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    with RunCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(at(state, 3), METADATA, {"loss": 0.5})
    for path in (tmp_path / "checkpoints" / "1").glob("model/ocdbt.process_0/d/*"):
        flip_a_byte(path)
    assert load_best(tmp_path)[1]["step"] == 3
    assert "checkpoints/1 is damaged" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "checkpoints" / "3" / "model")
    with pytest.raises(CheckpointError, match="every validated checkpoint in it is damaged"):
        load_best(tmp_path)


def test_checkpoints_with_crc_32_are_still_checked(
    two: Path, tmp_path: Path, state: TrainState, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def of_old(parts: dict[str, Any]) -> dict[str, int]:
        return {name: crc32(tree) for name, tree in parts.items()}

    monkeypatch.setattr("flaxmark.storage.checkpoint.make_checksums", of_old)
    with RunCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(at_step(state, 1), METADATA, {"loss": 0.3})
        checkpoints.save(at_step(state, 2), METADATA)
    monkeypatch.undo()
    assert load_best(tmp_path)[1]["checksums"].keys() == {"state", "model"}
    assert load_best(two)[1]["checksums"]["method"] == "mix32"
    restored = restore_newest(tmp_path, state)
    jax.tree.map(np.testing.assert_array_equal, restored, at_step(state, 2))
    monkeypatch.setattr("flaxmark.storage.checksum.crc32", lambda tree: 0)
    with pytest.raises(CheckpointError, match="is not what was saved: another checksum"):
        restore_newest(tmp_path, state)
    capsys.readouterr()


def test_metrics_that_cannot_be_read_are_damage(tmp_path: Path, state: TrainState) -> None:
    with RunCheckpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(at(state, step), METADATA, {"loss": 0.3 * step})
    cut_in_half(tmp_path / "checkpoints" / "1" / "metrics" / "metrics")  # orbax reads it as it opens the folder
    restored = restore_newest(tmp_path, state)
    assert restored is not None
    assert int(restored.step) == 2
    with RunCheckpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 2


def test_no_sound_checkpoint_stops_and_keeps_all(two: Path, tmp_path: Path, state: TrainState) -> None:
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "checkpoints").glob("*/state/_METADATA"):
        cut_in_half(path)
    with pytest.raises(CheckpointError, match=r"every checkpoint in it is damaged \(2: .*start anew"):
        restore_newest(tmp_path, state)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]
    assert restore_newest(tmp_path / "empty", state) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), DeviceError),
        (MemoryError(), DeviceError),
        (PermissionError(errno.EACCES, "Permission denied"), StorageError),
    ],
)
def test_what_the_machine_refuses_is_no_damage(
    two: Path, state: TrainState, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[FlaxmarkError]
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("flaxmark.storage.checkpoint._load", fails)
    for load in (lambda: restore_newest(two, state), lambda: load_best(two)):
        with pytest.raises(kind):
            load()
    assert sorted(path.name for path in (two / "checkpoints").iterdir()) == ["1", "2"]


def test_a_checkpoint_of_git_lfs_pointers_stays_where_it_is(two: Path, tmp_path: Path, state: TrainState) -> None:
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "checkpoints").rglob("*"):
        if path.is_file():
            path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    for load in (lambda: restore_newest(tmp_path, state), lambda: load_best(tmp_path)):
        with pytest.raises(CheckpointError, match="Git LFS") as caught:
            load()
        assert caught.value.file is not None
    assert not (tmp_path / "damaged").exists()
