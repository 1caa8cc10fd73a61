"""ResNet-18 at 112 px in 18 minutes on 2 cores: the strong recipe with milder changes of colour and less hidden.

python scripts/train.py --config configs/resnet18_112px.py --data.train-list train.txt --data.validation-list val.txt

Validation NME 5.24 % (mean face 18.23 %) in 17 min 53 s, data, validation and report included: 2 cores (AMD EPYC),
JAX 0.10.2, 2026-11-25; docs/results/accuracy.md.
"""

import dataclasses

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """20 epochs, batch 16: a network that sees its faces so few times cannot use all of the strong augmentation."""
    config = strong(18, "smooth_l1")
    augment = dataclasses.replace(
        config.data.augment, brightness=0.1, contrast=0.3, saturation=0.2, blur=0.3, occlusion=0.2
    )
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, image_size=112, augment=augment),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=3e-3),
        train=dataclasses.replace(config.train, epochs=20, batch_size=16),
    )
