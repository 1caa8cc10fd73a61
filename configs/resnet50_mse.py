"""ResNet-50, mse, recipe `strong`: 60 epochs at 224 px, batch 32.

Result: not measured at 224 px. 20 epochs at 64 px on part of 300-W's training faces (1,836 for training, 176 for
validation) reach a validation NME of 7.24 % (mean face 18.23 %) in 33 minutes: config `table` with
`--model.depth 50 --loss.name mse --data.image-size 64`, one seed, 2 cores (AMD EPYC) beside other work,
JAX 0.10.2, 2026-11-26 and 27 (docs/results/table.md), before `strong` changed
(docs/results/deep_networks.md).
Time: about 3.4 hours for the steps on 2 cores (AMD EPYC), estimated from 3.53 s a step (docs/results/speed.md).

flaxmark train --config resnet50_mse
"""

from flaxmark.config import Config
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """Strong augmentation, AdamW with warm-up and cosine schedule, averaged weights."""
    return strong(50, "mse")
