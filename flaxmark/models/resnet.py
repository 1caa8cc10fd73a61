"""ResNets.

He et al., "Deep Residual Learning for Image Recognition", 2015 (arXiv:1512.03385), with the layout of torchvision
(explicit padding, the stride of a bottleneck in its 3x3 convolution), so that its weights fit.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, get_args

import flax.linen as nn
import jax

from flaxmark.errors import ConfigError
from flaxmark.models.heads import FeatureMap, Pyramid
from flaxmark.models.model import HE_NORMAL, Images, Layers, ModelConfig
from flaxmark.schema import bounded

Depth = Literal[18, 34, 50, 101, 152]
DEPTHS: tuple[int, ...] = get_args(Depth)

STAGE_SIZES: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
GFLOP: dict[int, float] = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}
"""GFLOP of a forward pass at 224 px (table 1 of the paper)."""

KERNEL_INITS: dict[str, nn.initializers.Initializer] = {
    "he_normal": HE_NORMAL,
    "uniform": nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
    "normal": nn.initializers.normal(0.05),
}

Maker = Callable[..., Any]


def features_size(image_size: int, stage: int = 4) -> int:
    """Side of a stage's feature map: the image's, halved `stage + 1` times, rounded up each time; stages are 1 to 4."""
    return -(-image_size // 2 ** (stage + 1))


def _shortcut(x: jax.Array, features: int, stride: int, conv: Maker, norm: Maker) -> jax.Array:
    """The input of a block, projected if the block changes its shape."""
    if stride == 1 and x.shape[-1] == features:
        return x
    return norm(name="norm_shortcut", after="conv_shortcut")(conv(features, 1, stride, "conv_shortcut")(x))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: ResNet-18 and 34."""

    width: int
    stride: int
    conv: Maker
    norm: Maker
    last_scale: nn.initializers.Initializer

    expansion = 1

    @nn.compact
    def __call__(self, x: FeatureMap) -> FeatureMap:
        """Apply the block; the output has `width` channels."""
        y = self.conv(self.width, 3, self.stride, "conv1")(x)
        y = nn.relu(self.norm(name="norm1", after="conv1")(y))
        y = self.conv(self.width, 3, 1, "conv2")(y)
        y = self.norm(name="norm2", after="conv2", scale_init=self.last_scale)(y)
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
    def __call__(self, x: FeatureMap) -> FeatureMap:
        """Apply the block; the output has 4 `width` channels."""
        features = self.width * self.expansion
        y = nn.relu(self.norm(name="norm1", after="conv1")(self.conv(self.width, 1, 1, "conv1")(x)))
        y = nn.relu(self.norm(name="norm2", after="conv2")(self.conv(self.width, 3, self.stride, "conv2")(y)))
        y = self.norm(name="norm3", after="conv3", scale_init=self.last_scale)(self.conv(features, 1, 1, "conv3")(y))
        return nn.relu(y + _shortcut(x, features, self.stride, self.conv, self.norm))


