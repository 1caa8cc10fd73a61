"""ResNet-152, mae, recipe `strong`: 60 epochs at 224 px, batch 32.

Result: not measured at 224 px. 20 epochs at 64 px on part of 300-W's training faces (1,815 for training, 176 for
validation) reach a validation NME of 5.90 % (mean face 18.23 %) in 41 minutes on one core: config `table` with
`--model.depth 152 --loss.name mae --data.image-size 64`, one seed, 2 cores (AMD EPYC), JAX 0.10.2, 2026-11-28
(docs/results/deep_networks.md).
Time: not measured.

flaxmark train --config resnet152_mae
"""

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """Strong augmentation, AdamW with warm-up and cosine schedule, averaged weights."""
    return strong(152, "mae")
