"""ResNet-18 at 112 px from the weights that come with flaxmark, for a whole data set of photographs.

Result: validation NME 3.62 % (mean face 18.23 %; 5.09 % from a random start) on part of 300-W's training faces (1,815
for training, 176 for validation), from the shipped weights before the last ones, which have 4.42 % as they are.
Time: 15 minutes on one core of two (AMD EPYC), JAX 0.12.0.1, 2026-11-29 (docs/guide/own_photographs.md).

flaxmark train --config shipped_then_real --data.train-list train.txt --data.validation-list val.txt
"""

import dataclasses

from flaxmark.config import Config, RefinedHead
from flaxmark.config.files import load_config


def get_config() -> Config:
    """Config `resnet18_112px` from these weights, at a lower rate."""
    config = load_config("resnet18_112px")
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, head=RefinedHead("weighted"), init_from="flaxmark"),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=2e-3),
    )
