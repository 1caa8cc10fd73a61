"""The latest and the best checkpoint of a run, and what to do about damaged ones."""

import errno
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import jax
import numpy as np
from etils import epath
from orbax.checkpoint import v1 as ocp

from flaxmark.config.config import Config
from flaxmark.errors import ConfigError
from flaxmark.models.model import make_model
from flaxmark.schema import from_dict
from flaxmark.storage.checksum import check_checksums, make_checksums
from flaxmark.storage.remote import CHECKPOINTS, checkpoints_of, push
from flaxmark.system.devices import all_agree

_METRIC = "loss"


class State(Protocol):
    """What is saved: any tree of arrays with a step and with the variables that are validated."""

    @property
    def step(self) -> jax.Array:
        """int32 scalar: updates made so far."""

    @property
    def eval_variables(self) -> Any:
        """What predict loads."""


SomeState = TypeVar("SomeState", bound=State)


def _policy() -> Any:
    """Keep the newest checkpoint and the one with the lowest validation loss."""
    policies = ocp.training.preservation_policies
    return policies.AnyPreservationPolicy(
        [
            policies.LatestN(1),
            policies.BestN(
                get_metric_fn=lambda metrics: metrics[_METRIC],
                reverse=True,
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
    )


class RunCheckpoints:
    """The checkpoints of one workdir; each holds `state`, `model` (what predict loads) and `metadata`.

    Use it as a context manager: leaving waits for the save in flight.
    """

    def __init__(self, workdir: str | Path) -> None:
        """Open the checkpoints of a run.

        Args:
            workdir: The run's folder; its `checkpoints/` is made when the first one is saved.
        """
        self._workdir = Path(workdir)
        self.directory = checkpoints_of(workdir)
        self._bytes = 0
        self._checkpointer = ocp.training.Checkpointer(
            self.directory, preservation_policy=_policy(), cleanup_tmp_directories=True
        )

    def __enter__(self) -> "RunCheckpoints":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the save in flight and let go of the folder."""
        self._checkpointer.close()

    @property
    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        latest = self._checkpointer.latest
        return None if latest is None else int(latest.step)

    def describe_latest(self) -> str:
        """Where the newest checkpoint is, for messages."""
        folders = _folders(self.directory)  # orbax forgets them when a save has failed
        return str(folders[-1]) if folders else "none"

    @property
    def kept(self) -> str:
        """What is safe and how much room the next one takes, for messages."""
        needed = f" (a checkpoint takes {self._bytes / 1e6:,.0f} MB)" if self._bytes else ""
        return f"{needed}; last good checkpoint: {self.describe_latest()}; the same command resumes"

    def save(self, state: State, metadata: Mapping[str, Any], metrics: Mapping[str, float] | None = None) -> None:
        """Save in the background.

        Args:
            state: All of it, and its `eval_variables` once more as what predict loads.
            metadata: Ready for JSON: config, provenance and progress.
            metrics: Validation figures with `loss`, which chooses the best; None between validations.

        Raises:
            ValueError: The loss is not finite: it would drive the real best away.
        """
        if metrics is not None and not math.isfinite(metrics[_METRIC]):
            raise ValueError(f"validation {_METRIC} is {metrics[_METRIC]}: not saved")
        step = int(state.step)
        if step == self.latest_step and metrics is None:
            return
        if not self._workdir.is_dir():  # orbax would make it again, without what else belongs to a run
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._workdir))
        if jax.process_index() == 0:
            push(self._workdir)
        self._bytes = sum(leaf.nbytes for leaf in jax.tree.leaves((state, state.eval_variables)))
        arrays = {"state": state, "model": state.eval_variables}
        said = {**metadata, "checksums": make_checksums(arrays)}
        if metrics is not None:
            said["validation"] = dict(metrics)
        self._checkpointer.save_checkpointables_async(
            step,
            {**arrays, "metadata": said},
            force=True,
            overwrite=step == self.latest_step,
            metrics=None if metrics is None else dict(metrics),
        )


def restore_newest(workdir: str | Path, like: SomeState) -> SomeState | None:
    """Load the newest sound checkpoint of a run; newer ones that are damaged are named and moved to `damaged/`.

    Args:
        workdir: The run's folder, in which no process saves.
        like: A state of the same shapes and shardings (arrays or shape structs).

    Returns:
        The state, its arrays safe to donate; None where there is no checkpoint.

    Raises:
        ConfigError: There are checkpoints, and all are damaged.
    """
    folders = _folders(checkpoints_of(workdir))
    # Of the older ones only what predict loads, while a better one can still be made.
    older, state = {"model": jax.tree.map(_abstract, like.eval_variables)}, None
    newest = older | {"state": jax.tree.map(_abstract, like)}
    damaged: dict[epath.Path, str] = {}
    for folder in reversed(folders):
        try:
            _check_metrics(folder)  # orbax reads those of all checkpoints
            found = _load(folder, newest if state is None else older).get("state")
        except Exception as error:  # damaged files make their readers raise almost anything
            damaged[folder] = _first_line(error)
        if not all_agree(folder not in damaged):
            damaged.setdefault(folder, "another process cannot read it")
        elif state is None:
            state = found
    if damaged and state is None:
        raise ConfigError(
            f"{folders[-1].parent}: no checkpoint in it is sound ({folders[-1].name}: {damaged[folders[-1]]}); "
            "bring a copy back, or move the folder away to start anew"
        )
    if jax.process_index() == 0:
        _put_aside(damaged)
    # Restored arrays may alias host memory; a copy made inside jit may be donated.
    return None if state is None else jax.jit(lambda tree: jax.tree.map(lambda x: x.copy(), tree))(state)


def _folders(directory: epath.Path) -> list[epath.Path]:
    """The checkpoints in a folder, oldest first."""
    found = [path for path in directory.glob("*") if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def _load(folder: epath.Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Parts of a checkpoint, `state` and `model`; raises whatever when one is not as it was saved."""
    loaded = dict(ocp.load_checkpointables(folder, dict(wanted)))
    check_checksums({name: loaded[name] for name in wanted}, _metadata(folder)["checksums"])
    return loaded


def _metadata(folder: epath.Path) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    return dict(ocp.load_checkpointables(folder, {"metadata": None})["metadata"])


def _check_metrics(folder: epath.Path) -> None:
    """Raise where orbax would, for all checkpoints, as it opens them."""
    path = folder / "metrics" / "metrics"
    if path.is_file():
        json.loads(path.read_text(encoding="utf-8"))


def _put_aside(damaged: Mapping[epath.Path, str]) -> None:
    """Move checkpoints out of the way, and say so."""
    for folder, reason in damaged.items():
        aside = folder.parent.parent / "damaged" / folder.name
        while aside.exists():
            aside = aside.with_name(aside.name + "_again")
        aside.parent.mkdir(exist_ok=True)
        folder.rename(aside)
        print(f"warning: checkpoint {folder} is damaged ({reason}); it is now {aside}", file=sys.stderr)


def _first_line(error: Exception) -> str:
    """An error in a few words."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160] if str(error).strip() else ''}"


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
    """Shape, dtype and place of an array."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None))


def load_best(workdir: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load what predict and evaluate need of a run.

    Args:
        workdir: The run's folder, or its `checkpoints/`.

    Returns:
        The variables of the checkpoint with the lowest validation loss, on the first local device, and
        its metadata (with `config` and `step`).

    Raises:
        ConfigError: No checkpoint there, none from the end of an epoch yet, or all of those are damaged.
    """
    directory = checkpoints_of(Path(workdir).parent if Path(workdir).name == CHECKPOINTS else workdir)
    if not directory.is_dir():
        missing = "no checkpoints/ in it" if Path(workdir).exists() else "no such folder"
        raise ConfigError(f"{workdir}: {missing}; name the workdir of a run, or a file of scripts/pack.py")
    scored: dict[epath.Path, tuple[float, dict[str, Any]]] = {}
    for folder in _folders(directory):
        try:
            metadata = _metadata(folder)
            if "validation" in metadata:
                scored[folder] = float(metadata["validation"][_METRIC]), metadata
        except Exception as error:
            _warn(folder, error)
    for folder, (_, metadata) in sorted(scored.items(), key=lambda item: item[1][0]):
        try:
            variables = _load(folder, {"model": _model_like(metadata)})["model"]
        except Exception as error:
            _warn(folder, error)
            continue
        return variables, metadata | {"step": int(folder.name)}
    raise ConfigError(
        f"{workdir}: no validated checkpoint in it is sound; bring a copy back, or train again in another folder"
        if scored
        else f"{workdir}: no validated checkpoint yet; let the run get to its first validation (--train.validate-every)"
    )


def _warn(folder: epath.Path, error: Exception) -> None:
    """Name a checkpoint that is passed over."""
    print(f"warning: checkpoint {folder} is damaged ({_first_line(error)}); another one is used", file=sys.stderr)


def _model_like(metadata: Mapping[str, Any]) -> Any:
    """Shapes of a run's variables, on the first local device."""
    config = from_dict(metadata["config"], Config)
    points = config.data.markup.num_points
    model = make_model(config.model, points)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((points, 2), np.float32))
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), shapes)
