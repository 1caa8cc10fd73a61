"""Configs as JSON: of this version, and of version 0.1."""

import json
from typing import Any

import pytest
from helpers.commands import ROOT

from flaxmark.config import MAE, AugmentConfig, Config, DenseHead, GaussianNLL, ResNetConfig, SmoothL1, Wing
from flaxmark.config.files import load_config
from flaxmark.errors import ConfigError
from flaxmark.faces.markup_files import MARKUPS
from flaxmark.schema import from_dict, to_dict

NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", NAMES)
def test_a_config_survives_json(name: str) -> None:
    config = load_config(name)
    assert from_dict(json.loads(json.dumps(to_dict(config))), Config) == config


def test_every_loss_and_markup_survives_json() -> None:
    for loss in (MAE(), SmoothL1(0.3), Wing(100.0), GaussianNLL()):
        config = Config(loss=loss)
        assert from_dict(json.loads(json.dumps(to_dict(config))), Config) == config
    for name, markup in MARKUPS.items():
        assert from_dict({"data": {"markup": name}}, Config).data.markup == markup


# As checkpoints of version 0.1 hold it, without the fields that are as they still are.
OLD: dict[str, Any] = {
    "data": {"name": "drawn_faces", "markup": "ibug_68", "augment": {"rotation": 30, "flip": True}},
    "model": {"depth": 18, "sigma": True, "kernel_init": "he_normal", "batch_norm_group": None},
    "loss": {"name": "nll", "beta": 0.02, "pixels": 256.0},
    "train": {"epochs": 2, "profile_steps": [3, 4]},
}


def test_a_config_of_version_0_1_is_read() -> None:
    config = from_dict(json.loads(json.dumps(OLD)), Config)
    assert config.model == ResNetConfig(depth=18, sigma=True)
    assert config.model.head == DenseHead()
    assert config.loss == GaussianNLL()
    assert config.data.augment == AugmentConfig(rotation=30, flip=True)
    assert config.train.profile_steps == (3, 4)
    for loss, expected in (
        ({"name": "smooth_l1", "beta": 0.02, "pixels": 256.0}, SmoothL1(0.02)),
        ({"name": "wing", "beta": 1.0, "pixels": 112.0}, Wing(112.0)),
        ({"name": "mae", "beta": 1.0}, MAE()),
        ({"beta": 0.5}, SmoothL1(0.5)),
    ):
        assert from_dict({"loss": loss}, Config).loss == expected


def test_missing_fields_are_at_their_defaults() -> None:
    assert from_dict({}, Config) == Config()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"colour": 1}, "colour"),
        ({"model": {"colour": 1}}, "model.colour"),
        ({"loss": {"name": "mae", "colour": 1}}, "loss.colour"),
        ({"loss": {"name": "no_such_loss"}}, "loss.name"),
        ({"model": {"name": "no_such_network"}}, "model.name"),
        ({"model": {"head": {"name": "no_such_head"}}}, "model.head.name"),
        ({"model": {"depth": 19}}, "model.depth"),
        ({"train": {"epochs": "many"}}, "train.epochs"),
        ({"data": {"crop": []}}, "data.crop"),
        ({"data": {"markup": "no_such_markup"}}, "data.markup"),
    ],
)
def test_what_this_version_does_not_know_is_named(values: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(values, Config)
    assert caught.value.field == field


@pytest.mark.parametrize("values", [[], None, 3, "x"])
def test_something_else_than_an_object(values: Any) -> None:
    with pytest.raises(ConfigError):
        from_dict(values, Config)
