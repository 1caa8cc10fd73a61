"""ResNet-152, smooth_l1 with beta 0.02, recipe `strong`: 60 epochs at 224 px, batch 32.

Result: not measured with this beta.
Time: not measured.

flaxmark train --config resnet152_smooth_l1
"""

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """Strong augmentation, AdamW with warm-up and cosine schedule, averaged weights."""
    return strong(152, "smooth_l1")
