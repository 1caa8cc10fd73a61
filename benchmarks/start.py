"""Time from the command to the first step: import, data and compilation, with an empty and a full compilation cache.

The part that compiles or loads the training step is measured separately.

python benchmarks/start.py --depth 18 50
"""

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = ["--data.name", "drawn_faces", "--data.drawn-train", "200", "--data.drawn-validation", "20"]


def main() -> None:
    """Start training in fresh processes, first with an empty cache of compiled programs and then with a full one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, nargs="+", default=[18], help="ResNet depths to measure")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=32, help="faces per step")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes per network and cache")
    parser.add_argument("--compile-only", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.compile_only:
        print(compile_seconds(parsed.depth[0], parsed.size, parsed.batch))
        return
    print("| network | cache of compiled programs | seconds until the first step (lowest to highest) ", end="")
    print("| of which compiling or loading the training step |\n|---|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        own = [*DATA, "--data.image-size", str(parsed.size), "--train.batch-size", str(parsed.batch)]
        seconds_to_header(18, own, Path(folder, "prepare"), Path(folder, "prepare_cache"))  # prepares the data set
        for depth in parsed.depth:
            times: dict[str, list[float]] = {"empty": [], "full": []}
            compiling: dict[str, list[float]] = {"empty": [], "full": []}
            for number in range(parsed.rounds):
                for kind in times:
                    workdir = Path(folder, f"run_{depth}_{number}_{kind}")
                    times[kind].append(seconds_to_header(depth, own, workdir, Path(folder, f"cache_{depth}_{number}")))
                    alone = Path(folder, f"alone_{depth}_{number}")
                    compiling[kind].append(in_a_fresh_process(depth, parsed.size, parsed.batch, alone))
            for kind, values in times.items():
                spread = f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
                print(f"| ResNet-{depth} | {kind} | {spread} | {statistics.median(compiling[kind]):.2f} |", flush=True)


def in_a_fresh_process(depth: int, size: int, batch: int, cache: Path) -> float:
    """Run `compile_seconds` in a new process with a cache of compiled programs."""
    line = [
        sys.executable,
        __file__,
        "--compile-only",
        "--depth",
        str(depth),
        "--size",
        str(size),
        "--batch",
        str(batch),
    ]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def compile_seconds(depth: int, size: int, batch: int) -> float:
    """Seconds to compile the training step of recipe `strong`, without tracing it."""
    from flaxmark.config.recipes import strong
    from flaxmark.system.devices import make_mesh
    from flaxmark.tools.predicted_cost import resident_form
    from flaxmark.training.memory import input_shapes
    from flaxmark.training.xla_programs import build_programs

    mesh = make_mesh()
    config = strong(depth, "smooth_l1")  # type: ignore[arg-type]
    data = dataclasses.replace(config.data, image_size=size)
    train = dataclasses.replace(config.train, batch_size=batch)
    config, form = dataclasses.replace(config, data=data, train=train), resident_form(config).given()
    programs = build_programs(config, 57, mesh, form)
    lowered = programs.train.lower(*input_shapes(programs, config, mesh, form))  # type: ignore[attr-defined]
    start = time.perf_counter()
    lowered.compile()
    return time.perf_counter() - start


def seconds_to_header(depth: int, own: list[str], workdir: Path, cache: Path) -> float:
    """Seconds until training has printed its header: all is loaded and compiled, the first step comes next."""
    config = ROOT / "configs" / f"resnet{depth}_smooth_l1.py"
    line = [
        sys.executable,
        str(ROOT / "scripts" / "train.py"),
        "--config",
        str(config),
        "--workdir",
        str(workdir),
        *own,
    ]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    start = time.perf_counter()
    process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = []
    for text in process.stdout or ():
        output.append(text)
        if text.startswith("workdir"):
            break
    else:
        sys.exit(f"no header:\n{''.join(output)}")
    seconds = time.perf_counter() - start
    process.kill()
    process.communicate()
    return seconds


if __name__ == "__main__":
    main()