@dataclasses.dataclass(frozen=True)
class ResNetConfig(ModelConfig):
    """A ResNet."""

    name = "resnet"

    depth: Depth = 50
    """ResNet-18, 34 (basic blocks), 50, 101 or 152 (bottlenecks)."""
    residual_init: Literal["one", "zero", "depth"] = "one"
    """First value of the last BatchNorm scale of each block: one (as in torchvision), zero (every block starts as the
    identity), or depth (1 / (2 sqrt(blocks of the stage)), so that each stage adds a quarter of the variance that it
    gets, however many blocks it has)."""
    batch_norm_group: int | None = bounded(None, "[1, inf)")
    """Normalise over groups of this many examples instead of the global batch (ghost BatchNorm)."""
    remat: bool = False
    """Compute the inside of each block again in the backward pass instead of keeping it: less memory, more time."""
    kernel_init: Literal["he_normal", "uniform", "normal"] = "he_normal"
    """Convolutions start as in torchvision (he_normal), as a bare PyTorch layer (uniform, about half as large), or all
    with a deviation of 0.05 (normal). BatchNorm undoes the size of a kernel, but Adam's steps do not grow with it: with
    normal all convolutions change at the same relative rate."""

    @property
    def title(self) -> str:
        """Name for tables and figures, such as `ResNet-50`."""
        return f"ResNet-{self.depth}"

    @property
    def variant(self) -> str:
        """Name for folders and flags, such as `resnet50`."""
        return f"resnet{self.depth}"

    @property
    def relative_cost(self) -> float:
        """GFLOP of a forward pass at 224 px."""
        return GFLOP[self.depth]

    @classmethod
    def variants(cls) -> dict[str, dict[str, Any]]:
        """One variant for each depth."""
        return {f"resnet{depth}": {"depth": depth} for depth in DEPTHS}

    @classmethod
    def upgrade(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Earlier versions wrote `zero_init_residual`."""
        if "zero_init_residual" not in values:
            return values
        rest = {name: value for name, value in values.items() if name != "zero_init_residual"}
        return rest | {"residual_init": "zero" if values["zero_init_residual"] else "one"}

    @property
    def bottlenecks(self) -> bool:
        """Whether blocks are bottlenecks."""
        return self.depth >= 50

    @property
    def stage_sizes(self) -> tuple[int, int, int, int]:
        """Blocks of each stage."""
        return STAGE_SIZES[self.depth]

    def features(self, images: Images, layers: Layers) -> Pyramid:
        """As `ModelConfig.features`: feature maps of the four stages, 1/4 to 1/32 of the image's size.

        They have 64, 128, 256 and 512 channels, with bottlenecks four times as many.
        """
        conv = functools.partial(layers.conv, kernel_init=KERNEL_INITS[self.kernel_init])
        norm = functools.partial(layers.norm, group=self.batch_norm_group)
        block: Any = Bottleneck if self.bottlenecks else BasicBlock
        if self.remat:
            block = nn.remat(block)
        x = layers.max_pool(nn.relu(norm(name="stem_norm", after="stem_conv")(conv(64, 7, 2, "stem_conv")(images))))
        stages = []
        for stage, size in enumerate(self.stage_sizes):
            # De and Smith, "Batch Normalization Biases Residual Blocks Towards the Identity Function", 2020
            # (arXiv:2002.10444): the more blocks, the less of each random one a network can bear. By stage, so that
            # the 36 blocks of ResNet-152's third stage do not weaken the 3 of its last.
            last_scale = {"one": 1.0, "zero": 0.0, "depth": 0.5 * size**-0.5}[self.residual_init]
            for index in range(size):
                x = block(
                    width=64 * 2**stage,
                    stride=2 if stage > 0 and index == 0 else 1,
                    conv=conv,
                    norm=norm,
                    last_scale=nn.initializers.constant(last_scale),
                    name=f"stage{stage + 1}_block{index + 1}",
                )(x)
            stages.append(x)
        return tuple(stages)

    def check(self, normalised_together: int) -> None:
        """Raise ConfigError unless groups of BatchNorm divide the faces that are normalised together."""
        group = self.batch_norm_group
        if group is not None and normalised_together % group:
            reason = f"must be a divisor of the {normalised_together} faces that are normalised together"
            raise ConfigError(reason, field="model.batch_norm_group", value=group)

    def torch_names(self) -> list[tuple[str, str, str]]:
        """As `ModelConfig.torch_names`, such as `params/stem_conv/kernel`, `conv1.weight`, `conv`; timm agrees."""
        names: list[tuple[str, str, str]] = []

        def conv(ours: str, theirs: str) -> None:
            names.append((f"params/{ours}/kernel", f"{theirs}.weight", "conv"))

        def norm(ours: str, theirs: str) -> None:
            for place, own, other in (
                ("params", "scale", "weight"),
                ("params", "bias", "bias"),
                ("batch_stats", "mean", "running_mean"),
                ("batch_stats", "var", "running_var"),
            ):
                names.append((f"{place}/{ours}/{own}", f"{theirs}.{other}", "norm"))

        conv("stem_conv", "conv1")
        norm("stem_norm", "bn1")
        for stage, size in enumerate(self.stage_sizes, start=1):
            for block in range(size):
                ours, theirs = f"stage{stage}_block{block + 1}", f"layer{stage}.{block}"
                for number in range(1, 4 if self.bottlenecks else 3):
                    conv(f"{ours}/conv{number}", f"{theirs}.conv{number}")
                    norm(f"{ours}/norm{number}", f"{theirs}.bn{number}")
                if block == 0 and (stage > 1 or self.bottlenecks):
                    conv(f"{ours}/conv_shortcut", f"{theirs}.downsample.0")
                    norm(f"{ours}/norm_shortcut", f"{theirs}.downsample.1")
        return names
