"""Configs as version 0.1 wrote them into checkpoints: `model` without a name and a head, every loss with all fields."""

from typing import Any

import jax
import numpy as np
import pytest

from flaxmark.config.config import Config
from flaxmark.errors import ConfigError
from flaxmark.inference.network import SHIPPED
from flaxmark.models.heads import DenseHead
from flaxmark.models.losses import MAE, MSE, GaussianNLL, LogCosh, Loss, SmoothL1, SoftWing, Wing
from flaxmark.models.model import ModelConfig
from flaxmark.models.resnet import ResNetConfig
from flaxmark.schema import from_dict, to_dict
from flaxmark.storage.packed import load_packed

OLD_MODEL = {
    "depth": 18, "dtype": "float32", "zero_init_residual": False, "batch_norm_group": None, "sigma": True,
    "remat": False, "init_from": None, "kernel_init": "he_normal", "head_init_scale": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", MSE()),
        ("mae", MAE()),
        ("smooth_l1", SmoothL1(beta=0.02)),
        ("wing", Wing(pixels=64.0)),
        ("soft_wing", SoftWing(pixels=64.0)),
        ("log_cosh", LogCosh(pixels=64.0)),
        ("nll", GaussianNLL()),
    ],
)
def test_losses(name: str, expected: Loss) -> None:
    old = {"name": name, "beta": 0.02, "pixels": 64.0}
    loss = from_dict(old, Loss)
    assert loss == expected
    assert from_dict(to_dict(loss), Loss) == loss
    assert from_dict({"loss": old, "model": OLD_MODEL}, Config).loss == expected


def test_other_fields_are_still_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict({"loss": {"name": "mae", "gamma": 1.0}}, Config)
    assert caught.value.field == "loss.gamma"


def test_a_loss_without_a_name_was_smooth_l1() -> None:
    assert from_dict({"beta": 0.5}, Loss) == SmoothL1(0.5)


@pytest.mark.parametrize(("zero", "start"), [(False, "one"), (True, "zero")])
def test_networks(zero: bool, start: Any) -> None:
    model: Any = from_dict({**OLD_MODEL, "zero_init_residual": zero}, ModelConfig)
    assert model == ResNetConfig(depth=18, sigma=True, residual_init=start, head=DenseHead())
    kept = {name: value for name, value in OLD_MODEL.items() if name != "zero_init_residual"}
    head = {"name": "dense", "pooling": "mean", "visible": False}
    assert to_dict(model) == {
        "name": "resnet",
        "head": head,
        **kept,
        "residual_init": start,
        "freeze_batch_norm": False,
    }


def test_the_shipped_network() -> None:
    variables, metadata = load_packed(SHIPPED)
    config = from_dict(metadata["config"], Config)
    assert config.model.title == "ResNet-18"
    assert to_dict(from_dict(to_dict(config), Config)) == to_dict(config)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
