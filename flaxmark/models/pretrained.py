"""Weights to start from: ImageNet's in torchvision's or timm's naming, or those of an own run."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from flaxmark.errors import ConfigError
from flaxmark.models.resnet import STAGE_SIZES, Variables
from flaxmark.models.torch_files import read_tensors

Tensors = Mapping[str, np.ndarray]

HEAD = "head"
IGNORED = re.compile(r"fc\.|classifier\.|(.*\.)?num_batches_tracked$")
SHOWN = 6


def start_from(source: str, variables: Variables, depth: int) -> Variables:
    """Replace all but the head of a fresh network.

    Args:
        source: A `.safetensors`, `.pth` or `.pt` file in torchvision's or timm's naming, or the workdir of a run.
        variables: Fresh ones; their head stays, but of an own run with the same number of points.
        depth: Of the network.

    Returns:
        The variables to start with, float32, in host memory.

    Raises:
        ConfigError: The file cannot be used; all tensors that are missing, left over or of another shape are named.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        from flaxmark.storage.checkpoint import load_best

        own, _ = load_best(path)
        return _adopt(_flatten(own), variables, source, keep_head=False)
    if not path.is_file():
        raise ConfigError(f"--model.init-from {source}: no such file, nor the workdir of a run")
    tensors = {name: tensor for name, tensor in read_tensors(path).items() if not IGNORED.match(name)}
    known = {torch: (ours, kind) for ours, torch, kind in torch_names(depth)}
    found, surplus = {}, []
    for name, tensor in tensors.items():
        if name in known:
            ours, kind = known[name]
            found[ours] = (
                np.asarray(tensor, np.float32).transpose(2, 3, 1, 0) if kind == "conv" and tensor.ndim == 4 else tensor
            )
        else:
            surplus.append(name)
    originals = {ours: torch for torch, (ours, _) in known.items()}
    return _adopt(found, variables, source, keep_head=True, surplus=surplus, originals=originals)


def torch_names(depth: int) -> list[tuple[str, str, str]]:
    """How torchvision, and timm after it, call the tensors of a ResNet without its head.

    Args:
        depth: Of the network.

    Returns:
        Our name such as `params/stem_conv/kernel`, theirs such as `conv1.weight`, and `conv` or `norm`.
    """
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
    for stage, size in enumerate(STAGE_SIZES[depth], start=1):
        for block in range(size):
            ours, theirs = f"stage{stage}_block{block + 1}", f"layer{stage}.{block}"
            for number in range(1, 3 if depth < 50 else 4):
                conv(f"{ours}/conv{number}", f"{theirs}.conv{number}")
                norm(f"{ours}/norm{number}", f"{theirs}.bn{number}")
            if block == 0 and (stage > 1 or depth >= 50):
                conv(f"{ours}/conv_shortcut", f"{theirs}.downsample.0")
                norm(f"{ours}/norm_shortcut", f"{theirs}.downsample.1")
    return names


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
    """Put tensors in their places, or name all that do not fit."""
    own = _flatten(variables)
    names = dict(originals or {})
    heads = {name for name in own if f"/{HEAD}" in name}
    missing, misshapen, infinite = [], [], []
    for name, array in own.items():
        if name in heads and (keep_head or name not in found or found[name].shape != array.shape):
            continue  # another number of points, or a head that the other run has not
        if name not in found:
            missing.append(names.get(name, name))
        elif found[name].shape != array.shape:
            misshapen.append(f"{names.get(name, name)} {list(found[name].shape)} instead of {list(array.shape)}")
        else:
            own[name] = np.asarray(found[name], np.float32)
            if not np.isfinite(own[name]).all():
                infinite.append(names.get(name, name))
    left = list(surplus or []) + [n for n in found if n not in own and f"/{HEAD}" not in n]
    kinds = {"missing": missing, "not known": left, "misshapen": misshapen, "not finite": infinite}
    text = "; ".join(f"{len(items)} {kind}: {_some(items)}" for kind, items in kinds.items() if items)
    if text:
        raise ConfigError(f"--model.init-from {source}: not the weights of this network: {text}")
    return {**variables, **unflatten_dict(own, sep="/")}


def _some(items: list[str]) -> str:
    """The first few, and how many more."""
    rest = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + rest
