"""The model that comes with flaxmark: the weights of config `shipped_64px`, trained further at 112 px and with sigma.

Result: NME 3.31 % on 500 drawn test faces (mean face 19.9 %) and 5.70 % on 176 validation faces of 300-W (mean face
18.2 %), packed (docs/results/model_card.md).
Time: 31 minutes after the 28 of drawing and `shipped_64px`: 2 cores (AMD EPYC), JAX 0.10.2, 2026-11-26.

flaxmark train --config shipped_64px
flaxmark train --config shipped
flaxmark pack --workdir runs/shipped --out flaxmark/inference/weights/resnet18_drawn.safetensors --overwrite
"""

import dataclasses

from flaxmark.config import Config, ResNetConfig
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """4 epochs on the same 20,000 drawn faces."""
    # The weights were trained with the network and the rates that `strong` had then.
    config = strong(18, "nll")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data, name="drawn_faces", drawn_train=20_000, drawn_validation=500, image_size=112
        ),
        model=ResNetConfig(depth=18, sigma=True, init_from="runs/shipped_64px"),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-3, warmup_steps=100, head_rate=None),
        train=dataclasses.replace(config.train, epochs=4, batch_size=16),
    )
