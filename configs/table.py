"""Recipe of the results table: `short`, 20 epochs at 224 px; the sweep sets network, loss and seed.

Result: at 64 px on part of 300-W's training faces (1,815 for training, 176 for validation) a validation NME between
5.61 % (ResNet-50, smooth_l1 with beta 0.02, mean of two seeds) and 5.90 % (ResNet-152, mae, one seed); the mean face
has 18.23 % (docs/results/deep_networks.md). Earlier, all 15 cells had 6.29 to 7.44 % (docs/results/table.md).
Time: on one core 6 minutes for a cell of ResNet-18, 12 of ResNet-34, 16 of ResNet-50, 24 of ResNet-101, 41 of
ResNet-152, two cells at a time (`--jobs 2`): 2 cores (AMD EPYC), JAX 0.10.2, 2026-11-28 and 29.

flaxmark sweep --config table --workdir runs/table      # at 64 px: --data.image-size 64
flaxmark report runs/table
"""

from flaxmark.config import Config, Depth
from flaxmark.config.recipes import short


def get_config(depth: Depth = 18) -> Config:
    """Recipe `short`, which has the number of epochs of the original test report."""
    return short(depth, "mse")
