"""The least number of steps of a run."""

import dataclasses
import json
from pathlib import Path

import pytest
from helpers.networks import one_convolution
from helpers.small_config import small_config

from flaxmark.config import Config, TrainConfig
from flaxmark.schema import to_dict
from flaxmark.storage.checkpoint import newest_metadata
from flaxmark.training.loop import train
from flaxmark.training.run_setup import with_enough_epochs


@pytest.mark.parametrize(
    ("faces", "batch", "least", "epochs"),
    [
        (50, 10, 200, 40),  # 5 steps an epoch
        (10, 10, 200, 200),
        (57, 10, 200, 40),  # the remainder of an epoch is dropped
        (1815, 10, 200, 20),
        (45, 10, 201, 51),  # 4 steps an epoch: 50 epochs are one step short
        (45, 10, None, 20),
    ],
)
def test_epochs_by_hand(faces: int, batch: int, least: int | None, epochs: int) -> None:
    config = Config(train=TrainConfig(epochs=20, batch_size=batch, min_steps=least))
    enough = with_enough_epochs(config, faces)
    assert enough.train.epochs == epochs
    assert dataclasses.replace(enough, train=config.train) == config


@pytest.mark.usefixtures("quick_runs")
def test_a_run_makes_them_and_keeps_its_config(tmp_path: Path) -> None:
    with one_convolution() as network:
        config = small_config(batch_size=8, eval_batch_size=8, min_steps=5)
        data = dataclasses.replace(config.data, drawn_train=16)  # two steps an epoch
        config = dataclasses.replace(config, data=data, model=network())
        result = train(config, tmp_path)
        assert result["history"][-1]["epoch"] == 3 and (tmp_path / "checkpoints" / "6").is_dir()
        stored = json.loads((tmp_path / "config.json").read_text())
        assert stored == newest_metadata(tmp_path)["config"] == json.loads(json.dumps(to_dict(config)))
        (tmp_path / "result.json").unlink()
        assert train(config, tmp_path)["rows"] == result["rows"]
