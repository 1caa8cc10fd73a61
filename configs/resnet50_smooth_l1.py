"""ResNet-50, smooth_l1 with beta 0.02, recipe `strong`: 60 epochs at 224 px, batch 32.

Result: not measured at 224 px. 20 epochs at 64 px on part of 300-W's training faces (1,815 for training, 176 for
validation) reach a validation NME of 5.60 % (mean face 18.23 %) in 16 minutes on one core: config `table` with
`--model.depth 50 --loss.name smooth_l1 --loss.beta 0.02 --data.image-size 64`, one seed, 2 cores (AMD EPYC), JAX
0.10.2, 2026-11-28 (docs/results/deep_networks.md). At 144 px it has 10.7 % after two of 20 epochs.
Time: about 3.4 hours for the steps on 2 cores (AMD EPYC), estimated from 3.53 s a step (docs/results/speed.md).

flaxmark train --config resnet50_smooth_l1
"""

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """Strong augmentation, AdamW with warm-up and cosine schedule, averaged weights."""
    return strong(50, "smooth_l1")
