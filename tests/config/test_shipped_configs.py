"""The configs that come with flaxmark train: two real steps of each network and loss of the table."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from helpers.quick import quick_jit

from flaxmark.config.files import load_config
from flaxmark.models.heads import Prediction
from flaxmark.models.model import make_model
from flaxmark.models.resnet import DEPTHS, ResNetConfig
from flaxmark.training.optimizer import make_optimizer, make_schedule
from flaxmark.training.train_state import TrainState, init_train_state
from flaxmark.training.train_step import make_train_step

TABLE_LOSSES = ("mse", "mae", "smooth_l1")  # each has its configs
NAMES = [f"resnet{depth}_{loss}" for depth in DEPTHS for loss in TABLE_LOSSES]
# The two deepest take minutes to compile.
TRAINED = [pytest.param(name, marks=[pytest.mark.slow] if "101" in name or "152" in name else []) for name in NAMES]


@functools.cache
def compiled_step(variant: str) -> tuple[Callable[..., Any], TrainState]:
    """`(state, batch, which loss) -> (state, metrics)` and a first state.

    The three configs of a depth differ in their loss alone, which the step chooses when it runs: the network, whose
    compilation is what takes long, is compiled once.
    """
    configs = [load_config(f"{variant}_{loss}") for loss in TABLE_LOSSES]
    config = configs[0]
    assert all(dataclasses.replace(other, loss=config.loss) == config for other in configs)
    losses = [other.loss for other in configs]
    model = make_model(config.model)
    schedule = make_schedule(config.optimizer, 10, 100)
    optimizer = make_optimizer(config.optimizer, schedule)

    def step(state: TrainState, batch: dict[str, jax.Array], which: jax.Array) -> tuple[TrainState, dict]:
        def loss(prediction: Prediction, target: jax.Array) -> jax.Array:
            return jax.lax.switch(which, losses, prediction, target)

        chosen: Any = loss
        decay = config.train.ema_decay
        return make_train_step(model, chosen, optimizer, schedule, steps_per_epoch=9, ema_decay=decay)(state, batch)

    mean_face = np.full((68, 2), 0.5, np.float32)
    init = quick_jit(lambda key: init_train_state(key, model, optimizer, mean_face, True))
    return quick_jit(step), init(jax.random.key(0))


@pytest.mark.parametrize("name", TRAINED)
def test_every_config_takes_two_real_steps(name: str) -> None:
    config = load_config(name)
    assert name == f"{config.model.variant}_{config.loss.name}"
    step, start = compiled_step(config.model.variant)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.normal(size=(2, 64, 64, 3)).astype(np.float32),
        "landmarks": rng.uniform(size=(2, 68, 2)).astype(np.float32),
        "mask": np.ones(2, np.float32),
    }
    state = start
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer count with floats
        for _ in range(2):
            state, metrics = step(state, batch, np.int32(TABLE_LOSSES.index(config.loss.name)))
    assert int(state.step) == 2
    assert np.isfinite(float(metrics["loss"]))
    for before, after in zip(jax.tree.leaves(start.params), jax.tree.leaves(state.params), strict=True):
        assert np.isfinite(after).all()
        assert np.abs(np.asarray(after) - np.asarray(before)).max() > 0


def test_blocks_of_the_table_start_by_their_number() -> None:
    for depth in (18, 34, 152):
        network = load_config("table", depth).model  # type: ignore[arg-type]
        assert isinstance(network, ResNetConfig)
        assert network.residual_init == "depth"
