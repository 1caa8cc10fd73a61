"""What the values of a config may be."""

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

from flaxmark.config.schema import Config, DataConfig
from flaxmark.errors import ConfigError
from flaxmark.faces.markup import IBUG_68
from flaxmark.faces.markup_files import MARKUPS

Rule = tuple[bool, str, Any, str]
"""Whether it holds, the field, its value, and what it must be."""

# Where a number may lie: ( and ) leave the end out, [ and ] include it. Fields that may be none are not checked then.
MOST_SAMPLES = 16
INTERVALS = {
    "data.max_megapixels": "(0, 10000]",
    "data.drawn_train": "[1, 10000000]",
    "data.drawn_validation": "[1, 1000000]",
    "data.drawn_size": "[32, 2048] pixels",
    "data.crop.scale": "(0.5, 10]",
    "data.crop.margin": "[1, 10]",
    "data.crop.stored_size": "[32, 4096] pixels",
    "data.image_size": "[64, 2048] pixels",
    "data.pixel_std": "(0, inf)",
    "data.augment.rotation": "[0, 180] degrees",
    "data.augment.scale": "[0, 1)",
    "data.augment.shift": "[0, 1]",
    "data.augment.brightness": "[0, 1]",
    "data.augment.contrast": "[0, 1]",
    "data.augment.saturation": "[0, 1]",
    "data.augment.blur": "[0, 10]",
    "data.augment.occlusion": "[0, 1]",
    "model.head_init_scale": "[0, 100]",
    "loss.beta": "(0, inf)",
    "loss.pixels": "(0, inf) pixels",
    "optimizer.learning_rate": "(0, inf)",
    "optimizer.warmup_steps": "[0, inf) steps",
    "optimizer.halve_every": "(0, inf) epochs",
    "optimizer.weight_decay": "[0, inf)",
    "optimizer.clip_norm": "(0, inf)",
    "train.epochs": "[1, inf)",
    "train.batch_size": "[1, inf)",
    "train.accumulate": "[1, inf)",
    "train.seed": "[0, 4294967295]",
    "train.ema_decay": "(0, 1)",
    "train.log_every": "[1, inf) steps",
    "train.save_every": "[1, inf) steps",
    "train.validate_every": "[1, inf) epochs",
    "train.eval_batch_size": "[1, 65536]",
}


def check_config(config: Config, device_count: int = 1) -> None:
    """Refuse values that cannot work, before anything slow starts.

    Args:
        config: The resolved config.
        device_count: Devices of all processes.

    Raises:
        ConfigError: Names the field, its value and what it may be.
    """
    check_intervals(config)
    _check_rules(_data_rules(config.data) + _train_rules(config) + _batch_rules(config, device_count))


def check_data(data: DataConfig) -> None:
    """The same for the faces alone.

    Args:
        data: Which faces.

    Raises:
        ConfigError: As `check_config`.
    """
    check_intervals(Config(data=data))
    _check_rules(_data_rules(data))


def _check_rules(rules: list[Rule]) -> None:
    for holds, field, value, choice in rules:
        if not holds:
            raise ConfigError(f"--{field} {value}: must be {choice}")


def check_intervals(config: Config) -> None:
    """Every number is finite and lies where `INTERVALS` says.

    Args:
        config: Also one that a checkpoint brings.

    Raises:
        ConfigError: As `check_config`.
    """
    for name, value in _numbers(config):
        interval = INTERVALS.get(name, "(-inf, inf)")
        if not _inside(value, interval):
            where = "finite" if name not in INTERVALS else f"in {interval}"
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be {where}")


def _numbers(config: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Dotted names of all fields that hold numbers, and their values."""
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            yield from _numbers(value, f"{name}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield name, number


def _inside(value: float, interval: str) -> bool:
    """Whether a number lies in an interval such as `(0, 1] pixels`; infinity lies in none."""
    ends = interval.split(" ")
    low, high = float(ends[0][1:-1]), float(ends[1][:-1])
    above = low <= value if ends[0][0] == "[" else low < value
    below = value <= high if ends[1][-1] == "]" else value < high
    return abs(value) <= sys.float_info.max and above and below  # also for whole numbers that no float can hold


def _data_rules(data: DataConfig) -> list[Rule]:
    """Pictures and lists."""
    lists_go_together = (data.train_list is None) == (data.validation_list is None)
    markup = data.markup
    return [
        (
            data.name not in ("ibug_300w", "dlib") or markup.num_points == IBUG_68.num_points,
            "data.markup",
            markup.name,
            f"one of {IBUG_68.num_points} points, which is what 300-W has",
        ),
        (
            data.name != "drawn_faces" or MARKUPS.get(markup.name) == markup,
            "data.markup",
            markup.name,
            f"one of {', '.join(MARKUPS)} for drawn_faces",
        ),
        (
            not data.augment.flip or markup.flip_order is not None,
            "data.augment.flip",
            data.augment.flip,
            f"off: mark-up {markup.name} has no flip_order",
        ),
        (
            data.crop.stored_size <= MOST_SAMPLES * data.image_size * (1 - data.augment.scale),
            "data.image-size",
            data.image_size,
            f"at least 1/{MOST_SAMPLES} of data.crop.stored-size / (1 - data.augment.scale): a pixel would be made of "
            f"more than {MOST_SAMPLES} x {MOST_SAMPLES} samples",
        ),
        (lists_go_together, "data.train-list", data.train_list, "given together with --data.validation-list"),
        (
            data.train_list is None or data.train_list != data.validation_list,
            "data.validation-list",
            data.validation_list,
            "another file than --data.train-list",
        ),
        (
            data.name != "drawn_faces" or data.train_list is None,
            "data.train-list",
            data.train_list,
            "none for drawn_faces, which has no files",
        ),
    ]


def _train_rules(config: Config) -> list[Rule]:
    """The loss and the length of the run."""
    profile = config.train.profile_steps
    return [
        (
            (config.loss.name == "nll") == config.model.sigma,
            "model.sigma",
            config.model.sigma,
            "on with --loss.name nll and off with all others",
        ),
        (
            profile is None or 1 <= profile[0] <= profile[1],
            "train.profile-steps",
            profile,
            "a first step of at least 1 and a last one not before it",
        ),
    ]


def _batch_rules(config: Config, device_count: int) -> list[Rule]:
    """How batches are dealt out."""
    train, group = config.train, config.model.batch_norm_group
    shared = train.batch_size // train.accumulate // (device_count if train.compile == "pmap" else 1)
    return [
        (
            train.batch_size % (train.accumulate * device_count) == 0,
            "train.batch-size",
            train.batch_size,
            f"a multiple of train.accumulate x devices = {train.accumulate} x {device_count}",
        ),
        (
            group is None or (group >= 1 and shared % group == 0),
            "model.batch-norm-group",
            group,
            f"a divisor of the {shared} faces that are normalised together",
        ),
        (
            train.eval_batch_size % device_count == 0,
            "train.eval-batch-size",
            train.eval_batch_size,
            f"a multiple of the {device_count} devices",
        ),
    ]
