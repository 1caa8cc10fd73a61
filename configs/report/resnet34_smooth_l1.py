"""ResNet-34, smooth L1 (beta 1), the test report's recipe: 20 epochs at 224 px.

python scripts/train.py --config configs/report/resnet34_smooth_l1.py
"""

from flaxmark.config import Config
from flaxmark.config.recipes import report


def get_config() -> Config:
    """Mild augmentation without flip, Adam halved every 10 epochs, batch 128."""
    return report(34, "smooth_l1")
