"""Training recipes, from which the configs that come with flaxmark are made."""

import dataclasses

from flaxmark.config.config import Config, OptimizerConfig, TrainConfig
from flaxmark.data.config import AugmentConfig, DataConfig
from flaxmark.models.heads import DenseHead
from flaxmark.models.losses import Loss, SmoothL1
from flaxmark.models.resnet import Depth, ResNetConfig


def strong(depth: Depth, loss: str | Loss) -> Config:
    """Recipe with what published coordinate regressors have in common, for training from random weights.

    60 epochs at 224 px in batches of 32 with strong augmentation, AdamW (peak learning rate 2e-3, weight decay 0.05, a
    lower rate for the head), warm-up and cosine schedule, averaged weights, and a head that weighs places.

    Args:
        depth: ResNet depth: 18, 34, 50, 101 or 152.
        loss: A loss, or its name; smooth_l1 by name has beta 0.02, because with beta 1 it would be mse / 2.

    Returns:
        The config of a run; change fields with `dataclasses.replace`.

    Raises:
        ConfigError: There is no loss with this name.
    """
    augment = AugmentConfig(
        rotation=30,
        scale=0.2,
        shift=0.05,
        flip=True,
        brightness=0.2,
        contrast=0.3,
        saturation=0.3,
        blur=1.0,
        occlusion=0.4,
    )
    return Config(
        data=DataConfig(augment=augment),
        # Deep networks hardly learn at first unless their blocks start small and the head sees where things are, and
        # learn more slowly unless all kernels start with the same deviation (docs/results/deep_networks.md).
        model=ResNetConfig(depth=depth, residual_init="depth", kernel_init="normal", head=DenseHead("weighted")),
        loss=named_loss(loss, beta=0.02),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=2e-3,
            schedule="cosine",
            warmup_steps=30,
            weight_decay=0.05,
            head_rate=0.4,
        ),
        train=TrainConfig(epochs=60, batch_size=32, ema_decay=0.998),
    )


def short(depth: Depth, loss: str | Loss) -> Config:
    """Recipe `strong` for 20 epochs, with milder changes of colour, less blur and smaller occlusions.

    With so few updates a network cannot make use of the full augmentation.

    Args:
        depth: ResNet depth: 18, 34, 50, 101 or 152.
        loss: A loss, or its name; smooth_l1 by name has beta 0.02.

    Returns:
        The config of a run; change fields with `dataclasses.replace`.

    Raises:
        ConfigError: There is no loss with this name.
    """
    config = strong(depth, loss)
    augment = dataclasses.replace(
        config.data.augment, brightness=0.1, contrast=0.3, saturation=0.2, blur=0.3, occlusion=0.2
    )
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, augment=augment),
        train=dataclasses.replace(config.train, epochs=20),
    )


def report(depth: Depth, loss: str | Loss) -> Config:
    """Recipe of the test report whose results table this project set out to reproduce, from random weights.

    20 epochs at 224 px in batches of 128 with mild augmentation and no flip; Adam with learning rate 5e-4, halved every
    10 epochs.

    Args:
        depth: ResNet depth: 18, 34, 50, 101 or 152.
        loss: A loss, or its name; smooth_l1 by name has beta 1.

    Returns:
        The config of a run; change fields with `dataclasses.replace`.

    Raises:
        ConfigError: There is no loss with this name.
    """
    return Config(
        data=DataConfig(augment=AugmentConfig(rotation=10, scale=0.2, shift=0.05, blur=0.3)),
        model=ResNetConfig(depth=depth),
        loss=named_loss(loss, beta=1.0),
        optimizer=OptimizerConfig(name="adam", learning_rate=5e-4, schedule="step", halve_every=10),
        train=TrainConfig(epochs=20, batch_size=128),
    )


def named_loss(loss: str | Loss, beta: float) -> Loss:
    """A loss from its name; smooth_l1 gets this beta, other losses their defaults. A loss is returned as it is."""
    if isinstance(loss, Loss):
        return loss
    return SmoothL1(beta) if loss == SmoothL1.name else Loss.member(loss)()
