"""Profile of a training step on a CPU by kind of operation: flaxmark's operations and XLA's own.

python benchmarks/step_profile.py --depth 18 --size 224
Runs on one core, because XLA's profile on several has no durations of convolutions.
"""

import argparse
import collections
import gzip
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flaxmark_step import FlaxmarkStep

# An operation has the first kind with a pattern that matches its name.
KINDS = {
    "convolutions, forward": r"^jit\(train_step\)/jvp.*(conv\w*|shortcut)/(conv_general_dilated|dot_general)",
    "convolutions, gradients": r"/transpose\(jvp.*(conv\w*|shortcut)/",
    "BatchNorm": r"norm",
    "ReLU and additions": r"relu|block\d/(add|select_n|max)",
    "max-pool": r"ResNet\)+/",
    "optimizer and averaged weights": r"^jit\(train_step\)/",
}
REST = "layout copies and others"


def main() -> None:
    """Print a table for both sets of operations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=18, help="ResNet depth")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=8, help="faces per step")
    parser.add_argument("--steps", type=int, default=3, help="profiled steps")
    parsed = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])  # before XLA starts its threads
    from flaxmark_step import FlaxmarkStep

    from flaxmark.models.operations import make_operations

    steps = {
        "flaxmark": FlaxmarkStep(parsed.depth, parsed.size, parsed.batch),
        "XLA's own": FlaxmarkStep(parsed.depth, parsed.size, parsed.batch, make_operations("tpu"), options=False),
    }
    tables = {name: milliseconds_by_kind(step, parsed.steps) for name, step in steps.items()}
    print(f"ResNet-{parsed.depth}, {parsed.size} px, batch {parsed.batch}, one core, ms a step")
    print("| |", " | ".join(tables), "|\n|---|" + "---:|" * len(tables))
    for kind in (*KINDS, REST):
        print(f"| {kind} |", " | ".join(f"{table[kind]:.0f}" for table in tables.values()), "|")
    for title, key in (("all operations", "operations"), ("wall time of the step", "clock")):
        print(f"| {title} |", " | ".join(f"{table[key]:.0f}" for table in tables.values()), "|")


def milliseconds_by_kind(step: "FlaxmarkStep", count: int) -> dict[str, float]:
    """Milliseconds per step for each kind of operation, from XLA's profile of several steps."""
    import jax

    step.seconds()
    step.seconds()
    names = names_of_operations(step.compiled_text())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            clock = sum(step.seconds() for _ in range(count))
        trace = next(Path(folder).rglob("perfetto_trace.json.gz"))
        events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    total: dict[str, float] = collections.defaultdict(float, clock=1e3 * clock / count)
    for event in events:
        operation = event.get("args", {}).get("hlo_op")
        if event.get("ph") == "X" and operation:
            milliseconds = event["dur"] / 1e3 / count
            total[kind_of(names.get(operation, ""))] += milliseconds
            total["operations"] += milliseconds
    return total


def names_of_operations(text: str) -> dict[str, str]:
    """Place in the model of each operation of a compiled program; that of a fusion is what it computes last."""
    found: dict[str, str] = {}
    last: dict[str, str] = {}
    inside = ""
    for line in text.splitlines():
        if opened := re.match(r"%?([\w.\-]+) \(", line):
            inside = opened.group(1)
        operation = re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = ", line)
        if not operation:
            continue
        name = re.search(r'op_name="([^"]*)"', line)
        called = re.search(r"calls=%?([\w.\-]+)", line)
        found[operation.group(1)] = name.group(1) if name else last.get(called.group(1), "") if called else ""
        if name:
            last[inside] = name.group(1)
    return found


def kind_of(name: str) -> str:
    """Kind of an operation, by its place in the model."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), REST)


if __name__ == "__main__":
    main()
