"""flaxmark's training step beside PyTorch's, in turn, each in a fresh process.

python benchmarks/train_step.py --depth 18 50 --peer torch      (pip install -e '.[bench]')
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

TORCH_MODES = ("eager", "channels_last", "compile")


def main() -> None:
    """Measure one contender (as a child process), or all of them in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, nargs="+", default=[18], help="of the ResNets")
    parser.add_argument("--size", type=int, default=224, help="side of the pictures, pixels")
    parser.add_argument("--batch", type=int, default=32, help="faces a step")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes of each contender")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of a process")
    parser.add_argument("--threads", type=int, default=2, help="cores that a contender may use")
    parser.add_argument("--peer", choices=["torch", "none"], default="none", help="compare with")
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
    """What `measure` gives for one contender."""
    line = [sys.executable, __file__, "--measure", name, "--depth", str(depth)]
    for flag in ("size", "batch", "steps", "threads"):
        line += [f"--{flag}", str(getattr(parsed, flag))]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(parsed: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step; for flaxmark also its GFLOP and the GFLOP/s of a matrix product."""
    if hasattr(os, "sched_setaffinity"):  # XLA takes as many threads as it may use cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: parsed.threads])
    shape = (parsed.depth[0], parsed.size, parsed.batch, parsed.steps)
    if parsed.measure == "flaxmark":
        return measure_flaxmark(*shape)
    from torch_peer import seconds_per_step

    return {"seconds": seconds_per_step(parsed.measure, *shape, parsed.threads)}


def measure_flaxmark(depth: int, size: int, batch: int, steps: int) -> dict[str, float]:
    """The real train step on a fixed batch.

    Args:
        depth: Of the ResNet.
        size: Side of the pictures, pixels.
        batch: Faces a step.
        steps: Timed ones, after two more.

    Returns:
        `seconds` of a step, `gflop` of a step (three forward passes of plain convolutions), and `product`, GFLOP/s.
    """
    import jax
    import numpy as np

    from flaxmark.config import LossConfig, ModelConfig, OptimizerConfig
    from flaxmark.losses import make_loss
    from flaxmark.models import make_model
    from flaxmark.optimizer import make_optimizer, make_schedule
    from flaxmark.sharding import compile_step, make_mesh, shard_batch
    from flaxmark.steps import make_train_step
    from flaxmark.train_state import init_train_state

    mesh, config = make_mesh(), ModelConfig(depth=depth)  # type: ignore[arg-type]
    model, loss = make_model(config), make_loss(LossConfig("smooth_l1", beta=0.02))
    schedule = make_schedule(OptimizerConfig(), 57, 1140)
    optimizer = make_optimizer(OptimizerConfig(weight_decay=0.01), schedule)
    step = compile_step(make_train_step(model, loss, optimizer, schedule), mesh, "jit", donate=True)
    face = np.full((68, 2), 0.5, np.float32)
    state = jax.jit(lambda key: init_train_state(key, model, optimizer, face, False))(jax.random.key(0))
    random = np.random.default_rng(0)
    images = random.normal(size=(batch, size, size, 3)).astype(np.float32)
    landmarks = random.random((batch, 68, 2), np.float32)
    faces = shard_batch({"image": images, "landmarks": landmarks, "mask": np.ones(batch, np.float32)}, mesh, "jit")
    plain = make_model(config, platform="tpu")  # as XLA counts it: the rewrites hide operations in others
    lowered = jax.jit(lambda v, x: plain.apply(v, x, False)).lower(state.variables, images)
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        state, metrics = step(state, faces)
        float(metrics["loss"])
        times.append(time.perf_counter() - start)
    return {
        "seconds": statistics.median(times[2:]),
        "gflop": 3 * (lowered.cost_analysis() or {})["flops"] / 1e9,
        "product": matrix_product(),
    }


def matrix_product(side: int = 3072) -> float:
    """GFLOP/s of a square float32 product: the ceiling."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((side, side))
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times) / 1e9


def report(
    depth: int, parsed: argparse.Namespace, seconds: dict[str, list[float]], gflop: float, product: float
) -> None:
    """Print medians with the range over the rounds, and the ratio to the best of the peer's modes."""
    print(f"ResNet-{depth}, {parsed.size} px, batch {parsed.batch}, {parsed.threads} threads, {parsed.rounds} rounds;")
    print(f"{gflop:.1f} GFLOP a step; a matrix product makes {product:.0f} GFLOP/s")
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
            f"flaxmark makes {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times "
            f"the images/s of torch {best}, round by round\n"
        )


if __name__ == "__main__":
    main()
