"""The latest and the best checkpoint of a run; damaged checkpoints are set aside."""

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

from flaxmark.errors import CheckpointError, ConfigError, DeviceError, StorageError
from flaxmark.models.model import make_model
from flaxmark.storage.checksum import check_checksums, make_checksums
from flaxmark.storage.remote import CHECKPOINTS, checkpoints_of, push, saved_checkpoints
from flaxmark.storage.stored_config import prediction_config
from flaxmark.system.devices import all_agree, in_32_bits, start_devices
from flaxmark.system.reading import POINTER, kind_of, reading

_METRIC = "loss"


class State(Protocol):
    """A training state: any tree of arrays with a step and with the variables that are validated."""

    @property
    def step(self) -> jax.Array:
        """int32 scalar: updates made so far."""

    @property
    def eval_variables(self) -> Any:
        """The variables that predict loads."""


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
    """The checkpoints of one workdir; each holds `state`, `model` (the variables that predict loads) and `metadata`.

    Use it as a context manager: leaving waits for the save in progress.
    """

    def __init__(self, workdir: str | Path) -> None:
        """Open the checkpoints of a workdir; its `checkpoints/` is created by the first save."""
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
        """Wait for the save in progress and close the folder."""
        self._checkpointer.close()

    @property
    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        latest = self._checkpointer.latest
        return None if latest is None else int(latest.step)

    def describe_latest(self) -> str:
        """Path of the newest checkpoint, for messages."""
        folders = saved_checkpoints(self._workdir)  # orbax forgets them after a failed save
        return str(folders[-1]) if folders else "none"

    @property
    def kept(self) -> str:
        """The last good checkpoint and the size of the next one, for messages."""
        needed = f" (a checkpoint takes {self._bytes / 1e6:,.0f} MB)" if self._bytes else ""
        return f"{needed}; last good checkpoint: {self.describe_latest()}; the same command resumes"

    def save(
        self,
        state: State,
        metadata: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
        variables: Any = None,
    ) -> None:
        """Save a state in the background, and for predict the `variables` that were validated, by default its own.

        `metadata` is ready for JSON: config, provenance and progress. `metrics` are those of a validation, with the
        `loss` that chooses the best checkpoint, or None. Raises ValueError where that loss is not finite: it would
        displace the real best.
        """
        if metrics is not None and not math.isfinite(metrics[_METRIC]):
            raise ValueError(f"validation {_METRIC} is {metrics[_METRIC]}: not saved")
        step = int(state.step)
        if step == self.latest_step and metrics is None:
            return
        if not self._workdir.is_dir():  # orbax would create it again, without the run's other files
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._workdir))
        if jax.process_index() == 0:
            push(self._workdir)
        arrays = {"state": state, "model": state.eval_variables if variables is None else variables}
        self._bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
        all_metadata = {**metadata, "checksums": make_checksums(arrays)}
        if metrics is not None:
            all_metadata["validation"] = dict(metrics)
        self._checkpointer.save_checkpointables_async(
            step,
            {**arrays, "metadata": all_metadata},
            force=True,
            overwrite=step == self.latest_step,
            metrics=None if metrics is None else dict(metrics),
        )


@in_32_bits
def restore_newest(workdir: str | Path, like: SomeState) -> SomeState | None:
    """Load the newest intact checkpoint of a workdir in which no process saves, or None where there is none.

    `like` is a state of the same shapes and shardings (arrays or shape structs). The arrays can be donated. Damaged
    checkpoints are reported and moved to `damaged/`; CheckpointError where all of them are damaged.
    """
    start_devices()
    folders = saved_checkpoints(workdir)
    # Of the older ones only the part that predict loads is checked, while training can still make a better one.
    older, state = {"model": jax.tree.map(_abstract, like.eval_variables)}, None
    newest = older | {"state": jax.tree.map(_abstract, like)}
    damaged: dict[epath.Path, str] = {}
    for folder in reversed(folders):
        try:
            with reading(folder):
                _check_metrics(folder)  # orbax reads those of all checkpoints
                found = _load(folder, newest if state is None else older).get("state")
        except (DeviceError, StorageError):
            raise
        except Exception as error:  # damaged files make their readers raise almost anything
            _refuse_pointers(folder)
            damaged[folder] = _first_line(error)
        if not all_agree(folder not in damaged):
            damaged.setdefault(folder, "another process cannot read it")
        elif state is None:
            state = found
    if damaged and state is None:
        raise CheckpointError(
            f"every checkpoint in it is damaged ({folders[-1].name}: {damaged[folders[-1]]}); "
            "restore a copy, or move the folder away to start anew",
            file=folders[-1].parent,
        )
    if jax.process_index() == 0:
        _put_aside(damaged)
    # Restored arrays may alias host memory; a copy made inside jit may be donated.
    return None if state is None else jax.jit(lambda tree: jax.tree.map(lambda x: x.copy(), tree))(state)


