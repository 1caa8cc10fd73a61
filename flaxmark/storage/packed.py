"""A trained network as one small file: BatchNorm folded, kernels as 8-bit integers, and all that it says of itself."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from flaxmark.config.config import Config
from flaxmark.errors import ConfigError
from flaxmark.models.batch_norm import Variables
from flaxmark.models.model import make_model
from flaxmark.schema import from_dict

SUFFIX = ".safetensors"
MAX_BYTES = 2_000_000_000
METADATA, SCALE = "flaxmark", ":scale"


def pack(variables: Variables, metadata: dict[str, Any], path: Path) -> None:
    """Write a network.

    Args:
        variables: Folded, from `fold_batch_norm`.
        metadata: Of its checkpoint; ready for JSON.
        path: `.safetensors`, replaced if it exists.
    """
    tensors: dict[str, np.ndarray] = {}
    for name, leaf in flatten_dict(variables["params"], sep="/").items():
        values = np.asarray(leaf, np.float32)
        if values.ndim < 2:
            tensors[name] = values
        else:
            tensors[name], tensors[name + SCALE] = quantize(values)
    temporary = path.with_name(f".{path.name}.tmp")
    safetensors.numpy.save_file(tensors, temporary, metadata={METADATA: json.dumps(metadata)})
    temporary.chmod(0o644)  # safetensors writes for its owner alone
    temporary.replace(path)


def quantize(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round a kernel to 8-bit integers, each output channel by its own largest weight.

    Args:
        kernel: float32 `[.., channels]`.

    Returns:
        int8 like the kernel, and float32 `[channels]`: what each integer is multiplied by.
    """
    scale = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0) / 127
    steps = np.divide(kernel, scale, out=np.zeros_like(kernel), where=scale > 0)
    return np.round(steps).astype(np.int8), scale.astype(np.float32)


def load_packed(path: Path) -> tuple[Variables, dict[str, Any]]:
    """Read a network; nothing in the file is ever run.

    Args:
        path: Written by `pack`.

    Returns:
        Folded variables, float32, and the metadata.

    Raises:
        ConfigError: No such file, another kind of file, or not the tensors that its config needs.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path}: {path.stat().st_size / 1e9:.1f} GB; no packed ResNet is as large")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = json.loads(text) if text else None
        if not isinstance(metadata, dict) or "config" not in metadata:
            raise ConfigError(f"{path}: no network that scripts/pack.py wrote")
        return _restore(tensors, metadata, path), metadata
    except ConfigError:
        raise
    except Exception as error:  # damaged files make their readers raise almost anything
        raise ConfigError(f"{path}: {type(error).__name__}: {error}; not a packed network that can be read") from error


def _restore(tensors: dict[str, np.ndarray], metadata: dict[str, Any], path: Path) -> Variables:
    """Tensors to the tree that the config's network has."""
    config = from_dict(metadata["config"], Config)
    points = config.data.markup.num_points
    model = make_model(config.model, points, folded=True)
    mean_face = jax.ShapeDtypeStruct((points, 2), jnp.float32)
    wanted = jax.eval_shape(model.init, jax.random.key(0), mean_face)["params"]
    params: dict[str, jax.Array] = {}
    for name, like in flatten_dict(wanted, sep="/").items():
        values = tensors.get(name)
        scale = tensors.get(name + SCALE, np.ones((), np.float32))
        if values is None or values.shape != like.shape or scale.shape not in ((), like.shape[-1:]):
            raise ConfigError(f"{path}: tensor {name} is missing or has another shape than {list(like.shape)}")
        array = values.astype(np.float32) * scale
        if not np.isfinite(array).all():
            raise ConfigError(f"{path}: tensor {name} has numbers that are not finite")
        params[name] = jnp.asarray(array)
    return {"params": unflatten_dict(params, sep="/"), "batch_stats": {}}
