"""Checks across the fields of a config; the bounds of single numbers stand on their fields."""

from flaxmark.config.config import Config
from flaxmark.config.files import find_config
from flaxmark.data.config import check_data
from flaxmark.errors import CheckpointError, ConfigError
from flaxmark.models.pretrained import SHIPPED_NAME
from flaxmark.schema import check_bounds, require
from flaxmark.system.files import user_path


def check_config(config: Config, device_count: int = 1) -> None:
    """Raise ConfigError about the first field that cannot work on `device_count` devices of all processes."""
    check_bounds(config)
    check_data(config.data)
    profile, optimizer = config.train.profile_steps, config.optimizer
    for field, value, unset in (
        ("weight_decay", optimizer.weight_decay, "0"),
        ("decay_all", optimizer.decay_all, "off"),
    ):
        reason = f"must be {unset} with the optimizer {optimizer.name}, which ignores it; adamw uses it"
        require(optimizer.name == "adamw" or not value, f"optimizer.{field}", value, reason)
    require(
        config.loss.needs_sigma == config.model.sigma,
        "model.sigma",
        config.model.sigma,
        f"must be {'on' if config.loss.needs_sigma else 'off'} with the loss {config.loss.name}",
    )
    require(
        config.model.init_from is not None or not config.model.freeze_batch_norm,
        "model.freeze_batch_norm",
        config.model.freeze_batch_norm,
        "must be off without --model.init-from: fresh weights have no statistics",
    )
    require(
        profile is None or 1 <= profile[0] <= profile[1],
        "train.profile_steps",
        profile,
        "must be a first step of at least 1 and a last step that is not before it",
    )
    _check_batches(config, device_count)


def names_config(name: str | None) -> bool:
    """Whether this value of `model.init_from` is a config file, to be trained first."""
    return str(name).endswith(".py")


def check_weights_exist(config: Config) -> None:
    """Raise CheckpointError if `model.init_from` names nothing that exists, ConfigError for a missing config."""
    name = config.model.init_from
    if names_config(name):
        try:
            find_config(str(name))
        except ConfigError as error:
            raise ConfigError(error.reason, field="model.init_from", value=name) from error
    elif name not in (None, SHIPPED_NAME) and not user_path(str(name)).exists():
        reason = (
            f"no such file or run; {SHIPPED_NAME} is the model that comes with flaxmark, a config's name ends in .py"
        )
        raise CheckpointError(reason, field="model.init_from", value=name)


def _check_batches(config: Config, device_count: int) -> None:
    """Batches divide evenly among parts and devices."""
    train = config.train
    require(
        train.batch_size % (train.accumulate * device_count) == 0,
        "train.batch_size",
        train.batch_size,
        f"must be a multiple of train.accumulate x devices = {train.accumulate} x {device_count}",
    )
    config.model.check(train.batch_size // train.accumulate // (device_count if train.compile == "pmap" else 1))
    require(
        train.eval_batch_size % device_count == 0,
        "train.eval_batch_size",
        train.eval_batch_size,
        f"must be a multiple of the {device_count} devices",
    )
