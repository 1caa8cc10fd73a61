"""Variables of a trained network, as training and evaluation take them: of a run, or of a packed file."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax.traverse_util import flatten_dict, unflatten_dict

from flaxmark.config.config import Config
from flaxmark.errors import CheckpointError
from flaxmark.models.batch_norm import Moments, Variables, output_moments, unfold_batch_norm
from flaxmark.models.model import make_model
from flaxmark.storage.checkpoint import load_best
from flaxmark.storage.packed import METADATA, MOMENTS, SUFFIX, folded_shapes, load_packed
from flaxmark.storage.stored_config import prediction_config
from flaxmark.system.reading import reading


def is_packed(path: Path) -> bool:
    """Whether a file is one of `flaxmark pack`, and no other file of weights."""
    if not path.is_file() or path.suffix != SUFFIX:
        return False
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return METADATA in (file.metadata() or {})
    except Exception:  # a damaged file makes its reader raise almost anything; who reads it says what is wrong
        return False


def load_trained(source: Path, *, to_train: bool = False) -> tuple[Variables, dict[str, Any]]:
    """Load the best checkpoint of a run, or a packed file with BatchNorm unfolded, and the metadata.

    Raises CheckpointError for a source that cannot be used, and `to_train` for a packed file without the moments that
    training needs; without them it still evaluates as it predicts.
    """
    if not source.is_file():
        return load_best(source)
    folded, metadata = load_packed(source)
    moments = stored_moments(source, prediction_config(metadata["config"]))
    if moments is None and to_train:
        reason = "packed without the statistics that training starts from; pack it again: flaxmark pack"
        raise CheckpointError(f"{reason} --workdir {source} --out NEW{SUFFIX}", file=source)
    shapes = moment_shapes(prediction_config(metadata["config"]))
    moments = moments or unflatten_dict({name: jnp.ones(shape) for name, shape in shapes.items()}, sep="/")
    params, stats = unfold_batch_norm(folded["params"], folded["batch_stats"], moments)
    return {"params": params, "batch_stats": stats}, metadata


def moment_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Name with slashes -> shape, for the moments of each BatchNorm that is folded."""
    points = config.data.markup.num_points
    face = jax.ShapeDtypeStruct((points, 2), jnp.float32)
    plain = jax.eval_shape(make_model(config.model, points).init, jax.random.key(0), face)["batch_stats"]
    kept = flatten_dict(folded_shapes(config)["batch_stats"], sep="/")
    return {name: leaf.shape for name, leaf in flatten_dict(plain, sep="/").items() if name not in kept}


def stored_moments(path: Path, config: Config) -> Moments | None:
    """The moments in a packed file; None where it has none. CheckpointError where they are not those of its network."""
    with reading(path), safetensors.safe_open(path, framework="numpy") as file:
        found = {name: file.get_tensor(name) for name in file.keys() if name.startswith(MOMENTS)}  # noqa: SIM118
    if not found:
        return None
    moments: dict[str, jax.Array] = {}
    for name, shape in moment_shapes(config).items():
        values = found.get(MOMENTS + name)
        if values is None or values.shape != shape or not np.isfinite(values).all():
            raise CheckpointError(f"tensor {MOMENTS}{name} is missing, misshapen or not finite", file=path)
        if name.endswith("var") and values.min(initial=0) < 0:
            raise CheckpointError(f"tensor {MOMENTS}{name} has a negative variance", file=path)
        moments[name] = jnp.asarray(values, jnp.float32)
    return unflatten_dict(moments, sep="/")


def moments_of_run(workdir: Path) -> Moments:
    """Moments of the outputs of every BatchNorm that `pack` folds, of a run's best checkpoint."""
    variables, metadata = load_best(workdir)
    shapes = moment_shapes(prediction_config(metadata["config"]))
    found = flatten_dict(output_moments(variables["params"], variables["batch_stats"]), sep="/")
    return unflatten_dict({name: leaf for name, leaf in found.items() if name in shapes}, sep="/")
