"""The latest and the best checkpoint of a run."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from flaxmark.config import ConfigError, from_dict
from flaxmark.models import make_model
from flaxmark.train_state import TrainState

_METRIC = "loss"


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
        self.directory = Path(workdir).absolute() / "checkpoints"
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
        return "none" if self.latest_step is None else str(self.directory / str(self.latest_step))

    def save(self, state: TrainState, metadata: Mapping[str, Any], metrics: Mapping[str, float] | None = None) -> None:
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
        self._checkpointer.save_checkpointables_async(
            step,
            {"state": state, "model": state.eval_variables, "metadata": dict(metadata)},
            force=True,
            overwrite=step == self.latest_step,
            metrics=None if metrics is None else dict(metrics),
        )

    def restore(self, like: TrainState) -> TrainState:
        """Load the newest checkpoint.

        Args:
            like: A state of the same shapes and shardings (arrays or shape structs).

        Returns:
            The state, its arrays safe to donate.
        """
        wanted = {"state": jax.tree.map(_abstract, like)}
        loaded = self._checkpointer.load_checkpointables(self.latest_step, wanted)
        # Restored arrays may alias host memory; a copy made inside jit may be donated.
        return jax.jit(lambda tree: jax.tree.map(lambda x: x.copy(), tree))(loaded["state"])


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
        ConfigError: No checkpoint there.
    """
    directory = Path(workdir).absolute()
    directory = directory if directory.name == "checkpoints" else directory / "checkpoints"
    if not directory.is_dir():
        raise ConfigError(f"{workdir}: no checkpoints/ in it; name the workdir of a run of scripts/train.py")
    with ocp.training.Checkpointer(directory) as checkpointer:
        scored = [c for c in checkpointer.checkpoints if c.metrics]
        if not scored:
            raise ConfigError(f"{workdir}: no validated checkpoint yet; let the run finish its first epoch")
        step = int(min(scored, key=lambda c: c.metrics[_METRIC]).step)
        metadata = checkpointer.load_checkpointables(step, {"metadata": None})["metadata"]
        config = from_dict(metadata["config"])
        points = config.data.markup.num_points
        model = make_model(config.model, points)
        shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((points, 2), np.float32))
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), shapes)
        variables = checkpointer.load_checkpointables(step, {"model": like})["model"]
    return variables, metadata | {"step": step}
