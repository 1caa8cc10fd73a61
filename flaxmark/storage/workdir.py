"""The folder of a run: whose it is, and what a finished one has left."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from flaxmark.config.config import Config
from flaxmark.errors import ConfigError
from flaxmark.schema import from_dict, to_dict
from flaxmark.storage.remote import checkpoints_of
from flaxmark.system.files import write_text

CONFIG, RESULT, PREDICTIONS = "config.json", "result.json", "predictions.npz"
TRAIN_FACES, BAD_FACES, LOCK = "train_faces.txt", "not_finite.txt", ".lock"

# Where files lie, and how often something is written, changes no number of a run.
_FREE = ("dir", "prepared_dir", "residency", "log_every", "save_every", "profile_steps")


@contextmanager
def lock_workdir(workdir: Path) -> Iterator[None]:
    """Keep other processes from training in a workdir; the system frees it when this one ends, however it ends.

    Args:
        workdir: Made if it does not exist.

    Raises:
        ConfigError: Another process trains in it, or it cannot be written.
    """
    lock = filelock.FileLock(workdir / LOCK)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ConfigError(f"{workdir}: another process trains in it; wait for it, or give another --workdir") from None
    except OSError as error:
        raise ConfigError(f"--workdir {workdir}: {error.strerror}; name a folder that can be written") from error
    try:
        yield
    finally:
        lock.release()


def claim_workdir(workdir: Path, config: Config, *, write: bool = True) -> None:
    """Write the resolved config into a new workdir, or compare it with that of an old one.

    Args:
        workdir: Made if it does not exist.
        config: Of this start.
        write: False on all processes but the first.

    Raises:
        ConfigError: The workdir belongs to another config, or cannot be written.
    """
    path = workdir / CONFIG
    # A start that failed before its first checkpoint holds nothing that another config could spoil.
    if path.exists() and checkpoints_of(workdir).exists():
        _refuse_another_config(workdir, _read(path, "put the run's own config back"), config)
        return
    if write and any(checkpoints_of(workdir).glob("*")):
        raise ConfigError(
            f"{path}: is missing, and there are checkpoints; put the run's own config back, or give another --workdir"
        )
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if write:
            write_text(path, json.dumps(to_dict(config), indent=2) + "\n")
    except OSError as error:
        raise ConfigError(f"--workdir {workdir}: {error.strerror}; name a folder that can be written") from error


def stored_result(workdir: Path, config: Config) -> dict[str, Any] | None:
    """What a finished run has left, made here or brought from another machine.

    Args:
        workdir: The run's folder.
        config: What it has to have been trained with.

    Returns:
        The content of its result.json; None where it has none.

    Raises:
        ConfigError: It is the result of another config, or cannot be read.
    """
    path = workdir / RESULT
    if not path.is_file():
        return None
    result = _read(path, "move it away")
    if not isinstance(result.get("config"), dict):
        raise ConfigError(f"{path}: not a result that training wrote; move it away, or give another --workdir")
    _refuse_another_config(workdir, result["config"], config)
    return result


def _read(path: Path, remedy: str) -> dict[str, Any]:
    """An object of JSON."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}; {remedy}, or give another --workdir") from error
    return values


def _refuse_another_config(workdir: Path, stored: dict[str, Any], config: Config) -> None:
    """Name the fields in which a workdir's config differs."""
    # A field that is younger than the stored config was at its default then.
    known = json.loads(json.dumps(to_dict(from_dict(stored, Config))))
    differing = sorted(_differences(known, json.loads(json.dumps(to_dict(config)))))
    if differing:
        raise ConfigError(
            f"{workdir} holds a run of another config; different: {', '.join(differing)}. "
            "Give another --workdir, or the same values"
        )


def _differences(stored: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Dotted names of the fields whose values differ and matter."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for key in sorted(set(stored) | set(wanted)):
            if key not in _FREE:
                yield from _differences(stored.get(key), wanted.get(key), f"{name}.{key}" if name else key)
    elif stored != wanted:
        yield f"{name} ({stored} there, {wanted} here)"
