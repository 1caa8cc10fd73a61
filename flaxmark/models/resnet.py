"""ResNets that regress landmarks.

He et al., "Deep Residual Learning for Image Recognition", 2015 (arXiv:1512.03385); laid out as torchvision
lays them out (explicit paddings, the stride of a bottleneck in its 3x3), so that its weights fit.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from flaxmark.config.schema import ModelConfig
from flaxmark.models.batch_norm import BatchNorm, FoldedNorm, Variables, at_least_float32
from flaxmark.models.operations import Operations, make_operations

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

FIRST_SIGMA = 0.05
"""Crop units: the error of the mean face, with which a network starts, is about that."""


@flax.struct.dataclass
class Prediction:
    """What a network says about a batch of faces.

    Attributes:
        landmarks: float32 `[batch, num_points, 2]`, crop units.
        log_sigma: float32 `[batch, num_points]`, log of the expected error in crop units, or None.
    """

    landmarks: jax.Array
    log_sigma: jax.Array | None = None


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
    folded: bool

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> Prediction:
        """float32 `[batch, height, width, 3]` to landmarks, and sigma where the config has it."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        conv = _conv_maker(KERNEL_INITS[config.kernel_init], dtype, self.operations)
        norm: Maker = functools.partial(
            BatchNorm, not train, config.batch_norm_group, self.operations, self.axis_name, dtype
        )
        if self.folded:
            norm = lambda name, **_: FoldedNorm(dtype, name=name)  # noqa: E731
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
        features = x.astype(at_least_float32(x)).mean(axis=(1, 2))
        head_init = nn.initializers.variance_scaling(config.head_init_scale**2, "fan_in", "normal")
        flat = nn.Dense(2 * self.num_points, kernel_init=head_init, name="head")(features)
        landmarks = flat.reshape(-1, self.num_points, 2)
        if not config.sigma:
            return Prediction(landmarks)
        start = nn.initializers.constant(math.log(FIRST_SIGMA))
        log_sigma = nn.Dense(self.num_points, kernel_init=head_init, bias_init=start, name="head_sigma")(features)
        return Prediction(landmarks, log_sigma)


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
    config: ModelConfig,
    num_points: int = 68,
    axis_name: str | None = None,
    operations: Operations | None = None,
    folded: bool = False,
) -> Model:
    """Build a ResNet.

    Args:
        config: Depth, compute dtype and initialisation.
        num_points: Points per face.
        axis_name: The mapped axis over which BatchNorm averages, under pmap; None under jit, where it
            sees the global batch anyway.
        operations: The form of its mathematics, from `make_operations`; that for JAX's default backend where
            it is not given.
        folded: Only for evaluation, with variables from `fold_batch_norm`, whose batch_stats are empty.

    Returns:
        The model's two functions.
    """
    module = ResNet(config, num_points, operations or make_operations(jax.default_backend()), axis_name, folded)

    def init(key: jax.Array, mean_face: np.ndarray | jax.Array) -> Variables:
        # Parameters do not depend on the input's size; the smallest one initialises fastest.
        # In evaluation mode, so that no axis_name needs to be bound.
        variables = module.init(key, jnp.zeros((1, 64, 64, 3)), train=False)
        head = variables["params"]["head"] | {"bias": jnp.asarray(mean_face, jnp.float32).reshape(-1)}
        return {"params": variables["params"] | {"head": head}, "batch_stats": variables.get("batch_stats", {})}

    def apply(variables: Variables, images: jax.Array, train: bool) -> tuple[Prediction, Any]:
        if not train:
            output: Any = module.apply(variables, images, train=False)
            return output, variables["batch_stats"]
        prediction, updates = module.apply(variables, images, train=True, mutable=["batch_stats"])
        return prediction, updates["batch_stats"]

    return Model(init, apply)