def newest_metadata(workdir: str | Path) -> dict[str, Any]:
    """Metadata of the newest checkpoint of a workdir that has one."""
    return _metadata(saved_checkpoints(workdir)[-1])


def _load(folder: epath.Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Parts of a checkpoint, `state` and `model`; raises any error when one is not as it was saved."""
    loaded = dict(ocp.load_checkpointables(folder, dict(wanted)))
    check_checksums({name: loaded[name] for name in wanted}, _metadata(folder)["checksums"])
    return loaded


def _metadata(folder: epath.Path) -> dict[str, Any]:
    """The metadata of a checkpoint."""
    return dict(ocp.load_checkpointables(folder, {"metadata": None})["metadata"])


def _check_metrics(folder: epath.Path) -> None:
    """Raise where orbax would when it opens the folder of all checkpoints."""
    path = folder / "metrics" / "metrics"
    if path.is_file():
        json.loads(path.read_text(encoding="utf-8"))


def _put_aside(damaged: Mapping[epath.Path, str]) -> None:
    """Move damaged checkpoints to `damaged/`, with a warning."""
    for folder, reason in damaged.items():
        aside = folder.parent.parent / "damaged" / folder.name
        while aside.exists():
            aside = aside.with_name(aside.name + "_again")
        aside.parent.mkdir(exist_ok=True)
        folder.rename(aside)
        print(f"warning: checkpoint {folder} is damaged ({reason}); moved to {aside}", file=sys.stderr)


def _refuse_pointers(folder: epath.Path) -> None:
    """Raise CheckpointError for a checkpoint whose files Git LFS has not fetched: it is not damaged."""
    folders = [folder]
    for inside in folders:
        for path in inside.iterdir():
            if path.is_dir():
                folders.append(path)
            elif kind_of(path) == POINTER:
                raise CheckpointError(str(POINTER), file=path)


def _first_line(error: Exception) -> str:
    """An error in a few words."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160] if str(error).strip() else ''}"


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
    """Shape, dtype and place of an array."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None))


@in_32_bits
def load_best(workdir: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load the checkpoint with the lowest validation loss from a workdir or its `checkpoints/`.

    Returns its variables, on the first local device, and its metadata with `config` and `step`. Raises CheckpointError
    where there is no validated checkpoint, or all of them are damaged.
    """
    run = Path(workdir).parent if Path(workdir).name == CHECKPOINTS else workdir
    if not checkpoints_of(run).is_dir():
        missing = "no checkpoints/ in it" if Path(workdir).exists() else "no such folder"
        raise CheckpointError(f"{missing}; name the workdir of a run, or a file of flaxmark pack", file=workdir)
    start_devices()
    scored: dict[epath.Path, tuple[float, dict[str, Any]]] = {}
    for folder in saved_checkpoints(run):
        try:
            with reading(folder):
                metadata = _metadata(folder)
                if "validation" in metadata:
                    scored[folder] = float(metadata["validation"][_METRIC]), metadata
        except (DeviceError, StorageError):
            raise
        except Exception as error:
            _warn(folder, error)
    for folder, (_, metadata) in sorted(scored.items(), key=lambda item: item[1][0]):
        try:
            with reading(folder):
                variables = _load(folder, {"model": _model_like(metadata)})["model"]
        except (DeviceError, StorageError):
            raise
        except ConfigError as error:  # of another version, or of extensions that are not loaded
            raise CheckpointError(f"its config cannot be used: {error}", file=folder) from error
        except Exception as error:
            _warn(folder, error)
            continue
        return variables, metadata | {"step": int(folder.name)}
    raise CheckpointError(
        "every validated checkpoint in it is damaged; restore a copy, or train again in another folder"
        if scored
        else "no validated checkpoint yet; let the run reach its first validation (--train.validate-every)",
        file=workdir,
    )


def _warn(folder: epath.Path, error: Exception) -> None:
    """Warn of a checkpoint that is skipped; CheckpointError where its files are only pointers to the real ones."""
    _refuse_pointers(folder)
    print(f"warning: checkpoint {folder} is damaged ({_first_line(error)}); another one is used", file=sys.stderr)


def _model_like(metadata: Mapping[str, Any]) -> Any:
    """Shapes of a run's variables, on the first local device."""
    config = prediction_config(metadata["config"])
    points = config.data.markup.num_points
    model = make_model(config.model, points)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((points, 2), np.float32))
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), shapes)
