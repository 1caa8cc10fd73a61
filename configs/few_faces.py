"""A few dozen faces of your own: the model that comes with flaxmark, trained further at a low learning rate.

Result: with 50 faces of 300-W NME 5.26 % on 176 others, where the shipped model has 5.70 % (mean face 18.3 %).
Time: 7 minutes on 2 cores (AMD EPYC) that other programs used, too, JAX 0.10.2, 2026-11-28
(docs/guide/own_photographs.md).

flaxmark train --config few_faces --data.name pts --data.dir FOLDER
"""

import dataclasses

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """40 epochs in batches of 10, from the weights of the shipped model, with its sigma."""
    config = strong(18, "nll")
    augment = dataclasses.replace(config.data.augment, occlusion=0.2)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, image_size=112, augment=augment),
        model=dataclasses.replace(config.model, sigma=True, init_from="flaxmark"),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=3e-4, warmup_steps=20),
        train=dataclasses.replace(config.train, epochs=40, batch_size=10, ema_decay=0.98, validate_every=10),
    )
