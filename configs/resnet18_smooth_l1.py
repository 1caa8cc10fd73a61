"""ResNet-18, smooth_l1 with beta 0.02, recipe `strong`: 60 epochs at 224 px, batch 32.

Result: not measured at 224 px. 20 epochs at 64 px on part of 300-W's training faces (1,815 for training, 176 for
validation) reach a validation NME of 6.05 % (mean face 18.23 %): `--data.image-size 64 --train.epochs 20`, one seed,
before all kernels started with one deviation (docs/results/deep_networks.md). 2 cores (AMD EPYC) beside other work,
JAX 0.10.2, 2026-11-28.
Time: about 79 minutes for the steps on 2 cores (AMD EPYC), estimated from 1.39 s a step (docs/results/speed.md).

flaxmark train --config resnet18_smooth_l1
"""

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """Strong augmentation, AdamW with warm-up and cosine schedule, averaged weights."""
    return strong(18, "smooth_l1")
