"""Learning-rate schedules and optimizers, from optax."""

import math
from typing import Any

import jax
import optax

from flaxmark.config.config import OptimizerConfig
from flaxmark.models.heads import in_head

HEAD_FEATURES = 512
"""Features of the heads that `optimizer.head_rate` is given for."""


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
    """Adam or AdamW with the config's weight decay, gradient clipping, and rates of backbone and head."""
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
    if (config.backbone_rate, config.head_rate) != (1, None):
        parts.append(optax.stateless(lambda updates, _: scale_parts(updates, config)))
    return parts[0] if len(parts) == 1 else optax.chain(*parts)


def scale_parts(updates: Any, config: OptimizerConfig) -> Any:
    """Updates of all parameters, with the rates of backbone and head.

    A step of Adam moves an output of the head by the rate times the sum of its features, so that the rate has to fall
    with their number: Yang et al., "Tensor Programs V", 2022 (arXiv:2203.03466), table 3.
    """

    def scaled(update: jax.Array) -> jax.Array:
        # Inputs of an output of a dense or convolution kernel; other parameters have none.
        features = math.prod(update.shape[:-1]) if update.ndim in (2, 4) else HEAD_FEATURES
        return update * (config.head_rate * HEAD_FEATURES / features) if config.head_rate is not None else update

    return {
        name: jax.tree.map(scaled if in_head(name) else lambda x: x * config.backbone_rate, own)
        for name, own in updates.items()
    }


def is_kernel(params: Any) -> Any:
    """Tree of bools, True for the parameters that weight decay applies to: kernels, not biases or BatchNorm."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
