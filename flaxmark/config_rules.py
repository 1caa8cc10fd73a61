"""What the values of a config may be."""

from typing import Any

from flaxmark.config import Config, ConfigError

Rule = tuple[bool, str, Any, str]
"""Whether it holds, the field, its value, and what it must be."""


def check_config(config: Config, device_count: int = 1) -> None:
    """Refuse values that cannot work, before anything slow starts.

    Args:
        config: The resolved config.
        device_count: Devices of all processes.

    Raises:
        ConfigError: Names the field, its value and what it may be.
    """
    for holds, field, value, choice in _data_rules(config) + _train_rules(config) + _batch_rules(config, device_count):
        if not holds:
            raise ConfigError(f"--{field} {value}: must be {choice}")


def _data_rules(config: Config) -> list[Rule]:
    """Pictures, crops and what changes them."""
    data, augment = config.data, config.data.augment
    lists_go_together = (data.train_list is None) == (data.validation_list is None)
    return [
        (data.image_size >= 64, "data.image-size", data.image_size, "at least 64 pixels"),
        (data.crop.scale > 0.5, "data.crop.scale", data.crop.scale, "above 0.5"),
        (data.crop.margin >= 1, "data.crop.margin", data.crop.margin, "at least 1"),
        (data.crop.stored_size >= 32, "data.crop.stored-size", data.crop.stored_size, "at least 32 pixels"),
        (min(data.pixel_std) > 0, "data.pixel-std", data.pixel_std, "above 0"),
        (0 <= augment.scale < 1, "data.augment.scale", augment.scale, "from 0 to below 1"),
        (lists_go_together, "data.train-list", data.train_list, "given together with data.validation-list"),
    ]


def _train_rules(config: Config) -> list[Rule]:
    """Loss, optimizer and the length of the run."""
    train, optimizer, profile, decay = (
        config.train,
        config.optimizer,
        config.train.profile_steps,
        config.train.ema_decay,
    )
    return [
        (config.loss.beta > 0, "loss.beta", config.loss.beta, "above 0"),
        (optimizer.learning_rate > 0, "optimizer.learning-rate", optimizer.learning_rate, "above 0"),
        (optimizer.halve_every > 0, "optimizer.halve-every", optimizer.halve_every, "above 0 epochs"),
        (train.epochs >= 1, "train.epochs", train.epochs, "at least 1"),
        (train.log_every >= 1, "train.log-every", train.log_every, "at least 1 step"),
        (decay is None or 0 < decay < 1, "train.ema-decay", decay, "between 0 and 1, or none"),
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
    shared = train.batch_size // max(1, train.accumulate) // (device_count if train.compile == "pmap" else 1)
    parts = train.accumulate * device_count
    return [
        (train.batch_size >= 1, "train.batch-size", train.batch_size, "at least 1"),
        (train.accumulate >= 1, "train.accumulate", train.accumulate, "at least 1"),
        (
            train.batch_size % max(1, parts) == 0,
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
            train.eval_batch_size >= 1 and train.eval_batch_size % device_count == 0,
            "train.eval-batch-size",
            train.eval_batch_size,
            f"a multiple of the {device_count} devices",
        ),
    ]
