"""The head that looks again at each predicted point."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxmark.config import DenseHead, Head, RefinedHead
from flaxmark.data.drawn.other_markups import convert_landmarks, point_weights
from flaxmark.errors import ConfigError
from flaxmark.faces.array_library import NUMPY
from flaxmark.models.heads import HEAD, VISIBLE, Prediction
from flaxmark.models.pretrained import start_from_run
from flaxmark.models.refined_head import LOOK, change_layer, interpolation, map_layer, sample

SQUARE = jnp.array([[1.0, 3], [5, 9]]).reshape(1, 2, 2, 1)
"""Values at (0.25, 0.25), (0.75, 0.25) and, in the second row, (0.25, 0.75), (0.75, 0.75) of the crop."""


def test_samples_by_hand() -> None:
    points = jnp.array([[[0.25, 0.25], [0.75, 0.25], [0.5, 0.25], [0.5, 0.5], [0.35, 0.75], [-1, 2], [1.0, 0.0]]])
    np.testing.assert_allclose(sample(SQUARE, points)[0, :, 0], [1, 3, 2, 4.5, 5.8, 5, 3], atol=1e-6)


def test_float64_stays() -> None:
    with jax.enable_x64(True):
        points = jnp.array([[[0.5, 0.5]]], jnp.float32)
        assert sample(SQUARE.astype(jnp.float64), points).dtype == jnp.float64
    assert sample(SQUARE.astype(jnp.bfloat16), points).dtype == jnp.float32


@pytest.mark.parametrize("count", [1, 4, 7])
def test_weights_of_any_place_add_up_to_one(count: int) -> None:
    places = np.random.default_rng(0).uniform(-0.5, 1.5, (50, 1)).astype(np.float32)
    weights = interpolation(NUMPY, places, count)
    assert weights.shape == (50, count)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


class HeadAlone(nn.Module):
    """A head that predicts sigma, too."""

    head: Head
    points: int = 2

    @nn.compact
    def __call__(self, *pyramid: jax.Array) -> Prediction:
        """As `Head.predict`."""
        return self.head.predict(pyramid, self.points, sigma=True, init_scale=1.0)


def with_values(variables: Any, **layers: Any) -> Any:
    """Variables with other values of some layers."""
    return {"params": variables["params"] | layers}


MAP, MOVE = map_layer(1, 0), change_layer(1, "landmarks")
AS_IT_IS = {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}


def starting_at(*points: tuple[float, float]) -> dict[str, Any]:
    """A dense layer that predicts these points whatever it sees."""
    return {"kernel": jnp.zeros((1, 2 * len(points))), "bias": jnp.array(points).reshape(-1)}


def test_a_look_moves_points_by_what_the_map_has_there() -> None:
    alone = HeadAlone(RefinedHead(visible=True, looks=1, channels=1))
    layers = {
        HEAD: starting_at((0.25, 0.25), (0.5, 0.5)),  # where SQUARE is 1 and 4.5
        MAP: AS_IT_IS,
        MOVE: {"kernel": jnp.array([[0.1, 0, 0, 0.2], [0, 0.01, 0, 0]])},
        change_layer(1, "visible"): {"kernel": jnp.array([[2.0, 0], [0, -1]])},
    }
    variables = with_values(alone.init(jax.random.key(0), SQUARE), **layers)
    found: Any = alone.apply(variables, SQUARE)
    np.testing.assert_allclose(found.landmarks[0], [[0.35, 0.295], [0.5, 0.7]], atol=1e-6)
    dense: Any = HeadAlone(DenseHead(visible=True)).apply(variables, SQUARE)
    np.testing.assert_allclose(found.visible_logit - dense.visible_logit, [[2, -4.5]], atol=1e-6)
    np.testing.assert_array_equal(found.log_sigma, dense.log_sigma)
    jax.tree.map(np.testing.assert_array_equal, found.earlier, (dense,))


def test_the_next_look_is_at_the_moved_points() -> None:
    alone = HeadAlone(RefinedHead(looks=2, channels=1))
    layers = {
        HEAD: starting_at((0.25, 0.25), (0.25, 0.25)),
        MAP: AS_IT_IS,
        MOVE: {"kernel": jnp.array([[0, 0.5, 0, 0], [0, 0, 0.5, 0]])},  # down to 5, right to 3
        map_layer(2, 0): AS_IT_IS,
        change_layer(2, "landmarks"): {"kernel": jnp.array([[1.0, 0, 0, 0], [0, 0, 0, 1]])},
    }
    found: Any = alone.apply(with_values(alone.init(jax.random.key(0), SQUARE), **layers), SQUARE)
    np.testing.assert_allclose(found.landmarks[0], [[5.25, 0.75], [0.75, 3.25]], atol=1e-6)
    earlier = [look.landmarks[0] for look in found.earlier]
    np.testing.assert_allclose(earlier, [[[0.25, 0.25], [0.25, 0.25]], [[0.25, 0.75], [0.75, 0.25]]], atol=1e-6)


def test_what_all_maps_have_is_added() -> None:
    alone, coarse = HeadAlone(RefinedHead(looks=1, channels=1)), jnp.full((1, 1, 1, 1), 10.0)
    layers = {
        HEAD: starting_at((0.25, 0.25), (0.75, 0.75)),
        MAP: {"kernel": jnp.ones((1, 1)), "bias": jnp.full(1, -12.0)},
        map_layer(1, 1): {"kernel": jnp.ones((1, 1))},
        MOVE: {"kernel": jnp.array([[1.0, 0, 0, 0], [0, 0, 1, 0]])},
    }
    found: Any = alone.apply(with_values(alone.init(jax.random.key(0), SQUARE, coarse), **layers), SQUARE, coarse)
    # 1 + 10 - 12 is below 0, and 9 + 10 - 12 is 7.
    np.testing.assert_allclose(found.landmarks[0], [[0.25, 0.25], [7.75, 0.75]])


def test_no_gradient_flows_through_the_places() -> None:
    alone = HeadAlone(RefinedHead(looks=1, channels=1))
    variables = alone.init(jax.random.key(0), SQUARE)

    def total(bias: jax.Array) -> Any:
        layers = {HEAD: {"kernel": jnp.zeros((1, 4)), "bias": bias}, MAP: AS_IT_IS, MOVE: {"kernel": jnp.ones((2, 4))}}
        return alone.apply(with_values(variables, **layers), SQUARE).landmarks.sum()

    np.testing.assert_allclose(total(jnp.full(4, 0.5)), 2 + 4 * 2 * 4.5)
    np.testing.assert_array_equal(jax.grad(total)(jnp.full(4, 0.4)), np.ones(4))


DENSE, REFINED = DenseHead("weighted", visible=True), RefinedHead("weighted", visible=True, channels=8)
PYRAMID = tuple(jax.random.normal(jax.random.key(size), (2, size, size, 48 // size)) for size in (8, 4))
OUTPUTS = "landmarks", "log_sigma", "visible_logit"


def predicted(head: Head, variables: Any, points: int = 68) -> Any:
    """Prediction for two faces."""
    return HeadAlone(head, points).apply(variables, *PYRAMID)


def started(head: Head, params: Any, points: int = 68) -> Any:
    """Fresh variables replaced by trained ones, as `init-from` does."""
    fresh = HeadAlone(head, points).init(jax.random.key(4), *PYRAMID)
    return start_from_run({"params": params}, fresh, "run")


@pytest.fixture(scope="module")
def trained() -> Any:
    """Parameters of a refined head whose later looks change something."""
    params = dict(HeadAlone(REFINED, 68).init(jax.random.key(1), *PYRAMID)["params"])
    for name in params:
        if name.startswith(LOOK) and "map" not in name:
            params[name] = {"kernel": 0.1 * jax.random.normal(jax.random.key(2), params[name]["kernel"].shape)}
    return params


def dense_part(params: Any) -> Any:
    """The parameters without those of later looks."""
    return {name: layer for name, layer in params.items() if not name.startswith(LOOK)}


@pytest.fixture(scope="module")
def first_look(trained: Any) -> Any:
    """What the dense head with the same parameters predicts."""
    prediction = predicted(DENSE, {"params": dense_part(trained)})
    assert float(jnp.abs(predicted(REFINED, {"params": trained}).landmarks - prediction.landmarks).max()) > 0.01
    return prediction


@pytest.mark.parametrize("head", [REFINED, RefinedHead("weighted", True, looks=1, channels=4)])
def test_later_looks_start_from_a_dense_head_that_they_do_not_change(
    head: RefinedHead, trained: Any, first_look: Any
) -> None:
    found = predicted(head, started(head, head.adopt(dense_part(trained), DENSE)))
    for name in OUTPUTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(first_look, name))


def test_other_channels_start_from_the_first_look(trained: Any, first_look: Any) -> None:
    head = dataclasses.replace(REFINED, channels=4)
    found = predicted(head, started(head, head.adopt(trained, REFINED)))
    for name in OUTPUTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(first_look, name))


@pytest.mark.parametrize("looks", [1, 3])
def test_with_fewer_looks_the_earlier_ones_stay_and_a_further_one_changes_nothing(looks: int, trained: Any) -> None:
    head, before = dataclasses.replace(REFINED, looks=looks), predicted(REFINED, {"params": trained})
    found = predicted(head, started(head, head.adopt(trained, REFINED)))
    for name in OUTPUTS:
        np.testing.assert_array_equal(getattr(found, name), getattr((*before.earlier, before)[min(looks, 2)], name))


def test_all_layers_are_kept_and_visibility_may_go(trained: Any) -> None:
    assert REFINED.adopt(trained, REFINED) == trained
    without = dataclasses.replace(REFINED, visible=False).adopt(trained, REFINED)
    assert set(trained) - set(without) == {VISIBLE, change_layer(1, "visible"), change_layer(2, "visible")}


def test_a_dense_head_does_not_start_from_half_of_a_refined_one(trained: Any) -> None:
    with pytest.raises(ConfigError, match="refined") as caught:
        DENSE.adopt(trained, REFINED)
    assert caught.value.field == "model.head.name"


def test_another_scheme_starts_from_the_first_look(trained: Any, first_look: Any) -> None:
    params = REFINED.convert(trained, point_weights("five_points"))
    found = predicted(REFINED, started(REFINED, params, 5), 5)
    np.testing.assert_allclose(
        found.landmarks, convert_landmarks(np.asarray(first_look.landmarks), "five_points"), atol=1e-5
    )
