"""Weights that a run starts from, and the terms of use that they bring."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from flaxmark.config.config import Config
from flaxmark.errors import CheckpointError
from flaxmark.inference.network import SHIPPED
from flaxmark.models.batch_norm import Variables
from flaxmark.models.pretrained import SHIPPED_NAME, start_from_file, start_from_run
from flaxmark.storage.stored_config import prediction_config
from flaxmark.storage.trained import is_packed, load_trained
from flaxmark.system.files import user_path
from flaxmark.training.train_state import TrainState

FREE = "free"


def start_from_weights(config: Config, state: TrainState) -> tuple[TrainState, str]:
    """Fresh state with the weights that `model.init_from` names, and their terms of use; `free` where it names none.

    Raises CheckpointError if the weights cannot be used. Arrays are copied in jit, so that they may be donated.
    """
    if config.model.init_from is None:
        return state, FREE
    variables, terms = _load(config, state.variables)

    def replace(state: TrainState, variables: Any) -> TrainState:
        copy = jax.tree.map(jnp.copy, variables)
        ema = None if state.ema is None else jax.tree.map(jnp.copy, variables)
        return dataclasses.replace(state, params=copy["params"], batch_stats=copy["batch_stats"], ema=ema)

    places = jax.tree.map(lambda x: x.sharding, state)
    return jax.jit(replace, out_shardings=places)(state, variables), terms


def _load(config: Config, fresh: Variables) -> tuple[Variables, str]:
    """Fresh variables replaced by those that `model.init_from` names, and their terms of use."""
    name = str(config.model.init_from)
    source = SHIPPED if name == SHIPPED_NAME else user_path(name)
    if source.is_file() and not is_packed(source):
        return start_from_file(source, fresh, config.model), FREE  # such files state no terms
    try:
        own, metadata = load_trained(source, to_train=True)
    except CheckpointError as error:
        error.field, error.value = error.field or "model.init_from", error.value or name
        raise
    theirs = prediction_config(metadata["config"]).model
    if theirs.variant != config.model.variant:
        reason = f"weights of {theirs.title}, and this network is {config.model.title}"
        raise CheckpointError(reason, field="model.init_from", value=name)
    own["params"] = config.model.head.adopt(own["params"], theirs.head)
    return start_from_run(own, fresh, name), str(metadata.get("terms", "unknown"))


def joint_terms(faces: str, weights: str) -> str:
    """Terms of use of a network: those of its training faces, and those of the weights that it started from."""
    return faces if weights in (FREE, faces) else f"{faces}; started from weights with the terms: {weights}"
