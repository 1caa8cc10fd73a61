"""Learning-rate schedules and optimizers, from optax."""

from typing import Any

import jax
import optax

from flaxmark.config.config import OptimizerConfig
from flaxmark.models.heads import HEAD


def make_schedule(config: OptimizerConfig, steps_per_epoch: int, total_steps: int) -> optax.Schedule:
    """Learning rate as a function of the step, over `total_steps` steps with warm-up."""
    warmup = min(config.warmup_steps, max(0, total_steps - 1))
    rest = total_steps - warmup
    every = max(1, round(config.halve_every * steps_per_epoch))
    schedules: dict[str, optax.Schedule] = {
        "constant": optax.constant_schedule(config.learning_rate),
        "cosine": optax.cosine_decay_schedule(config.learning_rate, rest),
        "step": optax.exponential_decay(config.learning_rate, every, 0.5, staircase=True),
    }
    schedule = schedules[config.schedule]
    if warmup == 0:
        return schedule
    # From the first fraction, not from 0: the first step would change nothing.
    rise = optax.linear_schedule(config.learning_rate / warmup, config.learning_rate, warmup - 1 or 1)
    return optax.join_schedules([rise, schedule], [warmup])


def make_optimizer(config: OptimizerConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Adam or AdamW with the config's weight decay, gradient clipping and rate of the head."""
    optimizers = {
        "adam": lambda: optax.adam(schedule),
        "adamw": lambda: optax.adamw(
            schedule, weight_decay=config.weight_decay, mask=None if config.decay_all else is_kernel
        ),
    }
    # A part that changes nothing is left out, so that older checkpoints of such runs fit.
    parts = [optimizers[config.name]()]
    if config.clip_norm is not None:
        parts.insert(0, optax.clip_by_global_norm(config.clip_norm))
    if config.head_rate != 1:
        parts.append(optax.masked(optax.scale(config.head_rate), is_head))
    return parts[0] if len(parts) == 1 else optax.chain(*parts)


def is_kernel(params: Any) -> Any:
    """Tree of bools, True for the parameters that weight decay applies to: kernels, not biases or BatchNorm."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def is_head(params: Any) -> Any:
    """Tree of bools, True for the parameters of the head."""
    return {name: jax.tree.map(lambda _: name.startswith(HEAD), own) for name, own in params.items()}  # noqa: B023
