"""Losses: elementwise, of a prediction and the true landmarks, both in crop units."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from flaxmark.config import LossConfig
from flaxmark.models import Prediction

Loss = Callable[[Prediction, jax.Array], jax.Array]


def mse(prediction: Prediction, target: jax.Array) -> jax.Array:
    """Squared error, (x - y)^2.

    Args:
        prediction: Landmarks `[batch, num_points, 2]`, crop units.
        target: `[batch, num_points, 2]`, crop units.

    Returns:
        float32 like `target`.
    """
    return jnp.square(prediction.landmarks - target)


def mae(prediction: Prediction, target: jax.Array) -> jax.Array:
    """Absolute error, |x - y|.

    Args:
        prediction: Landmarks `[batch, num_points, 2]`, crop units.
        target: `[batch, num_points, 2]`, crop units.

    Returns:
        float32 like `target`.
    """
    return jnp.abs(prediction.landmarks - target)


def smooth_l1(prediction: Prediction, target: jax.Array, *, beta: float = 1.0) -> jax.Array:
    """(x - y)^2 / (2 beta) where |x - y| < beta, else |x - y| - beta / 2.

    Girshick, "Fast R-CNN", 2015 (arXiv:1504.08083), equation 3, with beta as in PyTorch's SmoothL1Loss.

    Args:
        prediction: Landmarks `[batch, num_points, 2]`, crop units.
        target: `[batch, num_points, 2]`, crop units.
        beta: Error where the quadratic part ends, crop units, above 0.

    Returns:
        float32 like `target`.
    """
    error = jnp.abs(prediction.landmarks - target)
    return jnp.where(error < beta, 0.5 * jnp.square(error) / beta, error - 0.5 * beta)


def make_loss(config: LossConfig) -> Loss:
    """Choose a loss by name.

    Args:
        config: Name and parameters.

    Returns:
        A function `(Prediction, target) -> float32 [batch, num_points, 2]`.
    """
    losses: dict[str, Loss] = {
        "mse": mse,
        "mae": mae,
        "smooth_l1": functools.partial(smooth_l1, beta=config.beta),
    }
    return losses[config.name]


def per_example(losses: jax.Array) -> jax.Array:
    """Mean over all values of each example.

    Args:
        losses: `[batch, ...]`.

    Returns:
        `[batch]`.
    """
    return losses.reshape(losses.shape[0], -1).mean(axis=1)
