"""ResNet-101, mae, the test report's recipe: 20 epochs at 224 px.

python scripts/train.py --config configs/report/resnet101_mae.py
"""

from flaxmark.config import Config
from flaxmark.config.recipes import report


def get_config() -> Config:
    """Mild augmentation without flip, Adam halved every 10 epochs, batch 128."""
    return report(101, "mae")
