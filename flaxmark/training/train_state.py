"""The training state: everything that a training step changes."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from flaxmark.models.batch_norm import Variables
from flaxmark.models.model import Model


@flax.struct.dataclass
class EpochLoss:
    """Training loss of the current epoch so far; it stays on the device, so that the loop rarely has to read it.

    Attributes:
        total: Sum over the steps; not finite from the first step on whose loss was not finite.
        count: Steps before the first loss that was not finite.
    """

    total: Float[Array, ""]
    count: Int[Array, ""]

    def add(self, loss: Float[Array, ""]) -> "EpochLoss":
        """The epoch's loss with one more step."""
        total = self.total + loss
        return EpochLoss(total, self.count + jnp.isfinite(total).astype(jnp.int32))

    @property
    def mean(self) -> Float[Array, ""]:
        """Mean loss of a step."""
        return self.total / jnp.maximum(self.count, 1).astype(jnp.float32)


@flax.struct.dataclass
class TrainState:
    """The state between two steps.

    Attributes:
        step: Updates made so far.
        params: Tree of float32 arrays.
        batch_stats: Tree of float32 arrays: running means and variances of BatchNorm; empty without BatchNorm.
        opt_state: The optimizer's state.
        ema: Averaged variables (params with their own batch_stats), or None.
        epoch_loss: Loss of the current epoch.
    """

    step: Int[Array, ""]
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    ema: Variables | None
    epoch_loss: EpochLoss

    @property
    def variables(self) -> Variables:
        """The raw parameters and statistics."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def eval_variables(self) -> Variables:
        """Variables that are validated, kept as best and used by predict: the average where there is one."""
        return self.variables if self.ema is None else self.ema


def init_train_state(
    key: jax.Array,
    model: Model,
    optimizer: optax.GradientTransformation,
    mean_face: Float[np.ndarray | Array, "points 2"],
    with_ema: bool,
) -> TrainState:
    """State at step 0, which predicts the mean face (crop units); call it under jit, so that it may be donated."""
    variables = model.init(key, mean_face)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(variables["params"]),
        ema=jax.tree.map(jnp.copy, variables) if with_ema else None,
        epoch_loss=EpochLoss(jnp.zeros(()), jnp.zeros((), jnp.int32)),
    )
