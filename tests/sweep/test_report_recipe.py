"""The recipe of the original test report, by flags of one run and by the cells of a sweep."""

import dataclasses

import pytest

from flaxmark.cli.runs import RunArguments, config_from_arguments
from flaxmark.config import DEPTHS, AugmentConfig, Config, DataConfig, Depth, OptimizerConfig, SmoothL1, TrainConfig
from flaxmark.config.files import load_config
from flaxmark.config.recipes import report
from flaxmark.models.losses import Loss
from flaxmark.models.resnet import ResNetConfig
from flaxmark.sweep.grid import make_cells

LOSSES = ("mse", "mae", "smooth_l1")


def config_of_old_file(depth: Depth, loss: str) -> Config:
    """Field by field what configs/report/resnetDEPTH_LOSS.py gave in version 0.1."""
    return Config(
        data=DataConfig(augment=AugmentConfig(rotation=10, scale=0.2, shift=0.05, blur=0.3)),
        model=ResNetConfig(depth=depth),
        loss=SmoothL1(1.0) if loss == "smooth_l1" else Loss.member(loss)(),
        optimizer=OptimizerConfig(name="adam", learning_rate=5e-4, schedule="step", halve_every=10),
        train=TrainConfig(epochs=20, batch_size=128),
    )


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("loss", LOSSES)
def test_flags_arguments_and_cells_give_the_recipe(depth: Depth, loss: str) -> None:
    expected = config_of_old_file(depth, loss)
    assert report(depth, loss) == expected
    assert load_config("report", depth, loss) == expected
    flags = ["--config", "report", "--model.depth", str(depth), "--loss.name", loss]
    assert config_from_arguments(RunArguments, "", flags).run == expected
    cell = make_cells((f"resnet{depth}",), (loss,), (3,))[0]
    in_sweep = cell.config(load_config("report", depth))
    assert in_sweep == dataclasses.replace(expected, train=dataclasses.replace(expected.train, seed=3))
