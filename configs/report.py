"""Recipe of the test report that the project started from: ResNet-18 to 152 with mse, mae or smooth_l1 (beta 1).

Result: ResNet-18 at 64 px on part of 300-W's training faces (1,836 for training, 176 for validation) reaches a
validation NME of 6.97 % with mse, 6.98 % with mae and 6.98 % with smooth_l1, one seed each (docs/results/table.md). The
deeper networks and 224 px were not measured.
Time: 7 to 13 minutes for each of these runs on 2 cores (AMD EPYC) beside other work, JAX 0.10.2, 2026-11-27.

flaxmark train --config report --model.depth 34 --loss.name mae --workdir runs/report_resnet34_mae
flaxmark sweep --config report --losses mse mae smooth_l1 --workdir runs/report
"""

from flaxmark.config import Config, Depth
from flaxmark.config.recipes import report


def get_config(depth: Depth = 18, loss: str = "smooth_l1") -> Config:
    """20 epochs at 224 px, batch 128, mild augmentation without flip, Adam halved every 10 epochs."""
    return report(depth, loss)
