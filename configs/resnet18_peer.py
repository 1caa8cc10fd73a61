"""ResNet-18 at 112 px in the recipe of a PyTorch peer, to compare like with like.

python scripts/train.py --config configs/resnet18_peer.py --data.train-list train.txt --data.validation-list val.txt

Validation NME over three seeds 6.14 +- 0.15 % with --loss.name mae and 6.02 +- 0.32 % with smooth_l1; 6.53 % with mse,
one seed (the peer's own: 6.02, 6.00, 6.67; the mean face: 18.23). About 22 minutes a run on one core of 2 (AMD EPYC),
JAX 0.10.2, 2026-11-25; docs/results/accuracy.md.
"""

from flaxmark.config import AugmentConfig, Config, DataConfig, OptimizerConfig, ResNetConfig, SmoothL1, TrainConfig


def get_config() -> Config:
    """20 epochs, batch 32, AdamW with decay on everything, no averaged weights."""
    return Config(
        data=DataConfig(
            image_size=112,
            pixel_mean=(0.45, 0.45, 0.45),
            pixel_std=(0.225, 0.225, 0.225),
            augment=AugmentConfig(rotation=30, scale=0.2, shift=0.04, flip=True, brightness=0.045, contrast=0.3),
        ),
        model=ResNetConfig(depth=18, zero_init_residual=True, kernel_init="uniform", head_init_scale=0.1),
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
