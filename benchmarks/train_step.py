"""flaxmark's training step beside PyTorch's, in turn, each in a fresh process.

python benchmarks/train_step.py --depth 18 50 --peer torch      (pip install -e '.[bench]')
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from flaxmark.cli.own_process import HUGE_PAGES

TORCH_MODES = ("eager", "channels_last", "compile")


def main() -> None:
    """Measure one contender (as a child process), or all of them in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, nargs="+", default=[18], help="ResNet depths to measure")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=32, help="faces per step")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes per contender")
    parser.add_argument("--steps", type=int, default=5, help="timed steps per process")
    parser.add_argument("--threads", type=int, default=2, help="cores that a contender may use")
    parser.add_argument("--peer", choices=["torch", "none"], default="none", help="peer to compare with")
    parser.add_argument("--huge-pages-for-all", action="store_true", help="use huge pages for the peer too")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.measure:
        print(json.dumps(measure(parsed)))
        return
    contenders = ["flaxmark", *(TORCH_MODES if parsed.peer == "torch" else ())]
    for depth in parsed.depth:
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        product, gflop = [], 0.0
        for number in range(parsed.rounds):
            for name in contenders:
                result = in_a_fresh_process(name, depth, parsed)
                seconds[name].append(result["seconds"])
                product += [result["product"]] if "product" in result else []
                gflop = result.get("gflop", gflop)
            print(f"round {number + 1} of {parsed.rounds} done", file=sys.stderr)
        report(depth, parsed, seconds, gflop, statistics.median(product))


def in_a_fresh_process(name: str, depth: int, parsed: argparse.Namespace) -> dict[str, float]:
    """Run `measure` for one contender in a new process."""
    line = [sys.executable, __file__, "--measure", name, "--depth", str(depth)]
    for flag in ("size", "batch", "steps", "threads"):
        line += [f"--{flag}", str(getattr(parsed, flag))]
    environment = dict(os.environ)
    if name == "flaxmark" or parsed.huge_pages_for_all:
        environment["GLIBC_TUNABLES"] = HUGE_PAGES  # as the command flaxmark starts itself
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(parsed: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step; for flaxmark also its GFLOP and the GFLOP/s of a matrix product."""
    if hasattr(os, "sched_setaffinity"):  # XLA starts one thread for each usable core
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: parsed.threads])
    shape = (parsed.depth[0], parsed.size, parsed.batch, parsed.steps)
    if parsed.measure == "flaxmark":
        from flaxmark_step import FlaxmarkStep, gflop_per_step, matrix_product

        step = FlaxmarkStep(*shape[:3])
        times = [step.seconds() for _ in range(parsed.steps + 2)][2:]
        return {"seconds": statistics.median(times), "gflop": gflop_per_step(*shape[:3]), "product": matrix_product()}
    from torch_peer import seconds_per_step

    return {"seconds": seconds_per_step(parsed.measure, *shape, parsed.threads)}


def report(
    depth: int, parsed: argparse.Namespace, seconds: dict[str, list[float]], gflop: float, product: float
) -> None:
    """Print medians with the range over the rounds, and the ratio to the peer's fastest mode."""
    print(f"ResNet-{depth}, {parsed.size} px, batch {parsed.batch}, {parsed.threads} threads, {parsed.rounds} rounds;")
    print(f"{gflop:.1f} GFLOP a step; a matrix product reaches {product:.0f} GFLOP/s")
    print("| | seconds a step (lowest to highest) | images/s | GFLOP/s |\n|---|---:|---:|---:|")
    for name, values in seconds.items():
        middle = statistics.median(values)
        spread = f"{middle:.3f} ({min(values):.3f} to {max(values):.3f})"
        print(f"| {name} | {spread} | {parsed.batch / middle:.1f} | {gflop / middle:.0f} |")
    peers = [name for name in seconds if name != "flaxmark"]
    if peers:
        best = min(peers, key=lambda name: statistics.median(seconds[name]))
        ratios = [theirs / ours for theirs, ours in zip(seconds[best], seconds["flaxmark"], strict=True)]
        print(
            f"flaxmark reaches {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times "
            f"the images/s of torch {best}, round by round\n"
        )


if __name__ == "__main__":
    main()
