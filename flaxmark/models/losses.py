"""Losses: elementwise, of a prediction and the true landmarks, both in crop units."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from flaxmark.config.schema import LossConfig
from flaxmark.models.resnet import Prediction

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


def wing(
    prediction: Prediction, target: jax.Array, *, pixels: float = 256, width: float = 10, epsilon: float = 2
) -> jax.Array:
    """w ln(1 + |x| / epsilon) where |x| < w, else |x| - w + w ln(1 + w / epsilon), x in pixels.

    Feng et al., "Wing Loss for Robust Facial Landmark Localisation with Convolutional Neural Networks", CVPR 2018
    (arXiv:1711.06753), equation 5, with its w = 10 and epsilon = 2.

    Args:
        prediction: Landmarks `[batch, num_points, 2]`, crop units.
        target: `[batch, num_points, 2]`, crop units.
        pixels: Side of the crop in whose pixels x counts.
        width: w, pixels.
        epsilon: Pixels; the smaller, the more a small error weighs.

    Returns:
        float32 like `target`, pixels.
    """
    error = pixels * jnp.abs(prediction.landmarks - target)
    offset = width - width * math.log1p(width / epsilon)
    return jnp.where(error < width, width * jnp.log1p(error / epsilon), error - offset)


def soft_wing(
    prediction: Prediction,
    target: jax.Array,
    *,
    pixels: float = 256,
    linear: float = 2,
    width: float = 20,
    epsilon: float = 0.5,
) -> jax.Array:
    """|x| where |x| < w1, else w2 ln(1 + |x| / epsilon) + B, B making it continuous, x in pixels.

    Lin et al., "Structure-Coherent Deep Feature Learning for Robust Face Alignment", IEEE Transactions on Image
    Processing 2021, with its w1 = 2, w2 = 20 and epsilon = 0.5.

    Args:
        prediction: Landmarks `[batch, num_points, 2]`, crop units.
        target: `[batch, num_points, 2]`, crop units.
        pixels: Side of the crop in whose pixels x counts.
        linear: w1, pixels.
        width: w2, pixels.
        epsilon: Pixels.

    Returns:
        float32 like `target`, pixels.
    """
    error = pixels * jnp.abs(prediction.landmarks - target)
    offset = linear - width * math.log1p(linear / epsilon)
    return jnp.where(error < linear, error, width * jnp.log1p(error / epsilon) + offset)


def log_cosh(prediction: Prediction, target: jax.Array, *, pixels: float = 256) -> jax.Array:
    """ln cosh x, x in pixels: x^2 / 2 for small errors, |x| - ln 2 for large ones.

    Neural networks as M-estimators, for example Chen et al., "Log Hyperbolic Cosine Loss Improves Variational
    Auto-Encoder", 2018.

    Args:
        prediction: Landmarks `[batch, num_points, 2]`, crop units.
        target: `[batch, num_points, 2]`, crop units.
        pixels: Side of the crop in whose pixels x counts.

    Returns:
        float32 like `target`.
    """
    error = pixels * jnp.abs(prediction.landmarks - target)
    return error + jnp.log1p(jnp.exp(-2 * error)) - math.log(2)


def nll(prediction: Prediction, target: jax.Array) -> jax.Array:
    """x^2 / (2 sigma^2) + ln sigma + ln(2 pi) / 2: a Gaussian with a learnt sigma for each point.

    Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994; both
    coordinates of a point share its sigma.

    Args:
        prediction: Landmarks `[batch, num_points, 2]` and `log_sigma` `[batch, num_points]`, crop units.
        target: `[batch, num_points, 2]`, crop units.

    Returns:
        float32 like `target`; below 0 where errors are small and known to be.

    Raises:
        ValueError: The network predicts no sigma.
    """
    if prediction.log_sigma is None:
        raise ValueError("nll needs a network with sigma: model.sigma")
    log_sigma = prediction.log_sigma[..., None]
    scaled = (prediction.landmarks - target) * jnp.exp(-log_sigma)
    return 0.5 * jnp.square(scaled) + log_sigma + 0.5 * math.log(2 * math.pi)


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
        "wing": functools.partial(wing, pixels=config.pixels),
        "soft_wing": functools.partial(soft_wing, pixels=config.pixels),
        "log_cosh": functools.partial(log_cosh, pixels=config.pixels),
        "nll": nll,
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
