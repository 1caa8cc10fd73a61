"""The state of a small network, for tests of what is done with states."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flaxmark.config.config import Config
from flaxmark.models.model import make_model
from flaxmark.models.resnet import ResNetConfig
from flaxmark.schema import to_dict
from flaxmark.training.train_state import TrainState, init_train_state
from helpers.quick import quick_jit

METADATA = {"config": to_dict(Config(model=ResNetConfig(depth=18)))}


@functools.cache
def make_state(momentum: float | None = None, with_ema: bool = False) -> TrainState:
    model, face = make_model(ResNetConfig(depth=18)), np.full((68, 2), 0.5, np.float32)
    optimizer = optax.sgd(0.1, momentum=momentum)
    return quick_jit(lambda key: init_train_state(key, model, optimizer, face, with_ema))(jax.random.key(0))


def at_step(state: TrainState, step: int) -> TrainState:
    return state.replace(step=jnp.int32(step))  # type: ignore[attr-defined]
