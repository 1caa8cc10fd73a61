"""First part of the model that comes with flaxmark: ResNet-18 at 64 px on drawn faces, at a third of the cost per face.

Result: the start of config `shipped`, whose header has the figures.
Time: 22 minutes, partly beside other work, and 5 for drawing the faces: 2 cores (AMD EPYC), JAX 0.12.0.1, 2026-11-29
(docs/results/model_card.md).

flaxmark train --config shipped_64px
"""

import dataclasses

from flaxmark.config import Config, ResNetConfig
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """8 epochs on 20,000 drawn faces."""
    # The weights were trained with the network and the rates that `strong` had then.
    config = strong(18, "smooth_l1")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data, name="drawn_faces", drawn_train=20_000, drawn_validation=500, image_size=64
        ),
        model=ResNetConfig(depth=18),
        optimizer=dataclasses.replace(config.optimizer, warmup_steps=100, head_rate=None),
        train=dataclasses.replace(config.train, epochs=8),
    )
