"""Drawn faces first, then real ones: any ResNet at 112 px, for depths that the shipped weights do not fit.

Trains config `drawn_112px` in `pretraining/` of the workdir, then 100 epochs on the real faces from those weights. For
an accelerator; on 2 cores, ResNet-18 can start from the shipped weights instead: config `shipped_then_real`.

Result: not measured.
Time: not measured.

flaxmark train --config drawn_then_real --model.depth 50 --data.dir 300W --workdir runs/resnet50
"""

import dataclasses

from flaxmark.config import Config, Depth
from flaxmark.config.recipes import strong


def get_config(depth: Depth = 18) -> Config:
    """100 epochs in batches of 64, at half the usual rate."""
    config = strong(depth, "smooth_l1")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, image_size=112),
        model=dataclasses.replace(config.model, init_from="drawn_112px.py"),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-3),
        train=dataclasses.replace(config.train, epochs=100, batch_size=64),
    )
