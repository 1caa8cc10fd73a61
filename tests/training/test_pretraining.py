"""A run that starts from a config, which is trained first."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest
from helpers.networks import own_networks
from helpers.small_config import small_config

from flaxmark.config import DenseHead, ModelConfig, SmoothL1
from flaxmark.config.files import load_config
from flaxmark.errors import ConfigError
from flaxmark.storage.trained import load_trained
from flaxmark.training import loop
from flaxmark.training.first_weights import pretraining_config
from flaxmark.training.loop import train
from flaxmark.training.run_setup import describe_start

FIRST = """
import dataclasses
from helpers.small_config import small_config
from flaxmark.config import MAE

def get_config():
    config = small_config(batch_size=8, eval_batch_size=8)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, drawn_train=8, image_size=96),
        loss=MAE(),
        train=dataclasses.replace(config.train, epochs=3),
    )
"""


@pytest.fixture
def network() -> Iterator[ModelConfig]:
    """A network that compiles in a moment."""
    with own_networks():

        @dataclasses.dataclass(frozen=True)
        class OneConvolution(ModelConfig):
            name = "test_one_convolution"

            def features(self, images: jax.Array, layers: Any) -> jax.Array:
                return nn.relu(layers.norm("norm1", after="conv1")(layers.conv(16, 7, 16, "conv1")(images)))

        yield OneConvolution(head=DenseHead("weighted"))


@pytest.fixture
def standard_promotion() -> Iterator[None]:
    """As in a program of the user's own: optax mixes its integer count with floats."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def config(network: ModelConfig, tmp_path: Path) -> Any:
    """A run on drawn faces that starts from a file."""
    (tmp_path / "first.py").write_text(FIRST)
    config = small_config(batch_size=8, eval_batch_size=8)
    model = dataclasses.replace(network, init_from=str(tmp_path / "first.py"))
    return dataclasses.replace(config, model=model, loss=SmoothL1(0.02))


def test_network_input_and_loss_are_the_runs_own_and_the_rest_is_the_files(config: Any) -> None:
    first: Any = pretraining_config(config)
    assert first.model == dataclasses.replace(config.model, init_from=None)
    assert first.loss == config.loss
    assert (first.data.image_size, first.data.drawn_train) == (config.data.image_size, 8)
    assert first.train.epochs == 3
    assert pretraining_config(first) is None


def test_statistics_stay_where_the_file_says_so_and_memory_is_used_as_in_this_run() -> None:
    config = small_config(batch_size=12, accumulate=3, eval_batch_size=6)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, init_from="few_faces.py"))
    first: Any = pretraining_config(config)
    assert first.model == dataclasses.replace(config.model, init_from="flaxmark", freeze_batch_norm=True)
    assert (first.train.batch_size, first.train.accumulate, first.train.eval_batch_size) == (10, 3, 6)


@pytest.mark.usefixtures("standard_promotion")
def test_the_file_is_trained_first_and_only_once(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    start = loop.start_from_weights

    def note(config: Any, state: Any, name: str | None) -> Any:
        started.append((name, start(config, state, name)[0].params))
        return started[-1][1] and start(config, state, name)

    monkeypatch.setattr(loop, "start_from_weights", note)
    workdir = tmp_path / "run"
    result = train(config, workdir)
    first = workdir / "pretraining"
    assert json.loads((first / "config.json").read_text())["train"]["epochs"] == 3
    assert [name for name, _ in started] == [None, str(first)]
    best, _ = load_trained(first)
    np.testing.assert_array_equal(started[1][1]["head"]["kernel"], best["params"]["head"]["kernel"])
    before = (first / "result.json").stat().st_mtime_ns
    (workdir / "result.json").unlink()  # as if the last part had been stopped
    again = train(config, workdir)
    assert len(started) == 2
    assert (first / "result.json").stat().st_mtime_ns == before
    assert json.dumps(again["rows"]) == json.dumps(result["rows"])


def test_a_file_that_starts_from_a_file_is_refused(config: Any, tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(
        FIRST.replace("loss=MAE()", "model=dataclasses.replace(config.model, init_from='second.py')")
    )
    with pytest.raises(ConfigError) as caught:
        pretraining_config(config)
    assert caught.value.field == "model.init_from"


def test_a_missing_file_is_noticed_before_anything_is_written(config: Any, tmp_path: Path) -> None:
    (tmp_path / "first.py").unlink()
    with pytest.raises(ConfigError) as caught:
        train(config, tmp_path / "run")
    assert (caught.value.field, caught.value.value) == ("model.init_from", str(tmp_path / "first.py"))
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("standard_promotion")
def test_an_error_of_the_first_run_says_that_it_is_about_that(config: Any, tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(FIRST.replace("batch_size=8,", "batch_size=32,"))
    with pytest.raises(ConfigError, match=r"train\.batch_size 32: in pretraining with .*first\.py: "):
        train(config, tmp_path / "run")


def test_few_faces_from_trained_weights_are_pointed_to_their_recipe() -> None:
    usual = load_config("shipped_then_real")
    assert "few_faces" in describe_start(usual, faces=50)["start"]
    assert "few_faces" not in describe_start(usual, faces=500)["start"]
    assert "few_faces" not in describe_start(load_config("few_faces"), faces=50)["start"]
    # Another network cannot start from the weights that few_faces starts from.
    assert "few_faces" not in describe_start(load_config("drawn_then_real", 50), faces=50)["start"]
    assert describe_start(load_config("resnet18_112px"), faces=50) == {}
