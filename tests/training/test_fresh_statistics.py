"""Validation in the first steps of a run, when BatchNorm's running averages have not arrived."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.networks import own_networks
from helpers.quick import quick_jit
from helpers.runs import load
from helpers.small_config import small_config

from flaxmark.config.config import OptimizerConfig
from flaxmark.models.model import Layers, ModelConfig, make_model
from flaxmark.training.loop import train

IMAGES = jax.random.normal(jax.random.key(0), (4, 64, 64, 3)) + 1


@pytest.fixture(scope="module")
def network() -> Iterator[ModelConfig]:
    """A network with two BatchNorms that compiles in a moment."""
    with own_networks():

        @dataclasses.dataclass(frozen=True)
        class TwoNorms(ModelConfig):
            name = "test_two_norms"

            group: int | None = None

            def features(self, images: jax.Array, layers: Layers) -> jax.Array:
                x = nn.relu(layers.norm("norm1", after="conv1")(layers.conv(16, 7, 4, "conv1")(images)))
                return nn.relu(layers.norm("norm2", self.group, after="conv2")(layers.conv(16, 3, 4, "conv2")(x)))

        yield TwoNorms()


@pytest.mark.parametrize("group", [None, 2])
def test_statistics_of_one_batch_are_its_share_of_the_running_averages(network: Any, group: int | None) -> None:
    model = make_model(dataclasses.replace(network, group=group))

    @quick_jit
    def both(variables: Any) -> Any:
        return model.statistics(variables, IMAGES), model.apply(variables, IMAGES, True)[1]

    variables = quick_jit(model.init)(jax.random.key(1), np.zeros((68, 2), np.float32))
    found, after = both(variables)
    jax.tree.map(
        lambda ours, old, new: np.testing.assert_allclose(0.9 * old + 0.1 * ours, new, rtol=1e-4, atol=1e-5),
        found,
        variables["batch_stats"],
        after,
    )
    assert float(jnp.abs(found["norm1"]["mean"]).max()) > 0.1


@pytest.mark.usefixtures("quick_runs")
def test_a_few_steps_are_measured_with_the_statistics_of_the_weights(network: ModelConfig, tmp_path: Path) -> None:
    best = {}
    for compile in ("jit", "pmap"):
        config = small_config(batch_size=8, eval_batch_size=8, epochs=3, ema_decay=0.99, compile=compile)
        config = dataclasses.replace(config, model=network, optimizer=OptimizerConfig(learning_rate=0.03))
        result, workdir = train(config, tmp_path / compile), tmp_path / compile
        logged = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])["nme"]
        assert logged == pytest.approx(result["rows"][0]["nme"], rel=1e-4)
        stored = load(workdir / "checkpoints" / "3")
        best[compile] = stored["model"]
        averaged, measured = (part["batch_stats"]["norm1"]["var"] for part in (stored["state"]["ema"], stored["model"]))
        # Averages that start at 1 have not arrived after three steps, where there is a way to go.
        far = abs(measured - 1) > 0.2
        assert far.sum() > 10 and (abs(measured - 1) > 2 * abs(averaged - 1))[far].all()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-3), best["jit"], best["pmap"])


@pytest.mark.usefixtures("quick_runs")
def test_so_are_a_few_steps_of_weights_that_were_trained_before(network: ModelConfig, tmp_path: Path) -> None:
    config = small_config(batch_size=8, eval_batch_size=8)
    config = dataclasses.replace(config, model=network, optimizer=OptimizerConfig(learning_rate=0.03))
    train(config, tmp_path / "first")
    again = dataclasses.replace(config, model=dataclasses.replace(network, init_from=str(tmp_path / "first")))
    train(again, tmp_path / "again")
    stored = load(tmp_path / "again" / "checkpoints" / "1")
    averaged, measured = (part["batch_stats"]["norm2"]["var"] for part in (stored["state"], stored["model"]))
    assert not np.allclose(averaged, measured, rtol=0.1)


@pytest.mark.usefixtures("quick_runs")
def test_statistics_that_stay_are_validated_as_they_are(network: ModelConfig, tmp_path: Path) -> None:
    config = small_config(batch_size=8, eval_batch_size=8)
    config = dataclasses.replace(config, model=network, optimizer=OptimizerConfig(learning_rate=0.03))
    train(config, tmp_path / "first")
    start = dataclasses.replace(network, init_from=str(tmp_path / "first"), freeze_batch_norm=True)
    train(dataclasses.replace(config, model=start), tmp_path / "again")
    before, after = (load(tmp_path / name / "checkpoints" / "1")["model"] for name in ("first", "again"))
    jax.tree.map(np.testing.assert_array_equal, before["batch_stats"], after["batch_stats"])
    assert not np.array_equal(before["params"]["head"]["kernel"], after["params"]["head"]["kernel"])
