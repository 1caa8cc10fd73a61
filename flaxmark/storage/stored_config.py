"""The part of a stored config that prediction needs."""

from typing import Any

from flaxmark.config.config import Config
from flaxmark.schema import from_dict


def prediction_config(stored: Any) -> Config:
    """A stored config with its data and model, and defaults for the augmentation, loss, optimizer and training loop.

    So a network predicts without the extensions that trained it. ConfigError where the rest cannot be used.
    """
    if isinstance(stored, dict):
        stored = {name: values for name, values in stored.items() if name in ("data", "model")}
        if isinstance(stored.get("data"), dict):
            stored["data"] = {name: value for name, value in stored["data"].items() if name != "augment"}
    config: Config = from_dict(stored, Config)
    return config
