"""ResNets that regress landmarks.

He et al., "Deep Residual Learning for Image Recognition", 2015 (arXiv:1512.03385); laid out as torchvision
lays them out (explicit paddings, the stride of a bottleneck in its 3x3), so that its weights fit.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flaxmark.config import ModelConfig
from flaxmark.conv import Operations, channel_affine, channel_moments, make_operations

STAGE_SIZES: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}

KERNEL_INITS: dict[str, nn.initializers.Initializer] = {
    "he_normal": nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
    "uniform": nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}

Maker = Callable[..., Any]
Variables = dict[str, Any]


@flax.struct.dataclass
class Prediction:
    """What a network says about a batch of faces.

    Attributes:
        landmarks: float32 `[batch, num_points, 2]`, crop units.
        log_sigma: float32 `[batch, num_points]`, log of the expected error in crop units, or None.
    """

    landmarks: jax.Array
    log_sigma: jax.Array | None = None


def _at_least_float32(x: jax.Array) -> Any:
    """float32 for bfloat16; float64 stays, so that proofs can be exact."""
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
        wide = x.astype(_at_least_float32(x))
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


def _conv_maker(kernel_init: nn.initializers.Initializer, dtype: Any, operations: Operations) -> Maker:
    """`(features, size, stride, name)` to a convolution without bias, padded as torchvision pads it."""

    def make(features: int, size: int, stride: int, name: str) -> nn.Conv:
        return nn.Conv(
            features,
            (size, size),
            (stride, stride),
            padding=[(size // 2, size // 2)] * 2,
            use_bias=False,
            dtype=dtype,
            kernel_init=kernel_init,
            conv_general_dilated=operations.conv,
            name=name,
        )

    return make


def _shortcut(x: jax.Array, features: int, stride: int, conv: Maker, norm: Maker) -> jax.Array:
    """The input of a block, projected where the block changes its shape."""
    if stride == 1 and x.shape[-1] == features:
        return x
    return norm(name="norm_shortcut")(conv(features, 1, stride, "conv_shortcut")(x))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: ResNet-18 and 34."""

    width: int
    stride: int
    conv: Maker
    norm: Maker
    last_scale: nn.initializers.Initializer

    expansion = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` to `[batch, height / stride, width / stride, self.width]`."""
        y = self.conv(self.width, 3, self.stride, "conv1")(x)
        y = nn.relu(self.norm(name="norm1")(y))
        y = self.conv(self.width, 3, 1, "conv2")(y)
        y = self.norm(name="norm2", scale_init=self.last_scale)(y)
        return nn.relu(y + _shortcut(x, self.width, self.stride, self.conv, self.norm))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut: ResNet-50, 101 and 152."""

    width: int
    stride: int
    conv: Maker
    norm: Maker
    last_scale: nn.initializers.Initializer

    expansion = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` to `[batch, height / stride, width / stride, 4 * self.width]`."""
        features = self.width * self.expansion
        y = nn.relu(self.norm(name="norm1")(self.conv(self.width, 1, 1, "conv1")(x)))
        y = nn.relu(self.norm(name="norm2")(self.conv(self.width, 3, self.stride, "conv2")(y)))
        y = self.norm(name="norm3", scale_init=self.last_scale)(self.conv(features, 1, 1, "conv3")(y))
        return nn.relu(y + _shortcut(x, features, self.stride, self.conv, self.norm))


class ResNet(nn.Module):
    """A ResNet with global average pooling and a dense head of two units per point."""

    config: ModelConfig
    num_points: int
    operations: Operations
    axis_name: str | None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """float32 `[batch, height, width, 3]` to landmarks float32 `[batch, num_points, 2]`, crop units."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        conv = _conv_maker(KERNEL_INITS[config.kernel_init], dtype, self.operations)
        norm = functools.partial(BatchNorm, not train, config.batch_norm_group, self.operations, self.axis_name, dtype)
        block: Any = BasicBlock if config.depth < 50 else Bottleneck
        if config.remat:
            block = nn.remat(block)
        x = nn.relu(norm(name="stem_norm")(conv(64, 7, 2, "stem_conv")(images.astype(dtype))))
        x = self.operations.max_pool(x)
        for stage, size in enumerate(STAGE_SIZES[config.depth]):
            for index in range(size):
                x = block(
                    width=64 * 2**stage,
                    stride=2 if stage > 0 and index == 0 else 1,
                    conv=conv,
                    norm=norm,
                    last_scale=nn.initializers.zeros if config.zero_init_residual else nn.initializers.ones,
                    name=f"stage{stage + 1}_block{index + 1}",
                )(x)
        # Pooled and regressed in float32: a coordinate needs more digits than bfloat16 has.
        features = x.astype(_at_least_float32(x)).mean(axis=(1, 2))
        head_init = nn.initializers.variance_scaling(config.head_init_scale**2, "fan_in", "normal")
        flat = nn.Dense(2 * self.num_points, kernel_init=head_init, name="head")(features)
        return flat.reshape(-1, self.num_points, 2)


@dataclasses.dataclass(frozen=True)
class Model:
    """All that the rest of the program knows of a network.

    Attributes:
        init: `(key, mean_face float32 [num_points, 2]) -> variables`, starting as the mean-face predictor.
        apply: `(variables, images, train) -> (Prediction, batch_stats)`; evaluation returns batch_stats unchanged.
    """

    init: Callable[[jax.Array, np.ndarray | jax.Array], Variables]
    apply: Callable[[Variables, jax.Array, bool], tuple[Prediction, Any]]


def make_model(
    config: ModelConfig, num_points: int = 68, axis_name: str | None = None, operations: Operations | None = None
) -> Model:
    """Build a ResNet.

    Args:
        config: Depth, compute dtype and initialisation.
        num_points: Points per face.
        axis_name: The mapped axis over which BatchNorm averages, under pmap; None under jit, where it
            sees the global batch anyway.
        operations: The form of its mathematics, from `make_operations`; that for JAX's default backend where
            it is not given.

    Returns:
        The model's two functions.
    """
    module = ResNet(config, num_points, operations or make_operations(jax.default_backend()), axis_name)

    def init(key: jax.Array, mean_face: np.ndarray | jax.Array) -> Variables:
        # Parameters do not depend on the input's size; the smallest one initialises fastest.
        # In evaluation mode, so that no axis_name needs to be bound.
        variables = module.init(key, jnp.zeros((1, 64, 64, 3)), train=False)
        head = variables["params"]["head"] | {"bias": jnp.asarray(mean_face, jnp.float32).reshape(-1)}
        return {"params": variables["params"] | {"head": head}, "batch_stats": variables["batch_stats"]}

    def apply(variables: Variables, images: jax.Array, train: bool) -> tuple[Prediction, Any]:
        if not train:
            output: Any = module.apply(variables, images, train=False)
            return Prediction(output), variables["batch_stats"]
        landmarks, updates = module.apply(variables, images, train=True, mutable=["batch_stats"])
        return Prediction(landmarks), updates["batch_stats"]

    return Model(init, apply)
