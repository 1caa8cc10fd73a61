"""Networks of other people: without normalisation, with `layers.norm`, and with layers of Flax that keep statistics."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.networks import own_networks
from helpers.quick import quick_jit

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.errors import ConfigError
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.models.batch_norm import fold_batch_norm
from flaxmark.models.heads import Head
from flaxmark.models.losses import MSE
from flaxmark.models.model import Layers, ModelConfig, all_variants, find_variant, make_model
from flaxmark.models.refined_head import RefinedHead
from flaxmark.schema import from_dict, to_dict
from flaxmark.storage.packed import load_packed, pack
from flaxmark.storage.trained import load_trained

FACE = np.random.default_rng(0).uniform(0.2, 0.8, (5, 2)).astype(np.float32)
IMAGES = jax.random.normal(jax.random.key(1), (4, 64, 64, 3))


def two_maps() -> type[ModelConfig]:
    """A network with two feature maps, whose head looks again at them."""

    @dataclasses.dataclass(frozen=True)
    class TwoMaps(ModelConfig):
        """Two feature maps, as a list."""

        name = "test_two_maps"
        head: Head = RefinedHead(channels=4)

        def features(self, images: jax.Array, layers: Layers) -> list[jax.Array]:
            fine = nn.relu(layers.norm("norm1", after="conv1")(layers.conv(8, 3, 4, "conv1")(images)))
            return [fine, nn.relu(layers.conv(8, 3, 2, "conv2")(fine))]

    return TwoMaps


@pytest.fixture(autouse=True, scope="module")
def networks() -> Iterator[dict[str, ModelConfig]]:
    """Name -> config; the names are forgotten afterwards."""
    with own_networks():

        @dataclasses.dataclass(frozen=True)
        class Plain(ModelConfig):
            name = "test_plain"
            width: int = 8

            def features(self, images: jax.Array, layers: Layers) -> jax.Array:
                return nn.relu(layers.conv(self.width, 3, 2, "conv1")(images))

        @dataclasses.dataclass(frozen=True)
        class Normed(ModelConfig):
            """A pair of conv and norm, a norm without a convolution, and one after a convolution with a bias."""

            name = "test_normed"

            def features(self, images: jax.Array, layers: Layers) -> jax.Array:
                x = layers.norm("norm_in")(images)
                x = nn.relu(layers.norm("norm1", after="conv1")(layers.conv(8, 3, 2, "conv1")(x)))
                x = nn.Conv(8, (3, 3), dtype=layers.dtype, bias_init=nn.initializers.ones, name="conv2")(x)
                return layers.max_pool(nn.relu(layers.norm("norm2", after="conv2")(x)))

        @dataclasses.dataclass(frozen=True)
        class Foreign(ModelConfig):
            """BatchNorm of Flax under names like ours, beside a pair of ours, in a module of its own."""

            name = "test_foreign"

            def features(self, images: jax.Array, layers: Layers) -> jax.Array:
                class Block(nn.Module):
                    @nn.compact
                    def __call__(self, x: jax.Array) -> jax.Array:
                        x = nn.Conv(8, (3, 3), (2, 2), use_bias=False, name="conv1")(x)
                        x = nn.BatchNorm(use_running_average=not layers.train, name="norm1")(x)
                        x = nn.relu(layers.norm("norm2", after="conv2")(layers.conv(8, 3, 1, "conv2")(x)))
                        return nn.BatchNorm(use_running_average=not layers.train, use_scale=False, use_bias=False)(x)

                return Block(name="block")(images)

        @dataclasses.dataclass(frozen=True)
        class PreActivation(ModelConfig):
            """Norms before the convolutions that have their numbers, as in He et al., 2016 (arXiv:1603.05027)."""

            name = "test_pre_activation"

            def features(self, images: jax.Array, layers: Layers) -> jax.Array:
                x = layers.conv(8, 3, 2, "conv0")(images)
                x = layers.conv(8, 3, 2, "conv1")(nn.relu(layers.norm("norm1")(x)))
                return layers.conv(8, 3, 1, "conv2")(nn.relu(layers.norm("norm2", after="conv1")(x)))

        kinds = (Plain, Normed, Foreign, PreActivation, two_maps())
        yield {kind.name: kind(head_init_scale=1.0) for kind in kinds}


NAMES = ["test_plain", "test_normed", "test_foreign", "test_pre_activation", "test_two_maps"]
LEFT = {
    "test_plain": 0,
    "test_normed": 0,
    "test_foreign": 4,
    "test_pre_activation": 0,
    "test_two_maps": 0,
}  # arrays of statistics after folding


def trained(config: ModelConfig) -> Any:
    """After some steps, with statistics and scales that are far from their start."""
    model, loss, optimizer = make_model(config, 5), MSE(), optax.adam(3e-2)

    @quick_jit
    def step(variables: Any, state: Any) -> Any:
        def value(params: Any) -> Any:
            prediction, stats = model.apply(dict(variables, params=params), 3 * IMAGES + 1, True)
            return loss(prediction, jnp.full((4, 5, 2), 0.3)).mean(), stats

        (found, stats), gradient = jax.value_and_grad(value, has_aux=True)(variables["params"])
        updates, state = optimizer.update(gradient, state)
        return {"params": optax.apply_updates(variables["params"], updates), "batch_stats": stats}, state, found

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # Flax's own BatchNorm needs it
        variables = model.init(jax.random.key(0), FACE)
        state, losses = optimizer.init(variables["params"]), []
        for _ in range(30):
            variables, state, found = step(variables, state)
            losses.append(float(found))
    assert losses[-1] < 0.2 * losses[0]
    return variables


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_folds_packs_and_predicts_the_same(
    networks: dict[str, ModelConfig], name: str, tmp_path: Path
) -> None:
    config = networks[name]
    variables = trained(config)
    plain, folded = make_model(config, 5), make_model(config, 5, folded=True)
    with jax.numpy_rank_promotion("allow"):
        expected, _ = plain.apply(variables, IMAGES, False)
        small = folded.fold(variables)
        found, _ = folded.apply(small, IMAGES, False)
    assert float(jnp.abs(expected.landmarks - expected.landmarks[:1]).max()) > 1e-3  # it depends on the image
    np.testing.assert_allclose(found.landmarks, expected.landmarks, rtol=1e-4, atol=1e-5)
    assert len(jax.tree.leaves(small["batch_stats"])) == LEFT[name]

    metadata = {"config": to_dict(Config(data=DataConfig(markup=FIVE_POINTS, image_size=64), model=config))}
    pack(small, metadata, tmp_path / "x.safetensors")
    loaded, _ = load_packed(tmp_path / "x.safetensors")
    assert jax.tree.structure(loaded) == jax.tree.structure(small)
    with jax.numpy_rank_promotion("allow"):
        again, _ = folded.apply(loaded, IMAGES, False)
    np.testing.assert_allclose(again.landmarks, expected.landmarks, atol=0.02)  # kernels in 8 bits
    unfolded, _ = load_trained(tmp_path / "x.safetensors")
    assert jax.tree.structure(unfolded) == jax.tree.structure(variables)
    with jax.numpy_rank_promotion("allow"):
        trainable, _ = plain.apply(unfolded, IMAGES, False)
    np.testing.assert_allclose(trainable.landmarks, again.landmarks, rtol=1e-4, atol=1e-5)


def test_configs_choose_them_by_name(networks: dict[str, ModelConfig]) -> None:
    config = from_dict({"name": "test_plain", "width": 4}, ModelConfig)
    assert (config.title, config.variant, config.relative_cost) == ("test_plain", "test_plain", 1.0)
    assert from_dict(to_dict(config), ModelConfig) == config
    assert set(NAMES) < set(all_variants())
    assert find_variant("test_plain") == (type(config), {})
    with pytest.raises(ConfigError):
        find_variant("test_nothing")


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ConfigError):

        class Another(ModelConfig):
            name = "resnet"

    assert ModelConfig.member("resnet").__name__ == "ResNetConfig"


def test_only_a_norm_that_follows_a_convolution_is_folded_into_it(networks: dict[str, ModelConfig]) -> None:
    model = make_model(networks["test_pre_activation"], 5, folded=True)
    params = model.fold(make_model(networks["test_pre_activation"], 5).init(jax.random.key(0), FACE))["params"]
    assert set(params["norm1"]) == {"scale", "bias"}
    assert set(params["norm2"]) == {"bias"}


def test_a_norm_after_a_convolution_that_is_not_there() -> None:
    shapes = {"params": {}, "convolutions": {"norm1": {"conv9": 0}}}
    channels = jnp.ones(3)
    variables = {
        "params": {"norm1": {"scale": channels, "bias": channels}},
        "batch_stats": {"norm1": {"mean": channels, "var": channels}},
    }
    with pytest.raises(ConfigError) as caught:
        fold_batch_norm(variables, shapes)
    assert "conv9" in caught.value.reason
