"""The dense head and its pooling."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxmark.config import DenseHead, Head, ResNetConfig
from flaxmark.data.drawn.other_markups import convert_landmarks, point_weights
from flaxmark.errors import ConfigError
from flaxmark.models.heads import FIRST_SIGMA, POOLING, VISIBLE, WAVES, Prediction, WeightedPooling, pooling_weights
from flaxmark.models.model import make_model
from flaxmark.models.pretrained import start_from_run
from flaxmark.models.resnet import features_size

MEAN_FACE = np.linspace(0.2, 0.8, 136).reshape(68, 2).astype(np.float32)


def weights_of(wave: tuple[int, int], size: int) -> np.ndarray:
    """Weights of one wave alone, `[size, size]`."""
    coefficients = np.zeros((WAVES, WAVES, 1))
    coefficients[wave] = 1
    return pooling_weights(coefficients, size)[..., 0]


@pytest.mark.parametrize("size", [4, 5, 7, 12])
def test_waves_are_orthonormal(size: int) -> None:
    waves = np.stack([weights_of((i, j), size).ravel() for i in range(WAVES) for j in range(WAVES)])
    np.testing.assert_allclose(waves @ waves.T / size**2, np.eye(WAVES**2), atol=1e-12)


def test_waves_by_hand() -> None:
    np.testing.assert_allclose(weights_of((0, 0), 2), np.ones((2, 2)))
    # sqrt(2) cos(pi / 4) = 1 at the first of two places, and -1 at the second.
    np.testing.assert_allclose(weights_of((0, 1), 2), [[1, -1], [1, -1]])
    np.testing.assert_allclose(weights_of((1, 0), 2), [[1, 1], [-1, -1]])


def test_the_constant_wave_is_the_mean() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 3))
    coefficients = np.zeros((WAVES, WAVES, 3), np.float32)
    coefficients[0, 0] = 1
    pooled = WeightedPooling().apply({"params": {"coefficients": coefficients}}, x)
    np.testing.assert_allclose(np.asarray(pooled), x.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)


def test_fresh_weights_tell_places_apart_and_a_mean_does_not() -> None:
    """One bright place, moved across the image: all that there is to see is where it is."""
    places = jnp.repeat(jnp.eye(25).reshape(25, 5, 5, 1), 64, axis=3)
    pooling = WeightedPooling()
    pooled = np.asarray(pooling.apply(pooling.init(jax.random.key(0), places), places))
    distances = np.linalg.norm(pooled[:, None] - pooled[None], axis=2) + np.eye(25)
    assert distances.min() > 0.1 * np.linalg.norm(pooled, axis=1).mean()
    assert np.ptp(places.mean(axis=(1, 2)), axis=0).max() < 1e-7


@pytest.mark.parametrize("size", [64, 97, 112, 224])
def test_features_size(size: int) -> None:
    config = ResNetConfig(depth=18)
    model = make_model(dataclasses.replace(config, head=DenseHead("weighted")))
    variables = jax.eval_shape(model.init, jax.random.key(0), MEAN_FACE)
    shapes: list[tuple[int, ...]] = []

    @dataclasses.dataclass(frozen=True)
    class Look(DenseHead):
        """Notes the shape of its input."""

        def predict(self, pyramid: Any, num_points: int, *, sigma: bool, init_scale: float) -> Any:
            """As `Head.predict`."""
            shapes.extend(features.shape for features in pyramid)
            return super().predict(pyramid, num_points, sigma=sigma, init_scale=init_scale)

    look = make_model(dataclasses.replace(config, head=Look("weighted")))
    jax.eval_shape(lambda v: look.apply(v, jnp.zeros((1, size, size, 3)), False), variables)
    sides = [features_size(size, stage) for stage in (1, 2, 3, 4)]
    assert shapes == [(1, side, side, 64 * 2**stage) for stage, side in enumerate(sides)]


def test_a_weighted_head_starts_from_a_mean_as_that_mean() -> None:
    mean = ResNetConfig(depth=18, head_init_scale=1)
    weighted = dataclasses.replace(mean, head=DenseHead("weighted"))
    variables = jax.jit(make_model(mean).init)(jax.random.key(1), MEAN_FACE)
    images = jax.random.normal(jax.random.key(2), (2, 80, 80, 3))
    expected, _ = make_model(mean).apply(variables, images, False)
    adopted = {**variables, "params": weighted.head.adopt(variables["params"], mean.head)}
    found, _ = make_model(weighted).apply(adopted, images, False)
    np.testing.assert_allclose(np.asarray(found.landmarks), expected.landmarks, atol=1e-5)
    assert float(jnp.abs(expected.landmarks - MEAN_FACE[None]).max()) > 0.1


@pytest.mark.parametrize("markup", ["five_points", "wflw_98"])
def test_a_head_for_another_scheme_predicts_the_same_face(markup: str) -> None:
    old = ResNetConfig(depth=18, head_init_scale=1, sigma=True, head=DenseHead("weighted", visible=True))
    variables = jax.jit(make_model(old).init)(jax.random.key(1), MEAN_FACE)
    images, weights = jax.random.normal(jax.random.key(2), (2, 80, 80, 3)), point_weights(markup)
    expected, _ = make_model(old).apply(variables, images, False)
    params = old.head.convert(variables["params"], weights)
    found, _ = make_model(old, len(weights)).apply({**variables, "params": params}, images, False)
    np.testing.assert_allclose(found.landmarks, convert_landmarks(np.asarray(expected.landmarks), markup), atol=1e-5)
    assert found.log_sigma is not None and expected.log_sigma is not None
    np.testing.assert_allclose(found.log_sigma, np.asarray(expected.log_sigma) @ weights.T, atol=1e-5)
    assert found.visible_logit is not None and expected.visible_logit is not None
    np.testing.assert_allclose(found.visible_logit, np.asarray(expected.visible_logit) @ weights.T, atol=1e-5)
    assert Head().convert(params, weights) is params


class HeadAlone(nn.Module):
    """A head for three points."""

    head: Head

    @nn.compact
    def __call__(self, features: jax.Array) -> Prediction:
        """As `Head.predict`."""
        return self.head.predict((features,), 3, sigma=True, init_scale=1.0)


def test_a_head_predicts_which_points_are_seen() -> None:
    alone = HeadAlone(DenseHead(visible=True))
    variables = alone.init(jax.random.key(0), jnp.zeros((1, 2, 2, 2)))
    first: Any = alone.apply(variables, jnp.zeros((1, 2, 2, 2)))
    np.testing.assert_allclose(jax.nn.sigmoid(first.visible_logit), np.full((1, 3), 0.9), rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(first.log_sigma), np.full((1, 3), FIRST_SIGMA), rtol=1e-5)
    layer = {"kernel": jnp.array([[1.0, 0, -1], [0.5, 0, 0]]), "bias": jnp.array([0.0, 1, 0])}
    features = jnp.array([[[[0.0, 2], [2, 2]], [[0, 2], [2, 2]]]])  # means 1 and 2
    found: Any = alone.apply({"params": variables["params"] | {VISIBLE: layer}}, features)
    np.testing.assert_allclose(found.visible_logit, [[2, 1, -1]], atol=1e-6)
    without: Any = HeadAlone(DenseHead()).apply(variables, features)
    assert without.visible_logit is None
    np.testing.assert_array_equal(without.landmarks, found.landmarks)


def test_a_run_with_visibility_starts_from_one_without() -> None:
    features, new, old = jnp.ones((1, 2, 2, 2)), DenseHead(visible=True), DenseHead()
    fresh, trained = (HeadAlone(head).init(jax.random.key(i), features) for i, head in enumerate((new, old)))
    own = {"params": new.adopt(trained["params"], old)}
    started = start_from_run(own, fresh, "run")["params"]
    assert set(started) == {"head", "head_sigma", VISIBLE}
    for name, source in (("head", trained), ("head_sigma", trained), (VISIBLE, fresh)):
        np.testing.assert_array_equal(started[name]["kernel"], source["params"][name]["kernel"])


def test_another_head_is_left_out_and_the_same_head_is_kept() -> None:
    @dataclasses.dataclass(frozen=True)
    class Other(Head):
        """Another head."""

    params = {"head": {"kernel": np.ones((512, 136))}, POOLING: {}, "stem_conv": {}}
    assert set(Other().adopt(params, DenseHead())) == {"stem_conv"}
    with pytest.raises(ConfigError, match="weighted") as caught:
        DenseHead().adopt(params, DenseHead("weighted"))
    assert caught.value.field == "model.head.pooling"
    assert DenseHead("weighted").adopt(params, DenseHead("weighted")) == params
    assert DenseHead().adopt(params, DenseHead()) == params


def test_a_dense_head_with_more_layers_keeps_them() -> None:
    @dataclasses.dataclass(frozen=True)
    class More(DenseHead):
        """With another layer."""

    params: dict[str, Any] = {"head": {}, "head_extra": {}, "stem_conv": {}}
    assert More().adopt(params, More()) == params
    assert set(More(visible=True).adopt(params, More())) == {"head", "stem_conv"}
    with pytest.raises(ConfigError) as caught:
        DenseHead().adopt(params, More())
    assert caught.value.field == "model.head.name"


def test_visibility_is_kept_or_left_out_and_nothing_else_changes() -> None:
    without: dict[str, Any] = {"head": {"kernel": np.ones((512, 136))}, "head_sigma": {}, "stem_conv": {}}
    params = without | {VISIBLE: {}}
    assert DenseHead(visible=True).adopt(without, DenseHead()) == without
    assert DenseHead(visible=True).adopt(params, DenseHead(visible=True)) == params
    assert DenseHead().adopt(params, DenseHead(visible=True)) == without
    assert set(DenseHead("weighted").adopt(params, DenseHead(visible=True))) == {*without, POOLING}
    assert set(DenseHead("weighted", True).adopt(params, DenseHead(visible=True))) == {*params, POOLING}
    with pytest.raises(ConfigError):
        DenseHead(visible=True).adopt(params, DenseHead("weighted", True))
