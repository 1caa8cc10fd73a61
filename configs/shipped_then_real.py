"""ResNet-18 at 112 px from the weights that come with flaxmark, for a whole data set of photographs.

Result: RESULT
Time: TIME

flaxmark train --config shipped_then_real --data.train-list train.txt --data.validation-list val.txt
"""

import dataclasses

from flaxmark.config import Config
from flaxmark.config.files import load_config


def get_config() -> Config:
    """Config `resnet18_112px` from these weights, at a lower rate."""
    config = load_config("resnet18_112px")
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, init_from="flaxmark"),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=2e-3),
    )
