"""Everything that a training step changes."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from flaxmark.models.batch_norm import Variables
from flaxmark.models.model import Model


@flax.struct.dataclass
class EpochLoss:
    """The training loss of the epoch so far; on the device, so that the loop need not read every step's.

    Attributes:
        total: float32 scalar: sum over its steps; not finite from the first step on whose loss was not.
        count: int32 scalar: steps before the first loss that was not finite.
    """

    total: jax.Array
    count: jax.Array

    def add(self, loss: jax.Array) -> "EpochLoss":
        """The same and one more step."""
        total = self.total + loss
        return EpochLoss(total, self.count + jnp.isfinite(total).astype(jnp.int32))

    @property
    def mean(self) -> jax.Array:
        """float32 scalar."""
        return self.total / jnp.maximum(self.count, 1).astype(jnp.float32)


@flax.struct.dataclass
class TrainState:
    """The state between two steps.

    Attributes:
        step: int32 scalar: updates made so far.
        params: float32 arrays.
        batch_stats: float32 arrays: BatchNorm's running means and variances.
        opt_state: The optimizer's own arrays.
        ema: Averaged variables (params with their own batch_stats), or None.
        epoch_loss: Starts anew with each epoch.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    ema: Variables | None
    epoch_loss: EpochLoss

    @property
    def variables(self) -> Variables:
        """The raw weights and statistics."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def eval_variables(self) -> Variables:
        """What is validated, kept as best and used by predict: the average where there is one."""
        return self.variables if self.ema is None else self.ema


def init_train_state(
    key: jax.Array,
    model: Model,
    optimizer: optax.GradientTransformation,
    mean_face: np.ndarray | jax.Array,
    with_ema: bool,
) -> TrainState:
    """Fresh state; call it under jit, so that its arrays may be donated.

    Args:
        key: Decides the initial weights.
        model: Initialises the variables.
        optimizer: Initialises its own state.
        mean_face: float32 `[num_points, 2]`, crop units: the first prediction.
        with_ema: Keep averaged variables.

    Returns:
        The state at step 0.
    """
    variables = model.init(key, mean_face)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(variables["params"]),
        ema=jax.tree.map(jnp.copy, variables) if with_ema else None,
        epoch_loss=EpochLoss(jnp.zeros(()), jnp.zeros((), jnp.int32)),
    )
