"""First part of the model that comes with flaxmark: ResNet-18 at 64 px on drawn faces, at a third of the cost per face.

Result: the start of config `shipped`, whose header has the figures.
Time: TODO

flaxmark train --config shipped_64px
"""

import dataclasses

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """7 epochs on 40,000 drawn faces."""
    config = strong(18, "smooth_l1")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data, name="drawn_faces", drawn_train=40_000, drawn_validation=500, image_size=64
        ),
        train=dataclasses.replace(config.train, epochs=7),
    )
