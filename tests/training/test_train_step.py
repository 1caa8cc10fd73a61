"""The same update on one device and on eight, with jit and pmap, in one part and in several."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.linear_model import linear_model
from helpers.small_state import make_state

from flaxmark.evaluation.eval_step import make_eval_step
from flaxmark.models.heads import DenseHead
from flaxmark.models.losses import MSE, SmoothL1
from flaxmark.models.model import make_model
from flaxmark.models.refined_head import LOOK, RefinedHead, change_layer
from flaxmark.models.resnet import ResNetConfig
from flaxmark.system.devices import AXIS, compile_step, compiler_options, make_mesh, shard_batch
from flaxmark.training.train_state import TrainState, init_train_state
from flaxmark.training.train_step import make_train_step, split_batch

BATCH = {
    "image": np.random.default_rng(0).normal(size=(16, 64, 64, 3)).astype(np.float32),
    "landmarks": np.random.default_rng(1).uniform(size=(16, 68, 2)).astype(np.float32),
    "mask": np.ones(16, np.float32),
}
OPTIMIZER = optax.sgd(0.1)  # not Adam, which amplifies rounding differences
MEAN_FACE = np.full((68, 2), 0.5, np.float32)


@functools.cache
def updated(devices: int, mode: str, group: int | None = None) -> tuple[TrainState, float]:
    mesh = make_mesh(jax.devices()[:devices])
    axis_name = AXIS if mode == "pmap" else None
    model = make_model(ResNetConfig(depth=18, batch_norm_group=group), axis_name=axis_name)
    step = make_train_step(
        model, SmoothL1(), OPTIMIZER, lambda _: 0.1, steps_per_epoch=9, ema_decay=0.9, axis_name=axis_name
    )
    compiled = compile_step(step, mesh, mode, updates=True)  # type: ignore[arg-type]
    start = jax.device_get(make_state(with_ema=True))  # a copy, to be donated
    state = jax.device_put(start, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    for _ in range(2):
        state, metrics = compiled(state, shard_batch(BATCH, mesh, mode))  # type: ignore[arg-type]
    return jax.device_get(state), float(metrics["loss"])


@pytest.mark.parametrize(
    ("devices", "mode", "group"),
    [(8, "jit", None), (8, "pmap", None), (1, "pmap", None), (2, "jit", 4), (2, "pmap", 4)],
)
def test_every_way_gives_the_one_device_state(devices: int, mode: str, group: int | None) -> None:
    expected, expected_loss = updated(1, "jit", group)
    state, loss = updated(devices, mode, group)
    assert int(state.step) == 2
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-4),
        (state.params, state.batch_stats, state.ema),
        (expected.params, expected.batch_stats, expected.ema),
    )


def test_one_update_by_hand() -> None:
    model = linear_model()
    state = init_train_state(jax.random.key(0), model, OPTIMIZER, np.ones((68, 2), np.float32), True)
    batch = {"image": np.full((2, 4, 4, 3), 2.0), "landmarks": np.ones((2, 68, 2)), "mask": np.ones(2)}
    step = make_train_step(model, MSE(), OPTIMIZER, lambda _: 0.1, steps_per_epoch=9, ema_decay=0.5)
    state, metrics = step(state, jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), batch))
    # Prediction 2, target 1: loss 1; d loss / d bias of each of 136 units = 2 * 1 * 2 / 136.
    assert float(metrics["loss"]) == pytest.approx(1)
    expected = 1 - 0.1 * 4 / 136
    np.testing.assert_allclose(state.params["bias"], expected, rtol=1e-6)
    # The average's decay at step 0 is min(0.5, 1 / 10).
    np.testing.assert_allclose(state.ema["params"]["bias"], 0.1 + 0.9 * expected, rtol=1e-6)
    np.testing.assert_allclose(metrics["grad_norm"], 4 / 136 * np.sqrt(136), rtol=1e-5)


def test_visibility_trains_its_layer_and_leaves_the_reported_loss_that_of_the_landmarks() -> None:
    network = make_model(ResNetConfig(depth=18, head=DenseHead(visible=True)))
    state = init_train_state(jax.random.key(0), network, optax.sgd(1.0), MEAN_FACE, False)
    seen = np.random.default_rng(2).choice(np.float32([0, 1, np.nan]), (16, 68))
    batch = jax.tree.map(jnp.asarray, BATCH | {"visible": seen})
    moved, losses = {}, set()
    for weight in (0.0, 0.5):
        step = make_train_step(network, MSE(), optax.sgd(1.0), lambda _: 1.0, steps_per_epoch=9, visible_weight=weight)
        after, metrics = jax.jit(step)(state, batch)
        moved[weight] = after.params["head_visible"]["bias"] - state.params["head_visible"]["bias"]
        losses.add(float(metrics["loss"]))
    assert len(losses) == 1
    np.testing.assert_array_equal(moved[0.0], np.zeros(68))
    # Nearly all probabilities are 0.9 at first; the slope of a point is the probability less 1 where it is seen.
    known = (seen == seen).sum(axis=1, keepdims=True)
    slope = np.where(seen == seen, 0.9 - np.nan_to_num(seen), 0) / known
    np.testing.assert_allclose(moved[0.5], -0.5 * slope.mean(axis=0), atol=1e-3)


def test_all_looks_are_trained_and_the_loss_of_the_last_is_reported() -> None:
    network = make_model(ResNetConfig(depth=18, head=RefinedHead(visible=True, looks=1, channels=2)))
    state = init_train_state(jax.random.key(0), network, optax.sgd(1.0), MEAN_FACE, False)
    moves = {"kernel": 0.1 * jax.random.normal(jax.random.key(1), (136, 136))}
    state = state.replace(params=state.params | {change_layer(1, "landmarks"): moves})  # type: ignore[attr-defined]
    batch = jax.tree.map(jnp.asarray, BATCH | {"visible": np.ones((16, 68), np.float32)})

    def minimised(params: Any) -> tuple[Any, list[Any]]:
        last, _ = network.apply({"params": params, "batch_stats": state.batch_stats}, batch["image"], True)
        looks = (*last.earlier, last)
        squares = [jnp.square(look.landmarks - batch["landmarks"]).mean() for look in looks]
        entropies = [-jax.nn.log_sigmoid(look.visible_logit).mean() for look in looks]
        return (sum(squares) + 0.5 * sum(entropies)) / 2, squares

    grads, (first, last) = jax.jit(jax.grad(minimised, has_aux=True))(state.params)
    step = make_train_step(network, MSE(), optax.sgd(1.0), lambda _: 1.0, steps_per_epoch=9, visible_weight=0.5)
    after, metrics = jax.jit(step)(state, batch)
    assert float(metrics["loss"]) == pytest.approx(float(last), rel=1e-5)
    assert abs(float(first - last)) > 0.01
    for name in ("head", "head_visible", *(layer for layer in grads if layer.startswith(LOOK))):
        moved = jax.tree.map(jnp.subtract, state.params[name], after.params[name])
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), moved, grads[name])


def test_the_epoch_loss_starts_anew_and_counts_up_to_the_first_that_is_not_finite() -> None:
    model = linear_model()
    state = init_train_state(jax.random.key(0), model, optax.sgd(0.0), np.ones((68, 2), np.float32), False)
    step = make_train_step(model, MSE(), optax.sgd(0.0), lambda _: 0.0, steps_per_epoch=3)
    seen = []
    for pixel in (2.0, 4.0, 1.0, 3.0, np.inf, 2.0, 2.0):
        batch = {"image": jnp.full((1, 4, 4, 3), pixel), "landmarks": jnp.ones((1, 68, 2)), "mask": jnp.ones(1)}
        after, metrics = step(state, batch)
        state = after.replace(params=state.params)  # type: ignore[attr-defined] # infinite pixels spoil the weights
        seen.append((float(metrics["epoch_loss"]), int(metrics["finite_steps"])))
    # Losses (pixel - 1)^2: 1, 9, 0 | 4, inf, 1 | 1.
    assert seen == [(1, 1), (5, 2), (pytest.approx(10 / 3), 3), (4, 1), (np.inf, 1), (np.inf, 1), (1, 1)]


def test_masked_rows_weigh_nothing() -> None:
    model = linear_model()
    state = init_train_state(jax.random.key(0), model, OPTIMIZER, np.ones((68, 2), np.float32), False)
    step = make_train_step(model, MSE(), OPTIMIZER, lambda _: 0.1, steps_per_epoch=9)
    image = jnp.stack([jnp.full((4, 4, 3), 2.0), jnp.full((4, 4, 3), 9.0)])
    batch = {"image": image, "landmarks": jnp.ones((2, 68, 2)), "mask": jnp.array([1.0, 0.0])}
    assert float(step(state, batch)[1]["loss"]) == pytest.approx(1)


def test_accumulation_equals_the_whole_batch_without_batchnorm() -> None:
    model = linear_model()
    state = init_train_state(jax.random.key(0), model, OPTIMIZER, np.ones((68, 2), np.float32), False)
    batch = jax.tree.map(jnp.asarray, BATCH)
    results = [
        make_train_step(model, MSE(), OPTIMIZER, lambda _: 0.1, steps_per_epoch=9, accumulate=parts)(state, batch)
        for parts in (1, 4)
    ]
    np.testing.assert_allclose(results[0][0].params["bias"], results[1][0].params["bias"], rtol=1e-5)
    assert float(results[0][1]["loss"]) == pytest.approx(float(results[1][1]["loss"]), rel=1e-5)


def test_split_batch_deals_rows_out() -> None:
    parts = split_batch({"mask": jnp.arange(6)}, 3)
    assert parts["mask"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_evaluation_is_the_same_on_one_and_eight_devices() -> None:
    start = make_state(with_ema=True)
    outputs, variables = [], jax.device_get({"params": start.params, "batch_stats": start.batch_stats})
    for devices, mode in ((1, "jit"), (8, "jit"), (8, "pmap")):
        mesh = make_mesh(jax.devices()[:devices])
        model = make_model(ResNetConfig(depth=18))
        step = compile_step(make_eval_step(model, SmoothL1()), mesh, mode, updates=False)  # type: ignore[arg-type]
        outputs.append(jax.device_get(step(variables, shard_batch(BATCH, mesh, mode))))  # type: ignore[arg-type]
    for other in outputs[1:]:
        np.testing.assert_allclose(other["landmarks"], outputs[0]["landmarks"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(other["loss"], outputs[0]["loss"], rtol=1e-4)


def test_compiler_options_keep_convolutions_out_of_ynnpack() -> None:
    mesh = make_mesh(jax.devices()[:1])
    model = make_model(ResNetConfig(depth=18))
    step = compile_step(make_eval_step(model, SmoothL1()), mesh, "jit", updates=False)
    variables = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((68, 2), jnp.float32))
    shapes = {name: jax.ShapeDtypeStruct(value.shape, value.dtype) for name, value in BATCH.items()}
    text = step.lower(variables, shapes).compile().as_text()  # type: ignore[attr-defined]
    assert compiler_options(mesh) is not None
    assert not [line for line in text.splitlines() if "convolution" in line and "__ynn_fusion" in line]
