"""What the input costs a training: steps on freshly made batches beside steps on a fixed one, in turn.

python benchmarks/loop.py --depth 18 --size 112
Both share the machine's cores; each round makes `--steps` of each kind, the start of the pipeline included.
"""

import argparse
import dataclasses
import statistics

from flaxmark_step import FlaxmarkStep

from flaxmark.config import DataConfig
from flaxmark.data.pipeline import train_batches
from flaxmark.data.prepare import load_split, prepare
from flaxmark.recipes import strong


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=18, help="of the ResNet")
    parser.add_argument("--size", type=int, default=224, help="side of the pictures, pixels")
    parser.add_argument("--batch", type=int, default=32, help="faces a step")
    parser.add_argument("--steps", type=int, default=12, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=7, help="of each kind, in turn")
    parsed = parser.parse_args()
    data = DataConfig(name="drawn_faces", drawn_train=parsed.batch * parsed.steps, drawn_validation=20, drawn_size=320)
    data = dataclasses.replace(data, image_size=parsed.size, augment=strong(18, "mse").data.augment)
    examples = load_split(prepare(data), "train")
    step = FlaxmarkStep(parsed.depth, parsed.size, parsed.batch)
    step.seconds_of(2)
    fixed, fresh = [], []
    for number in range(parsed.rounds):
        fixed.append(step.seconds_of(parsed.steps))
        fresh.append(step.seconds_of(train_batches(examples, data, batch_size=parsed.batch, seed=0, epoch=number)))
    ratios = [theirs / ours for theirs, ours in zip(fresh, fixed, strict=True)]
    print(f"ResNet-{parsed.depth}, {parsed.size} px, batch {parsed.batch}, {parsed.rounds} rounds: ", end="")
    print(f"a step on a fixed batch {statistics.median(fixed) / parsed.steps:.3f} s, ", end="")
    print(f"on fresh ones {statistics.median(fresh) / parsed.steps:.3f} s, ", end="")
    print(f"{statistics.median(ratios):.3f} times ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
