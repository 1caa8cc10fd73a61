"""The training step: one update of the parameters, as a pure function of arrays."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from flaxmark.models.heads import Prediction
from flaxmark.models.losses import Loss, face_losses, visibility_losses
from flaxmark.models.model import Model
from flaxmark.training.train_state import TrainState

Batch = Mapping[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def make_train_step(
    model: Model,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    *,
    steps_per_epoch: int,
    accumulate: int = 1,
    visible_weight: float = 0.0,
    ema_decay: float | None = None,
    axis_name: str | None = None,
) -> TrainStep:
    """Build the update.

    Its batch has `image` float32 `[batch, height, width, 3]`, `landmarks` float32 `[batch, points, 2]` (NaN where they
    are missing), `mask` float32 `[batch]` and, for networks that predict it, `visible` float32 `[batch, points]` (NaN
    where it is not known); its loss counts `visible_weight` times. What is minimised is the mean over all predictions
    of a head that looks several times. The metrics are the scalars `loss` (of the landmarks of the last one),
    `grad_norm`, `learning_rate` and, for the epoch so far, `epoch_loss` (mean) and `finite_steps` (steps before the
    first loss that was not finite). `accumulate` parts of a batch are computed one after another. `axis_name` is the
    mapped axis under pmap and None under jit.
    """
    gradient = make_gradient(model, loss, accumulate, visible_weight)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        value, batch_stats, grads = gradient(state, batch)
        if axis_name is not None:
            value, grads = jax.lax.pmean((value, grads), axis_name)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None and ema_decay is not None:
            ema = average_variables(ema, {"params": params, "batch_stats": batch_stats}, state.step, ema_decay)
        first = state.step % steps_per_epoch == 0
        epoch_loss = jax.tree.map(lambda x: jnp.where(first, 0, x), state.epoch_loss).add(value)
        metrics = {
            "loss": value,
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": jnp.asarray(schedule(state.step), jnp.float32),
            "epoch_loss": epoch_loss.mean,
            "finite_steps": epoch_loss.count,
        }
        return TrainState(state.step + 1, params, batch_stats, opt_state, ema, epoch_loss), metrics

    return train_step


def make_gradient(
    model: Model, loss: Loss, accumulate: int, visible_weight: float = 0.0
) -> Callable[[TrainState, Batch], tuple[Float[Array, ""], Any, Any]]:
    """Build the gradient of the batch's mean loss: `(state, batch) -> (loss, batch_stats after it, gradient)`."""

    def mean(losses: Float[Array, " batch"], part: Batch) -> Float[Array, ""]:
        return jnp.sum(losses * part["mask"]) / jnp.sum(part["mask"])

    def losses_of(prediction: Prediction, part: Batch) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Loss of the landmarks, and with that of visibility."""
        value = mean(face_losses(loss, prediction, part["landmarks"]), part)
        if not visible_weight or prediction.visible_logit is None:
            return value, value
        further = mean(visibility_losses(prediction.visible_logit, part["visible"]), part)
        return value, value + visible_weight * further

    def loss_fn(params: Any, batch_stats: Any, part: Batch) -> tuple[Float[Array, ""], Any]:
        variables = {"params": params, "batch_stats": batch_stats}
        prediction, batch_stats = model.apply(variables, part["image"], True)
        value, total = losses_of(prediction, part)
        for earlier in prediction.earlier:
            total = total + losses_of(earlier, part)[1]
        # A loss that is not finite is seen in the first step that has one, whichever it is.
        value = jnp.where(jnp.isfinite(total), value, total)
        return total / (1 + len(prediction.earlier)), (value, batch_stats)

    gradient = jax.value_and_grad(loss_fn, has_aux=True)

    def accumulated_gradient(state: TrainState, batch: Batch) -> tuple[Float[Array, ""], Any, Any]:
        if accumulate == 1:
            (_, (value, batch_stats)), grads = gradient(state.params, state.batch_stats, batch)
            return value, batch_stats, grads

        def add_part(carry: Any, part: Batch) -> tuple[Any, None]:
            total, batch_stats, grads = carry
            (_, (value, batch_stats)), part_grads = gradient(state.params, batch_stats, part)
            return (total + value, batch_stats, jax.tree.map(jnp.add, grads, part_grads)), None

        zeros = jax.tree.map(jnp.zeros_like, state.params)
        start = (jnp.zeros(()), state.batch_stats, zeros)
        (value, batch_stats, grads), _ = jax.lax.scan(add_part, start, split_batch(batch, accumulate))
        return value / accumulate, batch_stats, jax.tree.map(lambda g: g / accumulate, grads)

    return accumulated_gradient


def average_variables(average: Any, newest: Any, step: Int[Array, ""], ema_decay: float) -> Any:
    """Move averaged variables towards the newest ones.

    `ema_decay` holds in the long run; young averages forget the initial weights faster, as in TensorFlow's
    ExponentialMovingAverage. `step` counts the updates before this one.
    """
    count = step.astype(jnp.float32)
    decay = jnp.minimum(ema_decay, (1 + count) / (10 + count))
    return jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, average, newest)


def split_batch(batch: Batch, parts: int) -> dict[str, jax.Array]:
    """Split arrays `[batch, ...]` into `[parts, batch / parts, ...]`.

    Part p holds the rows p, p + parts, .., so that a batch that is sharded over devices stays where it is.
    """
    return {
        name: array.reshape(array.shape[0] // parts, parts, *array.shape[1:]).swapaxes(0, 1)
        for name, array in batch.items()
    }
