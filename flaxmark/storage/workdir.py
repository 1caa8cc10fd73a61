"""The folder of a run: its lock, its config, and the result of a finished run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from flaxmark.config.config import Config
from flaxmark.errors import CheckpointError, ConfigError, StorageError
from flaxmark.schema import from_dict, to_dict
from flaxmark.storage.remote import saved_checkpoints
from flaxmark.system.files import write_text
from flaxmark.system.reading import reason_for_text

CONFIG, RESULT, PREDICTIONS = "config.json", "result.json", "predictions.npz"
FACES, TRAIN_FACES, BAD_FACES, LOCK = "faces.tsv", "train_faces.txt", "not_finite.txt", ".lock"

# Where files lie, and how often something is written, changes no number of a run.
_FREE = (
    "data.dir", "data.prepared_dir", "data.residency", "train.log_every", "train.save_every", "train.profile_steps",
    "train.accept_other_data",
)  # fmt: skip


@contextmanager
def lock_workdir(workdir: Path) -> Iterator[None]:
    """Create a workdir if needed and keep other processes from training in it, until this one ends.

    Raises CheckpointError where another process trains in it, StorageError where it cannot be written.
    """
    lock = filelock.FileLock(workdir / LOCK)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        reason = "another process trains in it; wait for it, or give another --workdir"
        raise CheckpointError(reason, file=workdir) from None
    except OSError as error:
        raise _not_writable(workdir, error) from error
    try:
        yield
    finally:
        lock.release()


def claim_workdir(workdir: Path, config: Config, *, write: bool = True) -> None:
    """Write the resolved config into a new workdir, or compare it with the config of an earlier start.

    `write` is False on all processes but the first. Raises CheckpointError where the workdir belongs to a run of
    another config, StorageError where it cannot be written.
    """
    path = workdir / CONFIG
    # A start that failed before its first checkpoint holds nothing that another config could spoil.
    saved = bool(saved_checkpoints(workdir))
    if path.exists() and saved:
        _refuse_another_config(path, _read(path, "put the run's own config back"), config)
        return
    if write and saved:
        reason = "is missing, and there are checkpoints; put the run's own config back, or give another --workdir"
        raise CheckpointError(reason, file=path)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if write:
            write_text(path, json.dumps(to_dict(config), indent=2) + "\n")
    except OSError as error:
        raise _not_writable(workdir, error) from error


def stored_result(workdir: Path, config: Config) -> dict[str, Any] | None:
    """Content of the `result.json` of a finished run, from any machine; None where there is none.

    Raises CheckpointError where it is the result of another config, or cannot be read.
    """
    path = workdir / RESULT
    if not path.is_file():
        return None
    result = _read(path, "move it away")
    if not isinstance(result.get("config"), dict):
        reason = "not a result that training wrote; move it away, or give another --workdir"
        raise CheckpointError(reason, file=path)
    _refuse_another_config(path, result["config"], config)
    return result


def data_set_of(workdir: Path) -> str | None:
    """Name of the data set in the config of a run; None where there is no config that can be read."""
    try:
        return str(json.loads((workdir / CONFIG).read_text(encoding="utf-8"))["data"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _not_writable(workdir: Path, error: OSError) -> StorageError:
    return StorageError(f"{error.strerror}; name a folder that can be written", field="workdir", value=workdir)


def _read(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            reason_for_text(path, f"{error}; {remedy}, or give another --workdir"), file=path
        ) from error
    return values


def _refuse_another_config(path: Path, stored: dict[str, Any], config: Config) -> None:
    """Raise CheckpointError that names the fields in which the config of a stored file differs."""
    try:
        known = to_dict(from_dict(stored, Config))  # earlier versions lack fields, and wrote others
    except ConfigError as error:
        raise CheckpointError(f"its config cannot be used ({error}); give another --workdir", file=path) from error
    differing = list(_differences(_as_json(known), _as_json(to_dict(config))))
    if differing:
        reason = f"of a run with another config; different: {', '.join(differing)}"
        raise CheckpointError(f"{reason}. Give another --workdir, or the same values", file=path)


def _as_json(values: Any) -> Any:
    """Lists in place of tuples, as JSON has them."""
    return json.loads(json.dumps(values))


def _differences(stored: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Dotted names of the fields whose values differ and matter; of two members of a family only that."""
    if not isinstance(stored, dict) or not isinstance(wanted, dict):
        if stored != wanted:
            yield f"{name} ({stored} there, {wanted} here)"
        return
    other_member = stored.get("name") != wanted.get("name") and stored.keys() != wanted.keys()
    for key in ["name"] if other_member else sorted(set(stored) | set(wanted)):
        dotted = f"{name}.{key}" if name else key
        if dotted not in _FREE:
            yield from _differences(stored.get(key), wanted.get(key), dotted)
