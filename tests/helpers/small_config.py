"""A run that takes seconds."""

from typing import Any

from flaxmark.config.config import Config, OptimizerConfig, TrainConfig
from flaxmark.data.config import DataConfig
from flaxmark.models.resnet import ResNetConfig


def small_config(**train: Any) -> Config:
    """One epoch on eight drawn faces."""
    data = DataConfig(name="drawn_faces", drawn_train=8, drawn_validation=4, drawn_size=64, image_size=64)
    return Config(
        data,
        ResNetConfig(depth=18),
        optimizer=OptimizerConfig(learning_rate=1e-6),
        train=TrainConfig(**{"epochs": 1, "batch_size": 4, "eval_batch_size": 4} | train),
    )
