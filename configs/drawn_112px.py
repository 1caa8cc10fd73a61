"""Any ResNet at 112 px on 40,000 drawn faces: the start of config `drawn_then_real`.

Result: not measured.
Time: not measured.

flaxmark train --config drawn_112px --model.depth 50 --workdir runs/drawn_resnet50
"""

import dataclasses

from flaxmark.config import Config, Depth
from flaxmark.config.recipes import strong


def get_config(depth: Depth = 18) -> Config:
    """20 epochs in batches of 128."""
    config = strong(depth, "smooth_l1")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data, name="drawn_faces", drawn_train=40_000, drawn_validation=500, image_size=112
        ),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=2e-3 if depth >= 50 else 3e-3, warmup_steps=100),
        train=dataclasses.replace(config.train, epochs=20, batch_size=128),
    )
