"""ResNet-50, mse, strong recipe: 60 epochs at 224 px.

python scripts/train.py --config configs/resnet50_mse.py
"""

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """Strong augmentation, AdamW with warm-up and cosine, averaged weights."""
    return strong(50, "mse")
