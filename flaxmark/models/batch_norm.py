"""Batch normalisation, and what is left of it in a network that only predicts."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from flaxmark.models.operations import Operations, channel_affine, channel_moments

Variables = dict[str, Any]


def at_least_float32(x: jax.Array) -> Any:
    """The dtype to compute statistics and coordinates of `x` in: float32 for bfloat16; float64 stays, for exact proofs.

    Args:
        x: Any array.

    Returns:
        A floating dtype.
    """
    return jnp.float64 if x.dtype == jnp.float64 else jnp.float32


class BatchNorm(nn.Module):
    """Batch normalisation over the global batch, or over groups of its examples.

    Ioffe and Szegedy, 2015 (arXiv:1502.03167); groups: Hoffer et al., 2017 (arXiv:1705.08741), "ghost".
    """

    use_running_average: bool
    group: int | None
    operations: Operations
    axis_name: str | None
    dtype: Any
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    momentum = 0.9
    epsilon = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]`, normalised per channel."""
        channels = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", self.scale_init, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        wide = x.astype(at_least_float32(x))
        if self.use_running_average:
            factor = scale * lax.rsqrt(var.value + self.epsilon)
            shift = bias - mean.value * factor
            return (wide * factor[None, None, None] + shift[None, None, None]).astype(self.dtype)
        grouped = wide.reshape(-1, self.group or x.shape[0], *x.shape[1:])
        means, variances = self._moments(grouped)
        for running, new in ((mean, means.mean(axis=0)), (var, variances.mean(axis=0))):
            if self.axis_name is not None and self.group is not None:
                new = lax.pmean(new, self.axis_name)
            running.value = self.momentum * running.value + (1 - self.momentum) * new
        factors = scale[None] * lax.rsqrt(variances + self.epsilon)
        y = channel_affine(grouped, factors, bias[None] - means * factors, self.operations.channel_sums)
        return y.reshape(x.shape).astype(self.dtype)

    def _moments(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and variance float32 `[groups, channels]` of `[groups, batch, height, width, channels]`."""
        count = x.shape[1] * x.shape[2] * x.shape[3]
        total, squares = channel_moments(x, self.operations.channel_sums)
        moments = total / count, squares / count
        if self.axis_name is not None and self.group is None:
            moments = lax.pmean(moments, self.axis_name)
        mean, square = moments
        return mean, jnp.maximum(square - mean * mean, 0.0)


class FoldedNorm(nn.Module):
    """What is left of a BatchNorm whose factor is in the kernel of its convolution: an addition."""

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]`, shifted per channel."""
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return x + bias[None, None, None].astype(self.dtype)


def fold_batch_norm(variables: Variables) -> Variables:
    """Multiply each BatchNorm's factor into the convolution before it, for `make_model(folded=True)`.

    Args:
        variables: Of a trained network.

    Returns:
        Variables of the same function with running statistics. Their `batch_stats` are those of modules that are no
        `Layers.norm` after a `Layers.conv`, and stay as they are.
    """
    params, stats = _fold(variables["params"], variables["batch_stats"])
    return {"params": params, "batch_stats": stats}


def _fold(params: dict[str, Any], stats: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters after folding, and the statistics that are left."""
    folded, left = dict(params), {}
    for name, own in stats.items():
        conv = name.replace("norm", "conv")
        if name not in params:
            left[name] = own
        elif "var" not in own:
            folded[name], rest = _fold(params[name], own)
            left |= {name: rest} if rest else {}
        elif conv == name or conv not in params:
            left[name] = own
        else:
            factor = params[name]["scale"] * lax.rsqrt(own["var"] + BatchNorm.epsilon)
            folded[conv] = {"kernel": params[conv]["kernel"] * factor[None, None, None]}
            folded[name] = {"bias": params[name]["bias"] - own["mean"] * factor}
    return folded, left
