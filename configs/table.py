"""Recipe of the results table: `short`, 20 epochs at 224 px; the sweep sets network, loss and seed.

Result: at 64 px on part of 300-W's training faces (1,836 for training, 176 for validation) the 15 cells reach a
validation NME between 6.29 % (ResNet-18, mae) and 7.44 % (ResNet-101, mse); the mean face has 18.23 %
(docs/results/table.md). That was before `strong` changed: with smooth_l1 and beta 0.02, ResNet-18 has 5.67 % since,
and ResNet-50 5.69 % (1,815 for training, one seed, 2026-11-28; docs/results/deep_networks.md).
Time: 4 to 6 minutes for a cell of ResNet-18, up to 2 hours for one of ResNet-101 or 152, 11 hours in all, on 2 cores
(AMD EPYC) beside other work, JAX 0.10.2, 2026-11-26 and 27.

flaxmark sweep --config table --workdir runs/table      # at 64 px: --data.image-size 64
flaxmark report runs/table
"""

from flaxmark.config import Config, Depth
from flaxmark.config.recipes import short


def get_config(depth: Depth = 18) -> Config:
    """Recipe `short`, which has the number of epochs of the original test report."""
    return short(depth, "mse")
