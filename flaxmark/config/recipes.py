"""The two recipes that the configs are made of."""

from flaxmark.config.schema import (
    AugmentConfig,
    Config,
    DataConfig,
    Depth,
    LossConfig,
    LossName,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)


def strong(depth: Depth, loss: LossName) -> Config:
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
        model=ModelConfig(depth=depth, zero_init_residual=depth >= 34),
        loss=LossConfig(loss, beta=0.02),
        optimizer=OptimizerConfig(
            name="adamw", learning_rate=2e-3, schedule="cosine", warmup_steps=100, weight_decay=0.05
        ),
        train=TrainConfig(epochs=60, batch_size=32, ema_decay=0.998),
    )


def report(depth: Depth, loss: LossName) -> Config:
    """The recipe of the test report whose table this project started from, from a random start.

    Args:
        depth: Of the ResNet.
        loss: smooth_l1 with beta 1.

    Returns:
        20 epochs at 224 px with mild augmentation and no flip; Adam at 5e-4, halved every 10 epochs.
    """
    return Config(
        data=DataConfig(augment=AugmentConfig(rotation=10, scale=0.2, shift=0.05, blur=0.3)),
        model=ModelConfig(depth=depth),
        loss=LossConfig(loss, beta=1.0),
        optimizer=OptimizerConfig(name="adam", learning_rate=5e-4, schedule="step", halve_every=10),
        train=TrainConfig(epochs=20, batch_size=128),
    )
