"""Gain of each rewrite in flaxmark/models/operations.py: the step with all of them, and with one undone, in turn.

python benchmarks/rewrites.py --depth 18 --size 112
"""

import argparse
import dataclasses
import statistics

from flaxmark_step import FlaxmarkStep
from jax import lax

from flaxmark.models.operations import Operations, channel_sums_xla, make_operations, max_pool_xla


def variants() -> dict[str, Operations]:
    """Operations by name."""
    ours = make_operations("cpu")
    return {
        "all rewrites": ours,
        "1x1 by XLA": dataclasses.replace(ours, conv=lax.conv_general_dilated),
        "max-pool by XLA": dataclasses.replace(ours, max_pool=max_pool_xla),
        "BatchNorm's sums by XLA": dataclasses.replace(ours, channel_sums=channel_sums_xla),
        "everything by XLA": make_operations("tpu"),
    }


def main() -> None:
    """Print a table of times, absolute and relative to all rewrites."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=18, help="ResNet depth")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=32, help="faces per step")
    parser.add_argument("--rounds", type=int, default=9, help="timed steps per variant")
    parsed = parser.parse_args()
    steps = {
        name: FlaxmarkStep(parsed.depth, parsed.size, parsed.batch, operations)
        for name, operations in variants().items()
    }
    for step in steps.values():
        step.seconds()
        step.seconds()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(parsed.rounds):
        for name, step in steps.items():
            times[name].append(step.seconds())
    print(f"ResNet-{parsed.depth}, {parsed.size} px, batch {parsed.batch}, {parsed.rounds} rounds in one process")
    print("| | seconds a step | relative (lowest to highest) |\n|---|---:|---:|")
    for name, values in times.items():
        ratios = [theirs / ours for theirs, ours in zip(values, times["all rewrites"], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {statistics.median(values):.3f} | {spread} |")


if __name__ == "__main__":
    main()
