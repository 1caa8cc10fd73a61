"""Second part of the model that comes with flaxmark: the weights of config `shipped_64px`, trained further at 112 px.

It also predicts the expected error (sigma) of each point, and whether the point is seen.

Result: the start of config `shipped`, whose header has the figures.
Time: 49 minutes, and 10 for drawing the faces: 2 cores (AMD EPYC), JAX 0.12.0.1, 2026-11-29.

flaxmark train --config shipped_64px
flaxmark train --config shipped_112px
"""

import dataclasses

from flaxmark.config import Config, DenseHead
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """5 epochs on 40,000 drawn faces."""
    config = strong(18, "nll")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data, name="drawn_faces", drawn_train=40_000, drawn_validation=500, image_size=112
        ),
        model=dataclasses.replace(
            config.model, sigma=True, head=DenseHead("weighted", visible=True), init_from="runs/shipped_64px"
        ),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-3, warmup_steps=100),
        train=dataclasses.replace(config.train, epochs=5, batch_size=16, visible_weight=1.0),
    )
