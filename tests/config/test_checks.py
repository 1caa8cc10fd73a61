"""Values that cannot work are refused with their field, and every number has bounds."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest

from flaxmark.config import (
    AugmentConfig,
    Config,
    CropDefinition,
    DataConfig,
    GaussianNLL,
    Head,
    Loss,
    ModelConfig,
    OptimizerConfig,
    ResNetConfig,
    SmoothL1,
    TrainConfig,
    bounded,
)
from flaxmark.config.checks import check_config
from flaxmark.errors import ConfigError
from flaxmark.schema import check_bounds

# Any finite value will do; profile_steps has a check of its own.
UNBOUNDED = {"DataConfig.pixel_mean", "TrainConfig.profile_steps"}
MEMBERS: list[type[Any]] = [
    *Loss.members.values(), *ModelConfig.members.values(), *Head.members.values(), *AugmentConfig.members.values(),
]  # fmt: skip
KINDS: list[type[Any]] = [Config, DataConfig, CropDefinition, OptimizerConfig, TrainConfig, *MEMBERS]
PMAP = TrainConfig(compile="pmap")


def parts_of(kind: Any) -> set[Any]:
    """A type and the types that it is made of."""
    return {kind}.union(*(parts_of(part) for part in get_args(kind)))


def numeric_fields() -> Iterator[tuple[type[Any], dataclasses.Field[Any]]]:
    """Fields of all configs that hold numbers, alone, in a tuple, or beside None."""
    for kind in dict.fromkeys(KINDS):
        types = get_type_hints(kind)
        yield from ((kind, field) for field in dataclasses.fields(kind) if parts_of(types[field.name]) & {int, float})


def named(kind: type[Any], field: dataclasses.Field[Any]) -> str:
    """Such as `TrainConfig.epochs`."""
    return f"{kind.__name__}.{field.name}"


FIELDS = {named(kind, field): (kind, field) for kind, field in numeric_fields()}


def test_configs_are_found() -> None:
    assert {"TrainConfig.epochs", "SmoothL1.beta", "ResNetConfig.batch_norm_group"} <= set(FIELDS)
    assert set(FIELDS) >= UNBOUNDED


@pytest.mark.parametrize("name", FIELDS)
def test_every_number_has_bounds_or_is_known_to_need_none(name: str) -> None:
    kind, field = FIELDS[name]
    assert ("interval" in field.metadata) == (name not in UNBOUNDED)
    check_bounds(kind())
    one = getattr(kind(), field.name)
    for number in (math.nan, math.inf, -math.inf):
        spoilt = (number, *one[1:]) if isinstance(one, tuple) else (number, 2) if name in UNBOUNDED else number
        with pytest.raises(ConfigError) as caught:
            check_bounds(dataclasses.replace(kind(), **{field.name: spoilt}), "some.")
        assert caught.value.field == f"some.{field.name}"
        assert caught.value.value is number


@pytest.mark.parametrize("name", sorted(set(FIELDS) - UNBOUNDED))
def test_the_ends_of_an_interval_count_as_it_says(name: str) -> None:
    kind, field = FIELDS[name]
    low, high = field.metadata["interval"].split(" ")[:2]
    for end, includes, outwards in ((low[1:-1], low[0] == "[", -1), (high[:-1], high[-1] == "]", 1)):
        if not math.isfinite(float(end)):
            continue
        number = int(end) if float(end).is_integer() else float(end)

        def refused(value: float) -> bool:
            values = (value,) * 3 if isinstance(getattr(kind(), field.name), tuple) else value
            try:
                check_bounds(dataclasses.replace(kind(), **{field.name: values}))
            except ConfigError:
                return True
            return False

        assert refused(number) != includes
        assert refused(number + outwards)
        assert not refused(number - outwards * 1e-6)


@pytest.mark.parametrize(
    ("config", "devices", "field"),
    [
        (Config(train=TrainConfig(batch_size=30)), 8, "train.batch_size"),
        (Config(train=TrainConfig(batch_size=32, accumulate=5)), 1, "train.batch_size"),
        (Config(train=TrainConfig(eval_batch_size=60)), 8, "train.eval_batch_size"),
        (Config(train=TrainConfig(epochs=0)), 1, "train.epochs"),
        (Config(train=TrainConfig(profile_steps=(5, 4))), 1, "train.profile_steps"),
        (Config(train=TrainConfig(profile_steps=(0, 4))), 1, "train.profile_steps"),
        (Config(loss=GaussianNLL()), 1, "model.sigma"),
        (Config(model=ResNetConfig(sigma=True)), 1, "model.sigma"),
        (Config(model=ResNetConfig(batch_norm_group=12)), 1, "model.batch_norm_group"),
        (
            Config(model=ResNetConfig(batch_norm_group=8), train=TrainConfig(compile="pmap")),
            8,
            "model.batch_norm_group",
        ),
        (Config(loss=SmoothL1(beta=-1)), 1, "loss.beta"),
        (Config(optimizer=OptimizerConfig(learning_rate=-1)), 1, "optimizer.learning_rate"),
        (Config(optimizer=OptimizerConfig(name="adam", weight_decay=0.05)), 1, "optimizer.weight_decay"),
        (Config(optimizer=OptimizerConfig(name="adam", decay_all=True)), 1, "optimizer.decay_all"),
        (Config(data=DataConfig(image_size=32)), 1, "data.image_size"),
        (Config(data=DataConfig(image_size=64, crop=CropDefinition(stored_size=2000))), 1, "data.image_size"),
        (Config(data=DataConfig(train_list="x")), 1, "data.train_list"),
        (Config(data=DataConfig(name="drawn_faces", train_list="x", validation_list="y")), 1, "data.train_list"),
        (Config(data=DataConfig(train_list="x", validation_list="x")), 1, "data.validation_list"),
        (Config(data=DataConfig(augment=AugmentConfig(brightness=math.nan))), 1, "data.augment.brightness"),
        (Config(data=DataConfig(crop=CropDefinition(scale=math.inf))), 1, "data.crop.scale"),
    ],
)
def test_impossible_values_are_named(config: Config, devices: int, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(config, devices)
    assert caught.value.field == field
    assert caught.value.value is not None or field == "data.validation_list"


def test_the_defaults_hold_together() -> None:
    check_config(Config())
    check_config(Config(loss=GaussianNLL(), model=ResNetConfig(sigma=True)))


@pytest.mark.parametrize("interval", ["", ">0", "0, 1", "(0,1]", "(a, 1]", "[0, 1", "[0, 1]px"])
def test_an_interval_that_is_none_is_named(interval: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bounded(0.5, interval)
    assert repr(interval) in caught.value.reason


def test_frozen_statistics_need_weights_to_start_from() -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(Config(model=ResNetConfig(freeze_batch_norm=True)))
    assert caught.value.field == "model.freeze_batch_norm"
    check_config(Config(model=ResNetConfig(freeze_batch_norm=True, init_from="flaxmark")))
