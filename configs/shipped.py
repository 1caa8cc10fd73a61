"""The model that comes with flaxmark: what configs/shipped_64px.py has learnt, further at 112 px and with sigma.

python scripts/train.py --config configs/shipped_64px.py
python scripts/train.py --config configs/shipped.py
python scripts/pack.py --workdir runs/shipped --out flaxmark/weights/resnet18_drawn.safetensors
"""

import dataclasses

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """4 epochs on the same 20,000 drawn faces."""
    config = strong(18, "nll")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data, name="drawn_faces", drawn_train=20_000, drawn_validation=500, image_size=112
        ),
        model=dataclasses.replace(config.model, sigma=True, init_from="runs/shipped_64px"),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-3),
        train=dataclasses.replace(config.train, epochs=4, batch_size=16),
    )
