"""First half of the model that comes with flaxmark: ResNet-18 at 64 px on drawn faces, where a face costs a third.

python scripts/train.py --config configs/shipped_64px.py
"""

import dataclasses

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """8 epochs on 20,000 drawn faces."""
    config = strong(18, "smooth_l1")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data, name="drawn_faces", drawn_train=20_000, drawn_validation=500, image_size=64
        ),
        train=dataclasses.replace(config.train, epochs=8),
    )
