import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flaxmark.config.config import OptimizerConfig
from flaxmark.training.optimizer import is_kernel, make_optimizer, make_schedule


def test_warm_up_and_cosine_by_hand() -> None:
    schedule = make_schedule(OptimizerConfig(learning_rate=1.0, schedule="cosine", warmup_steps=4), 10, 104)
    rates = [float(schedule(step)) for step in (0, 1, 2, 3, 4, 54, 104)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.5, 0], abs=1e-6)


def test_halving_every_ten_epochs() -> None:
    config = OptimizerConfig(learning_rate=5e-4, schedule="step", halve_every=10)
    schedule = make_schedule(config, 14, 280)
    assert [float(schedule(s)) for s in (0, 139, 140, 279)] == pytest.approx([5e-4, 5e-4, 2.5e-4, 2.5e-4])


def test_constant() -> None:
    assert float(make_schedule(OptimizerConfig(learning_rate=0.3, schedule="constant"), 1, 9)(7)) == pytest.approx(0.3)


def test_decay_spares_biases_and_norms_unless_told() -> None:
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    assert is_kernel(params) == {"kernel": True, "bias": False}
    zeros = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    for decay_all, bias_update in ((False, 0.0), (True, -0.05)):
        config = OptimizerConfig(learning_rate=0.5, schedule="constant", weight_decay=0.1, decay_all=decay_all)
        optimizer = make_optimizer(config, lambda _: 0.5)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer count with floats
            updates, _ = optimizer.update(zeros, optimizer.init(params), params)
        np.testing.assert_allclose(updates["kernel"], -0.05, rtol=1e-6)
        np.testing.assert_allclose(updates["bias"], bias_update, rtol=1e-6)


def test_adam_first_step_by_hand() -> None:
    # The first Adam step is the learning rate against the gradient's sign.
    params, grads = {"w": jnp.zeros(2)}, {"w": jnp.array([3.0, -0.01])}
    optimizer = make_optimizer(OptimizerConfig(name="adam", clip_norm=1.0), lambda _: 0.1)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], [-0.1, 0.1], rtol=1e-3)


def test_rates_of_backbone_and_head_by_hand() -> None:
    # The first Adam step is the learning rate against the gradient's sign. With 2,048 features, four times 512, a
    # kernel of the head has a quarter of the head's rate.
    shapes = {
        "stem_conv": (3, 3, 3, 4),
        "head": (512, 6),
        "head_sigma": (2048, 3),
        "head_pooling": (4, 4, 8),
        "head_maps": (1, 1, 1024, 2),
        "head_look1_map0": (64, 4),
    }
    params = {name: {"w": jnp.zeros(shape)} for name, shape in shapes.items()} | {"norm": {"scale": jnp.zeros(5)}}
    grads = jax.tree.map(jnp.ones_like, params)
    optimizer = make_optimizer(OptimizerConfig(name="adam", head_rate=0.2, backbone_rate=0.5), lambda _: 0.1)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
    expected = {
        "stem_conv": 0.05,
        "norm": 0.05,
        "head": 0.02,
        "head_sigma": 0.005,
        "head_pooling": 0.02,
        "head_maps": 0.01,
        "head_look1_map0": 0.16,
    }
    for name, rate in expected.items():
        for update in updates[name].values():
            np.testing.assert_allclose(update, -rate, rtol=1e-3)


def test_without_a_rate_the_head_learns_like_the_rest() -> None:
    params = {"stem": {"w": jnp.zeros(2)}, "head": {"w": jnp.zeros((2048, 2))}}
    optimizer = make_optimizer(OptimizerConfig(name="adam", backbone_rate=0.0), lambda _: 0.1)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    np.testing.assert_array_equal(updates["stem"]["w"], 0)
    np.testing.assert_allclose(updates["head"]["w"], -0.1, rtol=1e-3)


def test_rates_of_one_leave_the_state_as_it_was() -> None:
    """Checkpoints of earlier versions hold the state of the optimizer alone."""
    params = {"head": {"w": jnp.zeros(2)}}
    config = OptimizerConfig(name="adamw", weight_decay=0.1)
    own = make_optimizer(config, lambda _: 0.1).init(params)
    plain = optax.adamw(lambda _: 0.1, weight_decay=0.1, mask=is_kernel).init(params)
    assert jax.tree.structure(own) == jax.tree.structure(plain)
