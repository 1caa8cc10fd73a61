"""ResNets that regress landmarks.

He et al., "Deep Residual Learning for Image Recognition", 2015 (arXiv:1512.03385); laid out as torchvision
lays them out (explicit paddings, the stride of a bottleneck in its 3x3), so that its weights fit.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from flaxmark.config import ModelConfig

STAGE_SIZES: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

Norm = Callable[..., Any]
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


def _conv(features: int, size: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    """A convolution without bias, padded by half its size on every side as in torchvision."""
    padding = size // 2
    return nn.Conv(
        features,
        (size, size),
        (stride, stride),
        padding=[(padding, padding), (padding, padding)],
        use_bias=False,
        dtype=dtype,
        kernel_init=_he_normal,
        name=name,
    )


def _shortcut(x: jax.Array, features: int, stride: int, norm: Norm, dtype: Any) -> jax.Array:
    """The input of a block, projected where the block changes its shape."""
    if stride == 1 and x.shape[-1] == features:
        return x
    return norm(name="norm_shortcut")(_conv(features, 1, stride, dtype, "conv_shortcut")(x))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: ResNet-18 and 34."""

    width: int
    stride: int
    norm: Norm
    last_scale: nn.initializers.Initializer
    dtype: Any

    expansion = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` to `[batch, height / stride, width / stride, self.width]`."""
        y = _conv(self.width, 3, self.stride, self.dtype, "conv1")(x)
        y = nn.relu(self.norm(name="norm1")(y))
        y = _conv(self.width, 3, 1, self.dtype, "conv2")(y)
        y = self.norm(name="norm2", scale_init=self.last_scale)(y)
        return nn.relu(y + _shortcut(x, self.width, self.stride, self.norm, self.dtype))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut: ResNet-50, 101 and 152."""

    width: int
    stride: int
    norm: Norm
    last_scale: nn.initializers.Initializer
    dtype: Any

    expansion = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` to `[batch, height / stride, width / stride, 4 * self.width]`."""
        features = self.width * self.expansion
        y = nn.relu(self.norm(name="norm1")(_conv(self.width, 1, 1, self.dtype, "conv1")(x)))
        y = nn.relu(self.norm(name="norm2")(_conv(self.width, 3, self.stride, self.dtype, "conv2")(y)))
        y = self.norm(name="norm3", scale_init=self.last_scale)(_conv(features, 1, 1, self.dtype, "conv3")(y))
        return nn.relu(y + _shortcut(x, features, self.stride, self.norm, self.dtype))


class ResNet(nn.Module):
    """A ResNet with global average pooling and a dense head of two units per point."""

    stage_sizes: Sequence[int]
    block: type[BasicBlock] | type[Bottleneck]
    num_points: int
    dtype: Any
    zero_init_residual: bool
    head_init_scale: float
    axis_name: str | None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """float32 `[batch, height, width, 3]` to landmarks float32 `[batch, num_points, 2]`, crop units."""
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=0.9,
            epsilon=1e-5,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        x = _conv(64, 7, 2, self.dtype, "stem_conv")(images.astype(self.dtype))
        x = nn.relu(norm(name="stem_norm")(x))
        x = nn.max_pool(x, (3, 3), (2, 2), padding=[(1, 1), (1, 1)])
        for stage, size in enumerate(self.stage_sizes):
            for index in range(size):
                x = self.block(
                    width=64 * 2**stage,
                    stride=2 if stage > 0 and index == 0 else 1,
                    norm=norm,
                    last_scale=zeros if self.zero_init_residual else ones,
                    dtype=self.dtype,
                    name=f"stage{stage + 1}_block{index + 1}",
                )(x)
        # Pooled and regressed in float32: a coordinate needs more digits than bfloat16 has.
        features = x.astype(jnp.float32).mean(axis=(1, 2))
        head_init = nn.initializers.variance_scaling(self.head_init_scale**2, "fan_in", "normal")
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


def make_model(config: ModelConfig, num_points: int = 68, axis_name: str | None = None) -> Model:
    """Build a ResNet.

    Args:
        config: Depth, compute dtype and initialisation.
        num_points: Points per face.
        axis_name: The mapped axis over which BatchNorm averages, under pmap; None under jit, where it
            sees the global batch anyway.

    Returns:
        The model's two functions.
    """
    module = ResNet(
        stage_sizes=STAGE_SIZES[config.depth],
        block=BasicBlock if config.depth < 50 else Bottleneck,
        num_points=num_points,
        dtype=jnp.dtype(config.dtype),
        zero_init_residual=config.zero_init_residual,
        head_init_scale=config.head_init_scale,
        axis_name=axis_name,
    )

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
