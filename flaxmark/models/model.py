"""A network: backbone and head, chosen by their configs, as functions that the rest of the program calls."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flaxmark.errors import ConfigError
from flaxmark.models.batch_norm import (
    BatchNorm,
    FoldedNorm,
    Moments,
    Variables,
    batch_statistics,
    fold_batch_norm,
    moments_of_outputs,
)
from flaxmark.models.heads import DenseHead, FeatureMap, Head, Prediction, as_pyramid
from flaxmark.models.operations import Operations, make_operations
from flaxmark.schema import Choice, bounded

Images = Float[Array, "batch size size 3"]

HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


@dataclasses.dataclass(frozen=True)
class Layers:
    """Convolution, normalisation and pooling for a backbone, in the form that its device runs fast.

    Attributes:
        dtype: Dtype of convolutions.
        operations: The device's form of these operations.
        train: Whether to normalise by the batch and update the running statistics.
        folded: Whether normalisation has been folded into convolutions.
        axis_name: The mapped axis over which BatchNorm averages, under pmap.
    """

    dtype: Any
    operations: Operations
    train: bool
    folded: bool
    axis_name: str | None

    def conv(
        self, features: int, size: int, stride: int, name: str, kernel_init: nn.initializers.Initializer = HE_NORMAL
    ) -> nn.Conv:
        """A convolution without bias, padded by `size // 2` as torchvision pads it."""
        return nn.Conv(
            features,
            (size, size),
            (stride, stride),
            padding=[(size // 2, size // 2)] * 2,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=kernel_init,
            conv_general_dilated=self.operations.conv,
            name=name,
        )

    def norm(
        self,
        name: str,
        group: int | None = None,
        scale_init: nn.initializers.Initializer = nn.initializers.ones,
        after: str | None = None,
    ) -> nn.Module:
        """BatchNorm, over groups of that many examples or the whole batch.

        `after` names the convolution of the same module whose output this is applied to, and nothing else: prediction
        folds the normalisation into it. Without `after`, prediction scales and shifts, which is right in any order.
        Layers of Flax, such as `nn.BatchNorm`, are left as they are.
        """
        if self.folded:
            return FoldedNorm(self.dtype, after, name=name)
        return BatchNorm(not self.train, group, self.operations, self.axis_name, self.dtype, scale_init, name=name)

    def max_pool(self, x: jax.Array) -> jax.Array:
        """Maximum of 3x3 pixels with stride 2, padded by 1: half the height and width."""
        return self.operations.max_pool(x)


@dataclasses.dataclass(frozen=True)
class ModelConfig(Choice):
    """Base of all networks, which are chosen by name: a frozen dataclass with a `name`, its own fields, `features`."""

    default_name = "resnet"

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of convolutions; parameters and BatchNorm statistics are always float32."""
    head: Head = DenseHead()
    """Head: from features to landmarks."""
    head_init_scale: float = bounded(0.1, "[0, 100]")
    """Kernels of the dense layers that first predict start at this multiple of LeCun's normal initialisation."""
    sigma: bool = False
    """Also predict the expected error of each point: one more output per point, trained with loss.name nll."""
    freeze_batch_norm: bool = False
    """Normalise in training, too, by the statistics of the weights that the run starts from, and keep them."""
    init_from: str | None = None
    """Start from weights: a run's workdir, a file of flaxmark pack, `flaxmark` (the model that comes with it), a
    .safetensors or .pth file with torchvision's or timm's names, or a config (.py), which is trained first."""

    @property
    def title(self) -> str:
        """Name for tables and figures, such as `ResNet-50`."""
        return self.name

    @property
    def variant(self) -> str:
        """Name for folders and flags, one of `variants`, such as `resnet50`."""
        return self.name

    @property
    def relative_cost(self) -> float:
        """Relative cost of a training step among all variants, to estimate the time of a sweep."""
        return 1.0

    @classmethod
    def variants(cls) -> dict[str, dict[str, Any]]:
        """Name in sweeps -> fields, for each setting of this network that sweeps distinguish."""
        return {cls.name: {}}

    def features(self, images: Images, layers: Layers) -> FeatureMap | Sequence[FeatureMap]:
        """Create the backbone's layers and apply them.

        Args:
            images: Normalised square crops, in `dtype`.
            layers: Makes fast layers; plain Flax modules can be used as well.

        Returns:
            One feature map, or several from fine to coarse: the dense head takes the last, the refined head all.
        """
        raise NotImplementedError

    def check(self, normalised_together: int) -> None:
        """Raise ConfigError for fields that cannot work; BatchNorm normalises that many faces together."""

    def torch_names(self) -> list[tuple[str, str, str]]:
        """Name of each tensor but the head's, its name in torchvision, and `conv` or `norm`; empty if it has none."""
        return []


