"""Weights that a run starts from, and the terms of use that they bring."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from flaxmark.config.checks import names_config
from flaxmark.config.config import Config
from flaxmark.config.files import load_config
from flaxmark.data.drawn.other_markups import point_weights
from flaxmark.errors import CheckpointError, ConfigError
from flaxmark.faces.markup import IBUG_68
from flaxmark.faces.markup_files import is_built_in
from flaxmark.inference.network import SHIPPED
from flaxmark.models.batch_norm import Variables
from flaxmark.models.pretrained import SHIPPED_NAME, start_from_file, start_from_run
from flaxmark.storage.stored_config import prediction_config
from flaxmark.storage.trained import is_packed, load_trained
from flaxmark.system.files import user_path
from flaxmark.training.train_state import TrainState

FREE = "free"

_SHARED_INPUT = ("markup", "prepared_dir", "crop", "image_size", "pixel_mean", "pixel_std", "residency")
_SHARED_LOOP = (
    "seed", "compile", "accumulate", "eval_batch_size", "log_every", "save_every", "accept_other_data",
)  # fmt: skip


def pretraining_config(config: Config) -> Config | None:
    """The config of a run that is to be trained first, if `model.init_from` names a config file.

    Its faces, augmentation, optimizer and number of epochs are those of the file; the network, its input and the loss
    are this run's. Raises ConfigError for a file that is no config.
    """
    if not names_config(config.model.init_from):
        return None
    first = load_config(str(config.model.init_from), depth=getattr(config.model, "depth", None))
    if names_config(first.model.init_from):
        reason = f"itself starts from the config {first.model.init_from}; name one that does not"
        raise ConfigError(reason, field="model.init_from", value=config.model.init_from)
    data = {name: getattr(config.data, name) for name in _SHARED_INPUT}
    start = {name: getattr(first.model, name) for name in ("init_from", "freeze_batch_norm")}
    return dataclasses.replace(
        first,
        data=dataclasses.replace(first.data, **data),
        model=dataclasses.replace(config.model, **start),
        loss=config.loss,
        train=dataclasses.replace(first.train, **{name: getattr(config.train, name) for name in _SHARED_LOOP}),
    )


def check_weights_fit(config: Config) -> None:
    """Refuse another network's weights in `model.init_from` with CheckpointError or ConfigError.

    Faces may take an hour to prepare, and this is known before. Weights of other libraries are read later.
    """
    name = config.model.init_from
    if name is not None and not names_config(name) and _is_trained(_source(name)):
        _adopted(config, name)


def start_from_weights(config: Config, state: TrainState, name: str | None) -> tuple[TrainState, str]:
    """Fresh state with the weights that `name` stands for, as `model.init_from` does, and their terms of use.

    Without a name, the state as it is, which is `free`. Raises CheckpointError if the weights cannot be used. Arrays
    are copied in jit, so that they may be donated.
    """
    if name is None:
        return state, FREE
    variables, terms = _load(config, state.variables, name)

    def replace(state: TrainState, variables: Any) -> TrainState:
        copy = jax.tree.map(jnp.copy, variables)
        ema = None if state.ema is None else jax.tree.map(jnp.copy, variables)
        return dataclasses.replace(state, params=copy["params"], batch_stats=copy["batch_stats"], ema=ema)

    places = jax.tree.map(lambda x: x.sharding, state)
    return jax.jit(replace, out_shardings=places)(state, variables), terms


def _load(config: Config, fresh: Variables, name: str) -> tuple[Variables, str]:
    """Fresh variables replaced by those that `name` stands for, and their terms of use."""
    source = _source(name)
    if not _is_trained(source):
        return start_from_file(source, fresh, config.model), FREE  # such files state no terms
    own, metadata = _adopted(config, name)
    return start_from_run(own, fresh, name), str(metadata.get("terms", "unknown"))


def _source(name: str) -> Path:
    return SHIPPED if name == SHIPPED_NAME else user_path(name)


def _is_trained(source: Path) -> bool:
    """Whether a source is a run or a packed file, and not the weights of another library."""
    return not source.is_file() or is_packed(source)


def _adopted(config: Config, name: str) -> tuple[Variables, dict[str, Any]]:
    """Trained variables as this network's head can use them, and their metadata."""
    try:
        own, metadata = load_trained(_source(name), to_train=True)
    except CheckpointError as error:
        error.field, error.value = error.field or "model.init_from", error.value or name
        raise
    trained = prediction_config(metadata["config"])
    if trained.model.variant != config.model.variant:
        reason = f"weights of {trained.model.title}, and this network is {config.model.title}"
        raise CheckpointError(reason, field="model.init_from", value=name)
    head, markup = config.model.head, config.data.markup
    own["params"] = head.adopt(own["params"], trained.model.head)
    if trained.data.markup == IBUG_68 != markup and is_built_in(markup):
        own["params"] = head.convert(own["params"], point_weights(markup.name))
    return own, metadata


def joint_terms(faces: str, weights: str) -> str:
    """Terms of use of a network: those of its training faces, and those of the weights that it started from."""
    return faces if weights in (FREE, faces) else f"{faces}; started from weights with the terms: {weights}"
