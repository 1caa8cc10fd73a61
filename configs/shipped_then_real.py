"""ResNet-18 at 112 px from the weights that come with flaxmark, for a whole data set of photographs.

Result: with a dense head, from the weights of 2026-11-26 (5.70 % before training; those of today have 4.42 %),
validation NME 4.34 % (mean face 18.23 %; 5.13 % from a random start) on part of 300-W's training faces (1,815 for
training, 176 for validation); 4.03 % after 60 epochs (`--train.epochs 60`).
Time: 12 minutes beside other work: 2 cores (AMD EPYC), JAX 0.10.2, 2026-11-28 (docs/results/accuracy.md).

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
