"""What the values of a config may be."""

from flaxmark.config import Config, ConfigError


def check_config(config: Config, device_count: int = 1) -> None:
    """Refuse values that cannot work, before anything slow starts.

    Args:
        config: The resolved config.
        device_count: Devices of all processes.

    Raises:
        ConfigError: Names the field, its value and what it may be.
    """
    train, data, augment = config.train, config.data, config.data.augment
    group = config.model.batch_norm_group
    shared = train.batch_size // max(1, train.accumulate) // (device_count if train.compile == "pmap" else 1)
    rules = [
        (data.image_size >= 64, "data.image-size", data.image_size, "at least 64 pixels"),
        (data.crop.scale > 0.5, "data.crop.scale", data.crop.scale, "above 0.5"),
        (data.crop.margin >= 1, "data.crop.margin", data.crop.margin, "at least 1"),
        (data.crop.stored_size >= 32, "data.crop.stored-size", data.crop.stored_size, "at least 32 pixels"),
        (min(data.pixel_std) > 0, "data.pixel-std", data.pixel_std, "above 0"),
        (0 <= augment.scale < 1, "data.augment.scale", augment.scale, "from 0 to below 1"),
        (config.loss.beta > 0, "loss.beta", config.loss.beta, "above 0"),
        (config.optimizer.learning_rate > 0, "optimizer.learning-rate", config.optimizer.learning_rate, "above 0"),
        (config.optimizer.halve_every > 0, "optimizer.halve-every", config.optimizer.halve_every, "above 0 epochs"),
        (train.epochs >= 1, "train.epochs", train.epochs, "at least 1"),
        (0 <= train.small_epochs <= train.epochs, "train.small-epochs", train.small_epochs, "from 0 to train.epochs"),
        (train.small_size >= 64, "train.small-size", train.small_size, "at least 64 pixels"),
        (train.batch_size >= 1, "train.batch-size", train.batch_size, "at least 1"),
        (train.accumulate >= 1, "train.accumulate", train.accumulate, "at least 1"),
        (train.log_every >= 1, "train.log-every", train.log_every, "at least 1 step"),
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
            train.eval_batch_size >= 1 and train.eval_batch_size % device_count == 0,
            "train.eval-batch-size",
            train.eval_batch_size,
            f"a multiple of the {device_count} devices",
        ),
        (
            train.profile_steps is None or 1 <= train.profile_steps[0] <= train.profile_steps[1],
            "train.profile-steps",
            train.profile_steps,
            "a first step of at least 1 and a last one not before it",
        ),
        (
            train.ema_decay is None or 0 < train.ema_decay < 1,
            "train.ema-decay",
            train.ema_decay,
            "between 0 and 1, or none",
        ),
        (
            (data.train_list is None) == (data.validation_list is None),
            "data.train-list",
            data.train_list,
            "given together with data.validation-list",
        ),
    ]
    for holds, field, value, choice in rules:
        if not holds:
            raise ConfigError(f"--{field} {value}: must be {choice}")
