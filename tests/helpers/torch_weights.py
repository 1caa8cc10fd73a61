"""Weights under torchvision's names, the images they are tried on, and what PyTorch makes of both."""

from pathlib import Path

import jax
import numpy as np

from flaxmark.models.model import make_model
from flaxmark.models.resnet import ResNetConfig

# Outputs of torch_resnet.py (PyTorch 2.13) for `weights_of(depth)` and `images()`, by write_golden_resnet.py.
GOLDEN_OUTPUTS = Path(__file__).parent / "golden_resnet.json"


def shapes_of(depth: int) -> dict[str, tuple[int, ...]]:
    """Torch's names and shapes, with its head."""
    fresh = fresh_variables(depth)
    flat = {"/".join(k.key for k in path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(fresh)}
    shapes = {}
    for ours, theirs, kind in ResNetConfig(depth=depth).torch_names():  # type: ignore[arg-type]
        shape = flat[ours]
        shapes[theirs] = (shape[3], shape[2], shape[0], shape[1]) if kind == "conv" else shape
    features, units = flat["params/head/kernel"]
    return shapes | {"fc.weight": (units, features), "fc.bias": (units,)}


def weights_of(depth: int) -> dict[str, np.ndarray]:
    """Weights of the scale that training leaves, from a seeded generator."""
    rng = np.random.default_rng(depth)
    weights = {}
    for name, shape in shapes_of(depth).items():
        values = rng.standard_normal(shape)
        if name.endswith("running_var"):
            values = 1 + 0.5 * np.abs(values)
        elif len(shape) == 1 and name.endswith("weight"):
            values = 1 + 0.1 * values
        elif name == "fc.weight":
            values *= 1e-3  # outputs of about 1
        elif len(shape) == 4:
            values *= np.sqrt(2 / np.prod(shape[1:]))
        else:
            values *= 0.1
        weights[name] = values.astype(np.float32)
    return weights


def images() -> np.ndarray:
    """Two of 96 px."""
    return np.random.default_rng(0).standard_normal((2, 96, 96, 3)).astype(np.float32)


def fresh_variables(depth: int) -> dict:
    """Zeros of the shapes that a network has before training."""
    init = make_model(ResNetConfig(depth=depth)).init  # type: ignore[arg-type]
    face = np.zeros((68, 2), np.float32)
    return jax.tree.map(lambda x: np.zeros(x.shape, np.float32), jax.eval_shape(init, jax.random.key(0), face))
