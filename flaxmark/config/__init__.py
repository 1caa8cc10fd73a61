"""Configs of runs: the frozen dataclasses that config files and extensions are made of."""

from flaxmark.config.config import Config, OptimizerConfig, TrainConfig
from flaxmark.data.config import AugmentConfig, DataConfig
from flaxmark.faces.crop import CropDefinition
from flaxmark.models.heads import DenseHead, Head
from flaxmark.models.losses import MAE, MSE, GaussianNLL, LogCosh, Loss, SmoothL1, SoftWing, Wing
from flaxmark.models.model import ModelConfig
from flaxmark.models.refined_head import RefinedHead
from flaxmark.models.resnet import DEPTHS, Depth, ResNetConfig
from flaxmark.schema import bounded

__all__ = [
    "DEPTHS", "MAE", "MSE", "AugmentConfig", "Config", "CropDefinition", "DataConfig", "DenseHead", "Depth",
    "GaussianNLL", "Head", "LogCosh", "Loss", "ModelConfig", "OptimizerConfig", "RefinedHead", "ResNetConfig",
    "SmoothL1", "SoftWing", "TrainConfig", "Wing", "bounded",
]  # fmt: skip
