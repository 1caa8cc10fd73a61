import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flaxmark.cli.command import RunArguments, config_from_arguments, default_workdir
from helpers.quick import quick_jit
from helpers.commands import ROOT

from flaxmark.config.checks import INTERVALS, check_config
from flaxmark.config.config import Config, OptimizerConfig, TrainConfig
from flaxmark.config.files import load_config
from flaxmark.data.config import AugmentConfig, DataConfig
from flaxmark.errors import ConfigError
from flaxmark.faces.crop import CropDefinition
from flaxmark.models.losses import LossConfig
from flaxmark.models.model import ModelConfig
from flaxmark.models.resnet import DEPTHS, Prediction, make_model
from flaxmark.schema import from_dict, to_dict
from flaxmark.training.optimizer import make_optimizer, make_schedule
from flaxmark.training.train_state import TrainState, init_train_state
from flaxmark.training.train_step import make_train_step

CONFIGS = ROOT / "configs"
TABLE_LOSSES = ("mse", "mae", "smooth_l1")  # each has its configs
NAMES = [f"resnet{depth}_{loss}" for depth in DEPTHS for loss in TABLE_LOSSES]
# The two deepest take minutes to compile.
TRAINED = [pytest.param(name, marks=[pytest.mark.slow] if "101" in name or "152" in name else []) for name in NAMES]


@functools.cache
def compiled_step(depth: int) -> tuple[Callable[..., Any], TrainState]:
    """`(state, batch, which loss) -> (state, metrics)` and a first state.

    The three configs of a depth differ in their loss alone, which the step chooses when it runs: the network, whose
    compilation is what takes long, is compiled once.
    """
    configs = [load_config(CONFIGS / f"resnet{depth}_{loss}.py") for loss in TABLE_LOSSES]
    config = configs[0]
    assert all(dataclasses.replace(other, loss=config.loss) == config for other in configs)
    losses = [make_loss(other.loss) for other in configs]
    model = make_model(config.model)
    schedule = make_schedule(config.optimizer, 10, 100)
    optimizer = make_optimizer(config.optimizer, schedule)

    def step(state: TrainState, batch: dict[str, jax.Array], which: jax.Array) -> tuple[TrainState, dict]:
        def loss(prediction: Prediction, target: jax.Array) -> jax.Array:
            return jax.lax.switch(which, losses, prediction, target)

        decay = config.train.ema_decay
        return make_train_step(model, loss, optimizer, schedule, steps_per_epoch=9, ema_decay=decay)(state, batch)

    mean_face = np.full((68, 2), 0.5, np.float32)
    init = quick_jit(lambda key: init_train_state(key, model, optimizer, mean_face, True))
    return quick_jit(step), init(jax.random.key(0))


@pytest.mark.parametrize("name", TRAINED)
def test_every_config_takes_two_real_steps(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.py")
    assert name == f"resnet{config.model.depth}_{config.loss.name}"
    step, start = compiled_step(config.model.depth)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.normal(size=(2, 64, 64, 3)).astype(np.float32),
        "landmarks": rng.uniform(size=(2, 68, 2)).astype(np.float32),
        "mask": np.ones(2, np.float32),
    }
    state = start
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer count with floats
        for _ in range(2):
            state, metrics = step(state, batch, np.int32(TABLE_LOSSES.index(config.loss.name)))
    assert int(state.step) == 2
    assert np.isfinite(float(metrics["loss"]))
    for before, after in zip(jax.tree.leaves(start.params), jax.tree.leaves(state.params), strict=True):
        assert np.isfinite(after).all()
        assert np.abs(np.asarray(after) - np.asarray(before)).max() > 0


def test_the_table_starts_deep_networks_at_the_identity() -> None:
    table = CONFIGS / "table.py"
    assert [load_config(table, depth).model.zero_init_residual for depth in (18, 34, 152)] == [False, True, True]  # type: ignore[arg-type]
    assert load_config(table, 50).model.depth == 50
    assert load_config(CONFIGS / "quickstart.py", 50).model.depth == 18  # has its own


def test_all_configs_load_and_hold_together() -> None:
    for path in CONFIGS.rglob("*.py"):
        check_config(load_config(path))


def test_a_config_survives_json() -> None:
    config = load_config(CONFIGS / "resnet50_smooth_l1.py")
    json = importlib.import_module("json")
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    with pytest.raises(ConfigError, match="'colour'"):
        from_dict({"colour": 1}, Config)


