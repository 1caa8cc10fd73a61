"""ResNet-50, smooth_l1 with beta 0.02, recipe `strong`: 60 epochs at 224 px, batch 32.

Result: not measured with this beta.
Time: about 3.4 hours for the steps on 2 cores (AMD EPYC), estimated from 3.53 s a step (docs/results/speed.md).

flaxmark train --config resnet50_smooth_l1
"""

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """Strong augmentation, AdamW with warm-up and cosine schedule, averaged weights."""
    return strong(50, "smooth_l1")
