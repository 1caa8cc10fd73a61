"""A trained network as one small file: BatchNorm folded, kernels as 8-bit integers, and its metadata."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float, Int8

from flaxmark.config.config import Config
from flaxmark.errors import CheckpointError, ConfigError, DeviceError, StorageError
from flaxmark.models.batch_norm import Moments, Variables
from flaxmark.models.model import make_model
from flaxmark.storage.stored_config import prediction_config
from flaxmark.system.devices import in_32_bits, start_devices
from flaxmark.system.files import atomic_write
from flaxmark.system.reading import SAFETENSORS, kind_of, reading

SUFFIX = ".safetensors"
MAX_BYTES = 2_000_000_000
METADATA, SCALE = "flaxmark", ":scale"
STATISTICS = "batch_stats:"  # before the names of statistics that are left after folding
MOMENTS = "norm:"  # before the names of moments, which only training needs


def pack(variables: Variables, metadata: dict[str, Any], path: Path, moments: Moments | None = None) -> None:
    """Write folded variables, from `Model.fold`, and the metadata of their checkpoint; an existing file is replaced.

    With the moments of the outputs of its BatchNorms the network can be trained further.
    """
    tensors: dict[str, np.ndarray] = {}
    for name, leaf in flatten_dict(variables["params"], sep="/").items():
        values = np.asarray(leaf, np.float32)
        if values.ndim < 2:
            tensors[name] = values
        else:
            tensors[name], tensors[name + SCALE] = quantize(values)
    for name, leaf in flatten_dict(variables["batch_stats"], sep="/").items():
        tensors[STATISTICS + name] = np.asarray(leaf, np.float32)
    _write(tensors | _named(moments or {}), metadata, path)


def pack_again(source: Path, moments: Moments, path: Path) -> None:
    """Write a copy of a packed network with other moments; its other tensors stay as they are."""
    with safetensors.safe_open(source, framework="numpy") as file:
        metadata = json.loads(file.metadata()[METADATA])
        tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith(MOMENTS)}  # noqa: SIM118
    _write(tensors | _named(moments), metadata, path)


def _named(moments: Moments) -> dict[str, np.ndarray]:
    """Tensors of moments under their names in the file."""
    return {MOMENTS + name: np.asarray(leaf, np.float32) for name, leaf in flatten_dict(moments, sep="/").items()}


def _write(tensors: dict[str, np.ndarray], metadata: dict[str, Any], path: Path) -> None:
    """Write a file that everyone may read."""
    with atomic_write(path) as temporary:
        safetensors.numpy.save_file(tensors, temporary, metadata={METADATA: json.dumps(metadata)})
        temporary.chmod(0o644)  # safetensors writes for its owner alone


def quantize(
    kernel: Float[np.ndarray, "*inputs channels"],
) -> tuple[Int8[np.ndarray, "*inputs channels"], Float[np.ndarray, " channels"]]:
    """Round a kernel to 8-bit integers times a scale for each output channel, its largest weight / 127."""
    scale = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0) / 127
    steps = np.divide(kernel, scale, out=np.zeros_like(kernel), where=scale > 0)
    return np.round(steps).astype(np.int8), scale.astype(np.float32)


@in_32_bits
def load_packed(path: Path) -> tuple[Variables, dict[str, Any]]:
    """Read a file that `pack` wrote: folded variables, float32, and the metadata. Nothing in it is ever run.

    Raises CheckpointError for a missing file, another kind of file, and tensors that are not those of its config.
    """
    if not path.is_file():
        raise CheckpointError("is a folder, not a file" if path.is_dir() else "no such file", file=path)
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(f"{path.stat().st_size / 1e9:.1f} GB; packed networks are smaller than 2 GB", file=path)
    start_devices()
    try:
        with reading(path):
            with safetensors.safe_open(path, framework="numpy") as file:
                text = (file.metadata() or {}).get(METADATA)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = json.loads(text) if text else None
            if not isinstance(metadata, dict) or "config" not in metadata:
                raise CheckpointError("no network written by flaxmark pack", file=path)
            return _restore(tensors, metadata, path), metadata
    except (CheckpointError, DeviceError, StorageError):
        raise
    except ConfigError as error:
        raise CheckpointError(f"its config cannot be used: {error}", file=path) from error
    except Exception as error:  # damaged files make their readers raise almost anything
        reason = f"not a packed network that can be read ({type(error).__name__}: {' '.join(str(error).split())})"
        kind = kind_of(path)
        raise CheckpointError(reason if kind in (None, SAFETENSORS) else str(kind), file=path) from error


def _restore(tensors: dict[str, np.ndarray], metadata: dict[str, Any], path: Path) -> Variables:
    """The variables of the config's network from the tensors of a file."""
    config = prediction_config(metadata["config"])
    wanted = folded_shapes(config)
    params: dict[str, jax.Array] = {}
    for name, like in flatten_dict(wanted["params"], sep="/").items():
        scale = tensors.get(name + SCALE, np.ones((), np.float32))
        if scale.shape not in ((), like.shape[-1:]):
            raise CheckpointError(f"tensor {name} has a scale of another shape than its channels", file=path)
        params[name] = _tensor(tensors, name, like.shape, scale, path)
    statistics = {
        name: _tensor(tensors, STATISTICS + name, like.shape, np.ones((), np.float32), path)
        for name, like in flatten_dict(wanted["batch_stats"], sep="/").items()
    }
    return {"params": unflatten_dict(params, sep="/"), "batch_stats": unflatten_dict(statistics, sep="/")}


def folded_shapes(config: Config) -> Variables:
    """Shapes of the folded variables of a config's network."""
    points = config.data.markup.num_points
    plain, folded = (make_model(config.model, points, folded=folded) for folded in (False, True))
    mean_face = jax.ShapeDtypeStruct((points, 2), jnp.float32)
    shapes: Variables = jax.eval_shape(
        lambda key, face: folded.fold(plain.init(key, face)), jax.random.key(0), mean_face
    )
    return shapes


def _tensor(
    tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...], scale: np.ndarray, path: Path
) -> jax.Array:
    """One tensor times its scale, checked."""
    values = tensors.get(name)
    if values is None or values.shape != shape:
        raise CheckpointError(f"tensor {name} is missing or has another shape than {list(shape)}", file=path)
    array = values.astype(np.float32) * scale
    if not np.isfinite(array).all():
        raise CheckpointError(f"tensor {name} has numbers that are not finite", file=path)
    return jnp.asarray(array)
