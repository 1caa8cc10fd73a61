"""The least number of steps of a run."""

import dataclasses

import pytest

from flaxmark.config import Config, TrainConfig
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
