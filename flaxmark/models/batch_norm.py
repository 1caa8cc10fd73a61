"""Batch normalisation, and what is left of it in a network that only predicts."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from flaxmark.errors import ConfigError
from flaxmark.models.operations import Operations, channel_affine, channel_moments

Variables = dict[str, Any]

CONVOLUTIONS = "convolutions"
"""Collection in the fresh variables of a folded network: the name of the convolution that each FoldedNorm follows."""

Moments = dict[str, Any]
"""Tree of layers: `mean` and `var` float32 `[channels]` of the output of each BatchNorm."""


def at_least_float32(x: jax.Array) -> Any:
    """The dtype for statistics and coordinates of `x`: float32 for bfloat16; float64 stays, for exact proofs."""
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
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        """Normalise each channel, then scale and shift it."""
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

    def _moments(
        self, x: Float[Array, "groups batch height width channels"]
    ) -> tuple[Float[Array, "groups channels"], Float[Array, "groups channels"]]:
        """Mean and variance of each channel in each group."""
        count = x.shape[1] * x.shape[2] * x.shape[3]
        total, squares = channel_moments(x, self.operations.channel_sums)
        moments = total / count, squares / count
        if self.axis_name is not None and self.group is None:
            moments = lax.pmean(moments, self.axis_name)
        mean, square = moments
        return mean, jnp.maximum(square - mean * mean, 0.0)


class FoldedNorm(nn.Module):
    """What is left of a BatchNorm for prediction.

    An addition if its factor is in the kernel of the convolution `after`, else a multiplication and an addition.
    """

    dtype: Any
    after: str | None

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        """Scale each channel unless its convolution does, and shift it."""
        if self.after is None:
            scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
            x = (x.astype(at_least_float32(x)) * scale[None, None, None]).astype(self.dtype)
        elif self.is_initializing():
            self.variable(CONVOLUTIONS, self.after, jnp.zeros, ())
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return x + bias[None, None, None].astype(self.dtype)


def fold_batch_norm(variables: Variables, shapes: Variables) -> Variables:
    """Variables of the folded network that computes the same as a trained one with its running statistics.

    The factor of each BatchNorm goes into the kernel of the convolution that it follows, if it names one. `shapes` are
    fresh variables of the folded network, or their shapes: they name these convolutions, and layers that keep their
    statistics.
    """
    kept, convs = shapes.get("batch_stats", {}), shapes.get(CONVOLUTIONS, {})
    params, stats = _fold(variables["params"], variables["batch_stats"], kept, convs)
    return {"params": params, "batch_stats": stats}


def _fold(
    params: dict[str, Any], stats: dict[str, Any], kept: Any, convs: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters after folding, and the statistics that are left."""
    folded, left = dict(params), {}
    for name, own in stats.items():
        if name not in params or "var" in kept.get(name, {}):
            left[name] = own
        elif "var" not in own:
            folded[name], rest = _fold(params[name], own, kept.get(name, {}), convs.get(name, {}))
            left |= {name: rest} if rest else {}
        else:
            factor = params[name]["scale"] * lax.rsqrt(own["var"] + BatchNorm.epsilon)
            shift = params[name]["bias"] - own["mean"] * factor
            conv = next(iter(convs.get(name, {})), None)
            if conv is not None:
                if "kernel" not in params.get(conv, {}):
                    raise ConfigError(f"{name} follows {conv!r}, but there is no such convolution", field="model.name")
                # Of each output channel, the last axis; a bias has only that.
                folded[conv] = {key: x * factor.reshape((1,) * (x.ndim - 1) + (-1,)) for key, x in params[conv].items()}
                folded[name] = {"bias": shift}
            else:
                folded[name] = {"scale": factor, "bias": shift}
    return folded, left


def output_moments(params: Any, stats: Any) -> Moments:
    """Moments of the output of every BatchNorm of flaxmark's in a trained network, by its running statistics."""
    moments: Moments = {}
    for name, own in stats.items():
        if "var" not in own:
            found = output_moments(params.get(name, {}), own)
            moments |= {name: found} if found else {}
        elif {"scale", "bias"} <= params.get(name, {}).keys():
            scale, bias, var = params[name]["scale"], params[name]["bias"], own["var"]
            moments[name] = {"mean": bias, "var": scale**2 * var / (var + BatchNorm.epsilon)}
    return moments


def moments_of_outputs(outputs: Any) -> Moments:
    """Moments of outputs that Flax has captured: a tree of layers, each with what its calls returned."""
    moments: Moments = {}
    for name, own in outputs.items():
        if "__call__" in own:
            x = own["__call__"][0].astype(jnp.float32)
            mean = x.mean(axis=(0, 1, 2))
            moments[name] = {"mean": mean, "var": jnp.square(x - mean[None, None, None]).mean(axis=(0, 1, 2))}
        else:
            moments[name] = moments_of_outputs(own)
    return moments


def unfold_batch_norm(params: Any, kept: Any, moments: Moments) -> tuple[Any, Any]:
    """Parameters and statistics of a network that can be trained, from those of a folded one.

    It computes the same whatever `moments` are: they become the BatchNorms' running statistics, scales and biases, and
    the kernels keep the factors that were folded into them. `kept` are statistics that were not folded.
    """
    params, stats = dict(params), dict(kept)
    for name, own in moments.items():
        if "var" not in own:
            params[name], stats[name] = unfold_batch_norm(params[name], kept.get(name, {}), own)
            continue
        bias, factor = params[name]["bias"], params[name].get("scale", jnp.ones_like(params[name]["bias"]))
        varies = factor != 0
        divisor = jnp.where(varies, factor, 1)
        mean = jnp.where(varies, own["mean"], bias)
        var = jnp.where(varies, own["var"] / divisor**2, 1)
        params[name] = {"scale": factor * jnp.sqrt(var + BatchNorm.epsilon), "bias": mean}
        stats[name] = {"mean": (mean - bias) / divisor, "var": var}
    return params, stats


def batch_statistics(stats_after: Callable[[Variables], Variables], stats: Variables) -> Variables:
    """Means and variances of one batch in every BatchNorm, of Flax too.

    `stats_after` is a network's update of its running statistics by the batch: `m * old + (1 - m) * new`, so that its
    derivative is the momentum m.
    """
    zeros = jax.tree.map(jnp.zeros_like, stats)
    share, derivative = jax.vjp(stats_after, zeros)
    (momentum,) = derivative(jax.tree.map(jnp.ones_like, share))
    return jax.tree.map(lambda new, m: new / (1 - m), share, momentum)
