"""ResNet-18 at 112 px in 8 minutes on 2 cores: recipe `short`.

Result: validation NME 5.12 % (mean face 18.23 %) on part of 300-W's training faces (1,815 for training, 176 for
validation).
Time: 8.4 minutes: 2 cores (AMD EPYC), JAX 0.10.2, 2026-11-28 (docs/results/accuracy.md).

flaxmark train --config resnet18_112px --data.train-list train.txt --data.validation-list val.txt
"""

import dataclasses

from flaxmark.config import Config
from flaxmark.config.recipes import short


def get_config() -> Config:
    """Batches of 16 and a higher rate."""
    config = short(18, "smooth_l1")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, image_size=112),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=3e-3),
        train=dataclasses.replace(config.train, batch_size=16),
    )