def test_any_field_is_a_typed_flag() -> None:
    file = str(CONFIGS / "resnet34_mae.py")
    flags = ["--config", file, "--optimizer.learning-rate", "3e-4", "--data.augment.no-flip", "--model.depth=18"]
    parsed = config_from_arguments(RunArguments, "", flags)
    assert parsed.run.optimizer.learning_rate == 3e-4
    assert parsed.run.model.depth == 18
    assert not parsed.run.data.augment.flip
    assert parsed.run.loss.name == "mae"
    assert default_workdir(parsed) == "runs/resnet34_mae"
    assert default_workdir(config_from_arguments(RunArguments, "", ["--config", "report"])) == "runs/report"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--optimizer.learning-rat", "1"], "did you mean --optimizer.learning-rate"),
        (["--train.epochs", "many"], "--train.epochs: .*'many'"),
        (["--model.depth", "19"], "'19' for argument '--model.depth'.*'152'"),
        (["--loss.name", "hinge"], "'hinge'.*smooth_l1"),
        (["--train.profile-steps", "1"], "train.profile-steps: .*INT INT"),
        (["photo.jpg"], "photo.jpg"),
    ],
)
def test_bad_flags_are_one_clear_line(flags: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        config_from_arguments(RunArguments, "", flags)
    assert "\n" not in str(error.value)


def test_help_shows_fields_with_units(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        config_from_arguments(RunArguments, "", ["--help"])
    assert exit_info.value.code == 0
    text = capsys.readouterr().out
    assert "--data.augment.rotation" in text
    assert "degrees" in text


@pytest.mark.parametrize(
    ("config", "devices", "message"),
    [
        (Config(train=TrainConfig(batch_size=30)), 8, "train.batch-size 30.*8"),
        (Config(train=TrainConfig(batch_size=32, accumulate=5)), 1, "train.batch-size 32.*5"),
        (Config(train=TrainConfig(epochs=0)), 1, "train.epochs 0"),
        (Config(train=TrainConfig(profile_steps=(5, 4))), 1, "profile-steps"),
        (Config(loss=LossConfig("nll")), 1, "model.sigma False: must be on with --loss.name nll"),
        (Config(model=ModelConfig(batch_norm_group=12)), 1, "batch-norm-group 12.*32 faces"),
        (Config(model=ModelConfig(batch_norm_group=8), train=TrainConfig(compile="pmap")), 8, "group 8.*4 faces"),
        (Config(train=TrainConfig(ema_decay=1.0)), 1, "train.ema-decay 1.0"),
        (Config(optimizer=OptimizerConfig(learning_rate=-1)), 1, "optimizer.learning-rate -1"),
        (Config(data=DataConfig(image_size=32)), 1, r"image-size 32: must be in \[64, 2048\] pixels"),
        (Config(data=DataConfig(train_list="x")), 1, "train-list x"),
        (Config(data=DataConfig(name="drawn_faces", train_list="x", validation_list="y")), 1, "train-list x.*drawn"),
        (Config(data=DataConfig(train_list="x", validation_list="x")), 1, "validation-list x: must be another file"),
        (Config(data=DataConfig(augment=AugmentConfig(brightness=float("nan")))), 1, "augment.brightness nan"),
        (Config(data=DataConfig(augment=AugmentConfig(rotation=-30))), 1, "augment.rotation -30"),
        (Config(data=DataConfig(pixel_mean=(0.5, float("inf"), 0.5))), 1, "pixel-mean inf: must be finite"),
        (Config(data=DataConfig(crop=CropDefinition(scale=float("inf")))), 1, "crop.scale inf"),
        (Config(train=TrainConfig(seed=-1)), 1, "train.seed -1"),
        (Config(train=TrainConfig(save_every=0)), 1, "save-every 0"),
        (Config(optimizer=OptimizerConfig(clip_norm=0.0)), 1, "clip-norm 0"),
        (Config(optimizer=OptimizerConfig(learning_rate=float("inf"))), 1, "learning-rate inf"),
    ],
)
def test_impossible_values_are_named(config: Config, devices: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(config, devices)


def test_every_interval_is_of_a_field() -> None:
    fields = {name for name, _ in to_flat(to_dict(Config()))}
    assert fields >= set(INTERVALS)


def to_flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        yield from to_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]


@pytest.mark.parametrize(
    "text", ["", "def get_config(): return {}['x']", "def get_config(): return 3", "import nothing_like_this", "def ("]
)
def test_a_file_that_is_no_config(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.py"):
        load_config(tmp_path / "c.py")


def test_a_missing_config_lists_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "near.py").write_text("")
    with pytest.raises(ConfigError, match=r"no such file.*near\.py"):
        load_config(tmp_path / "far.py")