def find_variant(variant: str) -> tuple[type[ModelConfig], dict[str, Any]]:
    """Config class and fields of a variant such as `resnet50`; ConfigError if there is none."""
    known = all_variants()
    if variant not in known:
        raise ConfigError(f"{variant!r} is none of {', '.join(known)}", field="networks")
    return known[variant]


def all_variants() -> dict[str, tuple[type[ModelConfig], dict[str, Any]]]:
    """Name of every variant of every network -> its config class and fields."""
    members: dict[str, type[ModelConfig]] = ModelConfig.members
    return {name: (kind, fields) for kind in members.values() for name, fields in kind.variants().items()}


class BackboneAndHead(nn.Module):
    """A backbone and its head."""

    config: ModelConfig
    num_points: int
    operations: Operations
    axis_name: str | None
    folded: bool

    @nn.compact
    def __call__(self, images: Images, train: bool) -> Prediction:
        """Predict landmarks, and sigma if the config has it."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        layers = Layers(dtype, self.operations, train and not config.freeze_batch_norm, self.folded, self.axis_name)
        pyramid = as_pyramid(config.features(images.astype(dtype), layers))
        return config.head.predict(pyramid, self.num_points, sigma=config.sigma, init_scale=config.head_init_scale)


@dataclasses.dataclass(frozen=True)
class Model:
    """A network as the rest of the program sees it.

    Attributes:
        init: `(key, mean_face float32 [num_points, 2]) -> variables`; a fresh network predicts the mean face.
        apply: `(variables, images, train) -> (Prediction, batch_stats)`; evaluation returns batch_stats unchanged.
        fold: From trained variables to those of the folded network, which only evaluates.
        statistics: `(variables, images) -> batch_stats` of this batch alone, of a network that is not folded.
        norm_outputs: `(folded variables, images) -> Moments` of these images.
    """

    init: Callable[[jax.Array, np.ndarray | jax.Array], Variables]
    apply: Callable[[Variables, jax.Array, bool], tuple[Prediction, Any]]
    fold: Callable[[Variables], Variables]
    statistics: Callable[[Variables, jax.Array], Variables] = lambda variables, _: variables["batch_stats"]
    norm_outputs: Callable[[Variables, jax.Array], Moments] = lambda *_: {}


def make_model(
    config: ModelConfig,
    num_points: int = 68,
    axis_name: str | None = None,
    operations: Operations | None = None,
    folded: bool = False,
) -> Model:
    """Build a network.

    Args:
        config: Backbone, head, compute dtype and initialisation.
        num_points: Points per face.
        axis_name: The mapped axis over which BatchNorm averages, under pmap; None under jit, where it
            normalises the global batch anyway.
        operations: From `make_operations`; by default those of JAX's default backend.
        folded: For evaluation only, with variables from `fold`.
    """
    module = BackboneAndHead(
        config, num_points, operations or make_operations(jax.default_backend()), axis_name, folded
    )

    def init(key: jax.Array, mean_face: np.ndarray | jax.Array) -> Variables:
        # Parameters do not depend on the input's size; the smallest one initialises fastest.
        # In evaluation mode, so that no axis_name needs to be bound.
        variables = module.init(key, jnp.zeros((1, 64, 64, 3)), train=False)
        params = config.head.start_at(variables["params"], jnp.asarray(mean_face, jnp.float32))
        return {"params": params, "batch_stats": variables.get("batch_stats", {})}

    def apply(variables: Variables, images: jax.Array, train: bool) -> tuple[Prediction, Any]:
        if not train:
            output: Any = module.apply(variables, images, train=False)
            return output, variables["batch_stats"]
        prediction, updates = module.apply(variables, images, train=True, mutable=["batch_stats"])
        return prediction, updates.get("batch_stats", {})

    def fold(variables: Variables) -> Variables:
        other = module.clone(folded=True)
        shapes = jax.eval_shape(lambda: other.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))
        return fold_batch_norm(variables, shapes)

    def statistics(variables: Variables, images: jax.Array) -> Variables:
        def stats_after(stats: Variables) -> Variables:
            return dict(apply(variables | {"batch_stats": stats}, images, True)[1])

        return batch_statistics(stats_after, variables["batch_stats"])

    def norm_outputs(variables: Variables, images: jax.Array) -> Moments:
        def is_norm(layer: nn.Module, _: str) -> bool:
            return isinstance(layer, FoldedNorm)

        _, seen = module.apply(variables, images, train=False, capture_intermediates=is_norm, mutable=["intermediates"])
        return moments_of_outputs(seen.get("intermediates", {}))

    return Model(init, apply, fold, statistics, norm_outputs)
