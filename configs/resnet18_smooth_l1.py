"""ResNet-18, smooth L1 (beta 0.02), strong recipe: 60 epochs at 224 px.

python scripts/train.py --config configs/resnet18_smooth_l1.py
"""

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """Strong augmentation, AdamW with warm-up and cosine, averaged weights."""
    return strong(18, "smooth_l1")
