"""The model that comes with flaxmark: the weights of config `shipped_112px`, trained a little on the drawing as it is.

Result: NME 3.26 % on 500 drawn test faces (mean face 24.6 %) and 5.08 % on 176 validation faces of 300-W (mean face
18.2 %), packed (docs/results/model_card.md).
Time: 8 minutes, and 4 for drawing the faces: 2 cores (AMD EPYC), JAX 0.12.0.1, 2026-11-29.

flaxmark train --config shipped_64px
flaxmark train --config shipped_112px
flaxmark train --config shipped
flaxmark pack --workdir runs/shipped --out flaxmark/inference/weights/resnet18_drawn.safetensors --overwrite
"""

import dataclasses

from flaxmark.config import Config
from flaxmark.config.files import load_config


def get_config() -> Config:
    """2 epochs on 16,000 drawn faces, whose labels have the habits that the network of `shipped_112px` still lacked."""
    config = load_config("shipped_112px")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, drawn_train=16_000),
        model=dataclasses.replace(config.model, init_from="runs/shipped_112px"),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=4e-4, warmup_steps=50),
        train=dataclasses.replace(config.train, epochs=2),
    )
