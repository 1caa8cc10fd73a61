"""Any ResNet at 224 px on a GPU or TPU: 150 epochs, batch 64, bfloat16.

Result: not measured with flaxmark itself. A prototype of these steps, with the augmentation of `strong` and a plain
mean before the dense layer, has a validation NME of 3.71 % (3.68 % averaged with the mirror image) with ResNet-18 on
part of 300-W's training faces (1,836 for training, 176 for validation, nine of them in both), one seed.
Time: 33 s for the steps of that prototype: one NVIDIA H100 that four other trainings used, JAX 0.11.2, 2026-11-28.

flaxmark train --config accelerator --model.depth 50 --workdir runs/resnet50
"""

import dataclasses

from flaxmark.config import Config, Depth
from flaxmark.config.recipes import strong


def get_config(depth: Depth = 18, loss: str = "smooth_l1") -> Config:
    """Recipe `strong` with the number of steps that a GPU makes in a minute, and its dtype."""
    config = strong(depth, loss)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, dtype="bfloat16"),
        train=dataclasses.replace(config.train, epochs=150, batch_size=64),
    )
