from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flaxmark.checkpoint import RunCheckpoints, load_best
from flaxmark.config import Config, ConfigError, ModelConfig, to_dict
from flaxmark.models import make_model
from flaxmark.train_state import TrainState, init_train_state

METADATA = {"config": to_dict(Config(model=ModelConfig(depth=18)))}


@pytest.fixture(scope="module")
def state() -> TrainState:
    model = make_model(ModelConfig(depth=18))
    face = np.full((68, 2), 0.5, np.float32)
    return jax.jit(lambda key: init_train_state(key, model, optax.sgd(0.1, momentum=0.9), face, True))(
        jax.random.key(0)
    )


def at(state: TrainState, step: int) -> TrainState:
    """The state with its step in every averaged weight too, to recognise it by."""
    ema = jax.tree.map(lambda x: jnp.full_like(x, step), state.ema)
    return state.replace(step=jnp.int32(step), ema=ema)  # type: ignore[attr-defined]


def test_latest_and_best_are_kept_and_the_best_is_the_average(tmp_path: Path, state: TrainState) -> None:
    with RunCheckpoints(tmp_path) as checkpoints:
        for step, loss in ((1, 0.5), (2, 0.2), (3, 0.4), (4, 0.3)):
            checkpoints.save(at(state, step), METADATA, {"loss": loss})
        checkpoints.save(at(state, 5), METADATA)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["2", "5"]
    variables, metadata = load_best(tmp_path)
    assert metadata["step"] == 2
    assert {float(leaf.ravel()[0]) for leaf in jax.tree.leaves(variables)} == {2.0}
    with RunCheckpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 5
        assert checkpoints.describe_latest().endswith("/5")
        restored = checkpoints.restore(at(state, 0))
    jax.tree.map(np.testing.assert_array_equal, restored, at(state, 5))


def test_a_loss_that_is_not_finite_is_refused(tmp_path: Path, state: TrainState) -> None:
    with RunCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(at(state, 1), METADATA, {"loss": 0.5})
        with pytest.raises(ValueError, match="nan"):
            checkpoints.save(at(state, 2), METADATA, {"loss": float("nan")})
    assert load_best(tmp_path)[1]["step"] == 1


def test_a_folder_without_checkpoints_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoints"):
        load_best(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ConfigError, match="no validated checkpoint"):
        load_best(tmp_path)
