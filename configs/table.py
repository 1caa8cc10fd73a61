"""What the cells of the table share: the strong recipe for 20 epochs at 224 px; depth, loss and seed are the cell's.

python scripts/sweep.py --config configs/table.py --workdir runs/table
python scripts/report.py runs/table
"""

import dataclasses

from flaxmark.config import Config, Depth
from flaxmark.config.recipes import strong


def get_config(depth: Depth = 18) -> Config:
    """As many epochs as the test report's."""
    config = strong(depth, "mse")
    return dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=20))
