"""The head that looks a second time, at each predicted point."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxmark.config import DenseHead, Head, RefinedHead, ResNetConfig
from flaxmark.data.drawn.other_markups import convert_landmarks, point_weights
from flaxmark.faces.array_library import NUMPY
from flaxmark.models.heads import HEAD, VISIBLE, Prediction
from flaxmark.models.model import make_model
from flaxmark.models.pretrained import start_from_run
from flaxmark.models.refined_head import CLOSE, CLOSE_VISIBLE, LATERAL, enlarge, interpolation, sample

MEAN_FACE = np.linspace(0.2, 0.8, 136).reshape(68, 2).astype(np.float32)
SQUARE = jnp.array([[1.0, 3], [5, 9]]).reshape(1, 2, 2, 1)
"""Values at (0.25, 0.25), (0.75, 0.25) and, in the second row, (0.25, 0.75), (0.75, 0.75) of the crop."""


def test_samples_by_hand() -> None:
    points = jnp.array([[[0.25, 0.25], [0.75, 0.25], [0.5, 0.25], [0.5, 0.5], [0.35, 0.75], [-1, 2], [1.0, 0.0]]])
    np.testing.assert_allclose(sample(SQUARE, points)[0, :, 0], [1, 3, 2, 4.5, 5.8, 5, 3], atol=1e-6)


def test_enlarged_by_hand() -> None:
    found = enlarge(SQUARE, 2, 4)[0, ..., 0]
    np.testing.assert_allclose(found, [[1, 1.5, 2.5, 3], [5, 6, 8, 9]], atol=1e-6)
    np.testing.assert_array_equal(enlarge(SQUARE, 2, 2), SQUARE)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_weights_of_any_place_add_up_to_one(count: int) -> None:
    places = np.random.default_rng(0).uniform(-0.5, 1.5, (50, 1)).astype(np.float32)
    weights = interpolation(NUMPY, places, count)
    assert weights.shape == (50, count)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


class HeadAlone(nn.Module):
    """A head for two points."""

    head: Head

    @nn.compact
    def __call__(self, *pyramid: jax.Array) -> Prediction:
        """As `Head.predict`."""
        return self.head.predict(pyramid, 2, sigma=True, init_scale=1.0)


def with_values(variables: Any, **layers: Any) -> Any:
    """Variables with other values of some layers."""
    return {"params": variables["params"] | layers}


def test_the_correction_is_what_the_map_has_at_the_first_points() -> None:
    alone = HeadAlone(RefinedHead(visible=True, channels=1))
    first = jnp.array([[0.25, 0.25], [0.5, 0.5]])  # where SQUARE is 1 and 4.5
    kernel = jnp.array([[0.1, 0, 0, 0.2], [0, 0.01, 0, 0]])
    variables = with_values(
        alone.init(jax.random.key(0), SQUARE),
        **{
            HEAD: {"kernel": jnp.zeros((1, 4)), "bias": first.reshape(-1)},
            f"{LATERAL}0": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)},
            CLOSE: {"kernel": kernel, "bias": jnp.array([0.0, 0, 1, 0])},
            CLOSE_VISIBLE: {"kernel": jnp.array([[2.0, 0], [0, -1]]), "bias": jnp.zeros(2)},
        },
    )
    found: Any = alone.apply(variables, SQUARE)
    np.testing.assert_allclose(found.landmarks[0] - first, [[0.1, 0.045], [1, 0.2]], atol=1e-6)
    dense: Any = HeadAlone(DenseHead(visible=True)).apply(variables, SQUARE)
    np.testing.assert_allclose(found.visible_logit - dense.visible_logit, [[2, -4.5]], atol=1e-6)
    np.testing.assert_array_equal(found.log_sigma, dense.log_sigma)


def test_maps_are_added_at_the_size_of_the_finest() -> None:
    alone, coarse = HeadAlone(RefinedHead(channels=1)), jnp.full((1, 1, 1, 1), 10.0)
    variables = with_values(
        alone.init(jax.random.key(0), SQUARE, coarse),
        **{
            HEAD: {"kernel": jnp.zeros((1, 4)), "bias": jnp.array([0.25, 0.25, 0.75, 0.75])},
            f"{LATERAL}0": {"kernel": jnp.ones((1, 1)), "bias": jnp.full(1, -12.0)},
            f"{LATERAL}1": {"kernel": jnp.ones((1, 1))},
            CLOSE: {"kernel": jnp.array([[1.0, 0, 0, 0], [0, 0, 1, 0]]), "bias": jnp.zeros(4)},
        },
    )
    found: Any = alone.apply(variables, SQUARE, coarse)
    # 1 + 10 - 12 is below 0, and 9 + 10 - 12 is 7.
    np.testing.assert_allclose(found.landmarks[0], [[0.25, 0.25], [7.75, 0.75]])


def test_no_gradient_flows_through_the_places() -> None:
    alone = HeadAlone(RefinedHead(channels=1))
    variables = alone.init(jax.random.key(0), SQUARE)
    close = {"kernel": jnp.ones((2, 4)), "bias": jnp.zeros(4)}

    def total(bias: jax.Array) -> Any:
        layers = {HEAD: variables["params"][HEAD] | {"bias": bias}, CLOSE: close}
        return alone.apply(with_values(variables, **layers), SQUARE).landmarks.sum()

    np.testing.assert_array_equal(jax.grad(total)(jnp.full(4, 0.4)), np.ones(4))


@pytest.fixture(scope="module")
def trained() -> tuple[ResNetConfig, Any, jax.Array, Any]:
    """A network with a refined head whose corrections are not 0: config, variables, images, prediction."""
    config = ResNetConfig(depth=18, head_init_scale=1, sigma=True, head=RefinedHead("weighted", True, channels=8))
    variables = jax.jit(make_model(config).init)(jax.random.key(1), MEAN_FACE)
    for name, layer in variables["params"].items():
        if name.startswith(CLOSE):
            layer["kernel"] = 0.1 * jax.random.normal(jax.random.key(2), layer["kernel"].shape)
    images = jax.random.normal(jax.random.key(3), (2, 80, 80, 3))
    return config, variables, images, make_model(config).apply(variables, images, False)[0]


def test_a_fresh_head_predicts_as_the_dense_head_that_it_starts_from(trained: Any) -> None:
    config, variables, images, refined = trained
    dense = dataclasses.replace(config, head=DenseHead("weighted", visible=True))
    params = dense.head.adopt(variables["params"], config.head)
    assert not any(name.startswith((CLOSE, LATERAL)) for name in params)
    expected = make_model(dense).apply({**variables, "params": params}, images, False)[0]
    assert float(jnp.abs(refined.landmarks - expected.landmarks).max()) > 0.01
    fresh = jax.jit(make_model(config).init)(jax.random.key(4), MEAN_FACE)
    own = {**variables, "params": config.head.adopt(params, dense.head)}
    found = make_model(config).apply(start_from_run(own, fresh, "run"), images, False)[0]
    for name in ("landmarks", "log_sigma", "visible_logit"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_refined_head_keeps_its_layers_and_visibility_may_go(trained: Any) -> None:
    config, variables, _, _ = trained
    params = variables["params"]
    assert config.head.adopt(params, config.head) == params
    without = RefinedHead("weighted", channels=8).adopt(params, config.head)
    assert set(params) - set(without) == {VISIBLE, CLOSE_VISIBLE}


def test_another_scheme_starts_from_the_first_look(trained: Any) -> None:
    config, variables, images, _ = trained
    weights = point_weights("five_points")
    params = config.head.convert(variables["params"], weights)
    fresh = jax.jit(make_model(config, 5).init)(jax.random.key(4), MEAN_FACE[:5])
    own = start_from_run({**variables, "params": params}, fresh, "run")
    found = make_model(config, 5).apply(own, images, False)[0]
    dense = dataclasses.replace(config, head=DenseHead("weighted", visible=True))
    dense_params = dense.head.adopt(variables["params"], config.head)
    expected = make_model(dense).apply({**variables, "params": dense_params}, images, False)[0]
    np.testing.assert_allclose(
        found.landmarks, convert_landmarks(np.asarray(expected.landmarks), "five_points"), atol=1e-5
    )
