"""Recipe for the cells of the table: `strong` for 20 epochs at 224 px; network, loss and seed are the cell's.

Result: at 64 px on part of 300-W's training faces the 15 cells reach a validation NME between 6.29 % (ResNet-18, mae)
and 7.44 % (ResNet-101, mse); the mean face has 18.23 % (docs/results/table.md).
Time: 4 to 6 minutes per cell of ResNet-18, up to 2 hours of ResNet-101 and 152, 11 hours in all, on 2
CPU cores with other work beside it.

flaxmark sweep --config table --workdir runs/table
flaxmark report runs/table
"""

import dataclasses

from flaxmark.config import Config, Depth
from flaxmark.config.recipes import strong


def get_config(depth: Depth = 18) -> Config:
    """The strong recipe with the number of epochs of the original test report."""
    config = strong(depth, "mse")
    return dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=20))
