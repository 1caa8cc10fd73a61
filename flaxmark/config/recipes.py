"""The two recipes that the configs are made of."""

from flaxmark.config.config import Config, OptimizerConfig, TrainConfig
from flaxmark.data.config import AugmentConfig, DataConfig
from flaxmark.models.losses import Loss, SmoothL1
from flaxmark.models.resnet import Depth, ResNetConfig


def strong(depth: Depth, loss: str | Loss) -> Config:
    """What published coordinate regressors have in common, for a random start.

    Args:
        depth: Of the ResNet.
        loss: smooth_l1 with beta 0.02: with beta 1 it would be mse / 2.

    Returns:
        60 epochs at 224 px with strong augmentation, AdamW, warm-up and cosine, and averaged weights.
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
        # Deeper networks hardly learn at first when every block adds to what it is given (docs/results.md).
        model=ResNetConfig(depth=depth, zero_init_residual=depth >= 34),
        loss=named_loss(loss, beta=0.02),
        optimizer=OptimizerConfig(
            name="adamw", learning_rate=2e-3, schedule="cosine", warmup_steps=100, weight_decay=0.05
        ),
        train=TrainConfig(epochs=60, batch_size=32, ema_decay=0.998),
    )


def report(depth: Depth, loss: str | Loss) -> Config:
    """The recipe of the test report whose table this project started from, from a random start.

    Args:
        depth: Of the ResNet.
        loss: smooth_l1 with beta 1.

    Returns:
        20 epochs at 224 px with mild augmentation and no flip; Adam at 5e-4, halved every 10 epochs.
    """
    return Config(
        data=DataConfig(augment=AugmentConfig(rotation=10, scale=0.2, shift=0.05, blur=0.3)),
        model=ResNetConfig(depth=depth),
        loss=named_loss(loss, beta=1.0),
        optimizer=OptimizerConfig(name="adam", learning_rate=5e-4, schedule="step", halve_every=10),
        train=TrainConfig(epochs=20, batch_size=128),
    )


def named_loss(loss: str | Loss, beta: float) -> Loss:
    """A loss by its name, smooth_l1 with the recipe's beta."""
    if isinstance(loss, Loss):
        return loss
    return SmoothL1(beta) if loss == SmoothL1.name else Loss.member(loss)()
