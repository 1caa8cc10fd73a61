"""ResNet-18 at 112 px in the recipe of a PyTorch project (the peer), for a like-for-like comparison.

Result: validation NME on part of 300-W's training faces (1,836 for training, 176 for validation; mean face 18.23 %),
over three seeds 6.14 +- 0.15 % with `--loss.name mae` and 6.02 +- 0.32 % with smooth_l1, and 6.53 % with mse, one seed.
The peer itself has 6.02, 6.00 and 6.67.
Time: about 22 minutes a run on one core of 2 (AMD EPYC), JAX 0.10.2, 2026-11-25 (docs/results/accuracy.md).

flaxmark train --config resnet18_peer --data.train-list train.txt --data.validation-list val.txt
"""

from flaxmark.config import AugmentConfig, Config, DataConfig, OptimizerConfig, ResNetConfig, SmoothL1, TrainConfig


def get_config() -> Config:
    """20 epochs, batch 32, AdamW with weight decay on all parameters, no averaged weights."""
    return Config(
        data=DataConfig(
            image_size=112,
            pixel_mean=(0.45, 0.45, 0.45),
            pixel_std=(0.225, 0.225, 0.225),
            augment=AugmentConfig(rotation=30, scale=0.2, shift=0.04, flip=True, brightness=0.045, contrast=0.3),
        ),
        model=ResNetConfig(depth=18, residual_init="zero", kernel_init="uniform", head_init_scale=0.1),
        loss=SmoothL1(beta=0.02),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=1e-3,
            schedule="cosine",
            warmup_steps=100,
            weight_decay=0.05,
            decay_all=True,
        ),
        train=TrainConfig(epochs=20, batch_size=32),
    )
