"""flaxmark's input beside PyTorch's DataLoader and Grain, both with OpenCV; in turn, in fresh processes.

flaxmark's images are made as on this backend, with its faces in memory (resident) or read and decoded (streamed).

python benchmarks/input.py [--size 112] [--rounds 5]      (pip install -e '.[bench]')
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

CONTENDERS = {
    "resident": "flaxmark, resident",
    "streamed": "flaxmark, streamed",
    "torch": "PyTorch's DataLoader",
    "grain": "Grain",
}


def main() -> None:
    """Measure one contender (as a child process), or all of them in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=32, help="faces per batch")
    parser.add_argument("--batches", type=int, default=60, help="timed batches per process")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes per contender")
    parser.add_argument("--workers", type=int, default=2, help="worker processes or threads of the peers")
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="contenders to measure"
    )
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.measure:
        print(json.dumps(measure(parsed)))
        return
    results = [{name: in_a_fresh_process(name, parsed) for name in parsed.contenders} for _ in range(parsed.rounds)]
    print(f"{parsed.size} px, batch {parsed.batch}, strong augmentation, {parsed.rounds} rounds")
    print("| | images/s (lowest to highest) | images/s of processor time |\n|---|---:|---:|")
    for name in parsed.contenders:
        wall, core = ([r[name][key] for r in results] for key in ("wall", "core"))
        print(f"| {CONTENDERS[name]} | {statistics.median(wall):.0f} ({min(wall):.0f} to {max(wall):.0f}) ", end="")
        print(f"| {statistics.median(core):.0f} |")


def in_a_fresh_process(name: str, parsed: argparse.Namespace) -> dict[str, float]:
    """Run `measure` for one contender in a new process."""
    line = [sys.executable, __file__, "--measure", name]
    for flag in ("size", "batch", "batches", "workers"):
        line += [f"--{flag}", str(getattr(parsed, flag))]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(parsed: argparse.Namespace) -> dict[str, float]:
    """Images per second, and images per second of processor time, children included."""
    warm_up = 10
    batches = make_batches(parsed)
    for _ in range(warm_up):
        next(batches)
    started, used = time.perf_counter(), processor_seconds()
    for _ in range(parsed.batches):
        next(batches)
    wall, core = time.perf_counter() - started, processor_seconds() - used
    return {"wall": parsed.batch * parsed.batches / wall, "core": parsed.batch * parsed.batches / core}


def make_batches(parsed: argparse.Namespace) -> Iterator[Any]:
    """Endless batches of drawn faces of a contender, each one ready."""
    import dataclasses

    from flaxmark.config import DataConfig
    from flaxmark.config.recipes import strong
    from flaxmark.data.prepare.prepare import load_split, prepare

    config = strong(18, "smooth_l1")
    data = DataConfig(name="drawn_faces", drawn_train=1000, drawn_validation=20, drawn_size=320)
    data = dataclasses.replace(data, image_size=parsed.size, augment=config.data.augment)
    examples = load_split(prepare(data), "train")
    if parsed.measure in ("resident", "streamed"):
        from flaxmark_step import flaxmark_batches

        train = dataclasses.replace(config.train, batch_size=parsed.batch, epochs=100_000)
        return flaxmark_batches(dataclasses.replace(config, data=data, train=train), examples, parsed.measure)
    from opencv_peer import OpenCvFaces, grain_batches, torch_batches

    make = torch_batches if parsed.measure == "torch" else grain_batches
    return make(OpenCvFaces(examples, data), parsed.batch, parsed.workers)


def processor_seconds() -> float:
    """Processor time of this process and its children, running or ended."""
    import psutil

    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        seconds += times.user + times.system
    return seconds


if __name__ == "__main__":
    main()
