"""Weights to start from: ImageNet's in torchvision's or timm's naming, or those of an earlier run."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from flaxmark.errors import CheckpointError, ConfigError
from flaxmark.models.batch_norm import Variables
from flaxmark.models.heads import in_head
from flaxmark.models.model import ModelConfig
from flaxmark.models.weight_files import read_tensors

Tensors = Mapping[str, np.ndarray]

SHIPPED_NAME = "flaxmark"
"""The value of `model.init_from` that names the model that comes with flaxmark."""

IGNORED = re.compile(r"fc\.|classifier\.|(.*\.)?num_batches_tracked$")
SHOWN = 6


def start_from_run(own: Variables, variables: Variables, source: str) -> Variables:
    """Fresh variables replaced by those of a trained run; layers of its head only where they have the same shape."""
    return _adopt(_flatten(own), variables, source, keep_head=False)


def start_from_file(path: Path, variables: Variables, config: ModelConfig) -> Variables:
    """Fresh variables with all but the head from a `.safetensors`, `.pth` or `.pt` file, float32 in host memory.

    The file has the names of `config.torch_names()`. CheckpointError names all tensors that are missing, unknown, not
    finite or of another shape; ConfigError where the network has no such names.
    """
    known = {torch: (ours, kind) for ours, torch, kind in config.torch_names()}
    if not known:
        raise ConfigError(f"{config.title} has no torchvision names; start from a run", field="model.init_from")
    tensors = {name: tensor for name, tensor in read_tensors(path).items() if not IGNORED.match(name)}
    found, surplus = {}, []
    for name, tensor in tensors.items():
        if name in known:
            ours, kind = known[name]
            found[ours] = tensor.transpose(2, 3, 1, 0) if kind == "conv" and tensor.ndim == 4 else tensor
        else:
            surplus.append(name)
    originals = {ours: torch for torch, (ours, _) in known.items()}
    return _adopt(found, variables, str(path), keep_head=True, surplus=surplus, originals=originals)


def _flatten(tree: Any) -> dict[str, np.ndarray]:
    """Names with slashes -> arrays in host memory."""
    return {name: np.asarray(leaf) for name, leaf in flatten_dict(tree, sep="/").items()}


def _adopt(
    found: Tensors,
    variables: Variables,
    source: str,
    *,
    keep_head: bool,
    surplus: list[str] | None = None,
    originals: Mapping[str, str] | None = None,
) -> Variables:
    """Variables with the tensors of the same names; CheckpointError lists all that do not fit."""
    own = _flatten(variables)
    names = dict(originals or {})
    heads = {name for name in own if _in_head(name)}
    missing, misshapen, infinite = [], [], []
    for name, array in own.items():
        if name in heads and (keep_head or name not in found or found[name].shape != array.shape):
            continue  # another number of points or channels, or a layer that the other run has not
        if name not in found:
            missing.append(names.get(name, name))
        elif found[name].shape != array.shape:
            misshapen.append(f"{names.get(name, name)} {list(found[name].shape)} instead of {list(array.shape)}")
        else:
            own[name] = np.asarray(found[name], np.float32)
            if not np.isfinite(own[name]).all():
                infinite.append(names.get(name, name))
    left = list(surplus or []) + [n for n in found if n not in own and not _in_head(n)]
    kinds = {"missing": missing, "not known": left, "misshapen": misshapen, "not finite": infinite}
    text = "; ".join(f"{len(items)} {kind}: {_some(items)}" for kind, items in kinds.items() if items)
    if text:
        raise CheckpointError(f"not the weights of this network: {text}", field="model.init_from", value=source)
    return {**variables, **unflatten_dict(own, sep="/")}


def _in_head(name: str) -> bool:
    """Whether an array such as `params/head/kernel` is part of the head."""
    return in_head(name.split("/")[1])


def _some(items: list[str]) -> str:
    """The first few items, and the number of the others."""
    rest = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + rest
