"""Images per second of training: the step on a fixed batch, and the real loop with its input, beside PyTorch's.

python benchmarks/throughput.py --depth 18 50 --batch 128 --dtype bfloat16 --peer torch     (pip install -e '.[bench]')

Each contender has its own process, in which segments take turns: fixed batch, input, fixed batch, and so on. The loop
is `training.run_steps` without checkpoints and validation. The peer has no averaged weights, and its DataLoader uses
all cores and never restarts.
"""

import argparse
import dataclasses
import datetime
import importlib.util
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from flaxmark.cli.main import run_main
from flaxmark.config import DEPTHS, Config
from flaxmark.config.checks import check_config
from flaxmark.config.recipes import strong
from flaxmark.errors import ConfigError, FlaxmarkError, MissingPackageError, StorageError
from flaxmark.system.cores import usable_cores

Result = dict[str, Any]
"""Result of `measure` for a contender with the `rows` of `make_rows`, or the reason why it `failed`."""

TORCH = {"torch default": "default", "torch max-autotune": "max-autotune"}
ROWS = {"fixed": "fixed batch", "resident": "loop, resident", "streamed": "loop, streamed", "fed": "with input"}
FACES = 1824  # 57 batches of 32
EPOCHS = 100_000  # more than any benchmark trains

SHARES = {("gpu", 18, 224): 0.90, ("gpu", 50, 224): 0.95, ("gpu", 18, 112): 0.85}
"""Target for the loop's rate relative to the fixed batch's, by platform, depth and size."""
TWO_CORES = 0.93  # the same for any depth at 224 px on a CPU with 2 cores
TIMES_TORCH = 1.25  # target relative to torch on a GPU, both with their input


class Parser(argparse.ArgumentParser):
    """A parser that reports errors in one line, as flaxmark does."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(f"{message}; --help shows all flags")


def main(arguments: list[str]) -> None:
    """Measure one contender (as a child process), or all of them, one after another."""
    parsed = parse(arguments)
    if parsed.measure:
        print(json.dumps(measure(parsed)))
        return
    check_arguments(parsed)
    from flaxmark.data.prepare.prepare import load_split, prepare

    faces = len(load_split(prepare(make_config(parsed, parsed.depth[0]).data), "train"))
    if faces < parsed.batch:
        raise ConfigError(f"there are only {faces} training faces", field="batch", value=parsed.batch)
    found: dict[int, dict[str, Result]] = {depth: {} for depth in parsed.depth}
    for name in ("flaxmark", *(TORCH if parsed.peer else ())):
        for depth in parsed.depth:
            found[depth][name] = in_a_fresh_process(name, depth, arguments, parsed)
    for depth, results in found.items():
        print(format_depth(parsed, depth, faces, results), end="\n\n")
    about = {"date": datetime.date.today().isoformat(), "cores": usable_cores(), "machine": platform.machine()}
    print(format_machine(next(iter(found.values())), about))
    targets = [line for depth, results in found.items() for line in check_targets(parsed.size, depth, results)]
    print("\n".join(target["text"] for target in targets) or "no target applies to this platform and size")
    if parsed.json:
        asked = {name: value for name, value in vars(parsed).items() if name not in ("measure", "deadline", "debug")}
        figures = {**about, "arguments": asked, "faces": faces, "depths": found, "targets": targets}
        write_new(Path(parsed.json), json.dumps(figures, indent=2) + "\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, nargs="+", choices=DEPTHS, default=[18], help="ResNet depths to measure")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=positive, default=32, help="faces per step")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="type of the convolutions")
    parser.add_argument("--peer", choices=["torch"], help="peer to compare with")
    parser.add_argument("--json", metavar="FILE", help="write all figures to this new file")
    parser.add_argument("--rounds", type=positive, default=3, help="rounds of segments")
    parser.add_argument("--steps", type=positive, default=12, help="minimum timed steps per segment")
    parser.add_argument("--seconds", type=float, default=2, help="minimum duration of a segment")
    parser.add_argument("--minutes", type=float, default=9.5, help="time limit; peers not done by then are left out")
    parser.add_argument("--faces", type=positive, help=f"number of drawn faces (320 px); default {FACES:,}")
    parser.add_argument("--data", metavar="FOLDER", help="use 300-W instead, with its train.txt and val.txt if present")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    parsed.depth = list(dict.fromkeys(parsed.depth))
    parsed.deadline = time.monotonic() + 60 * parsed.minutes
    return parsed


def positive(text: str) -> int:
    """Parse an integer above 0."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def check_arguments(parsed: argparse.Namespace) -> None:
    """Refuse what cannot work before anything slow starts."""
    if parsed.peer and not all(importlib.util.find_spec(name) for name in ("torch", "cv2")):
        raise MissingPackageError("needs PyTorch and OpenCV; pip install -e '.[bench]'", field="peer", value="torch")
    if parsed.json and (Path(parsed.json).exists() or not Path(parsed.json).parent.is_dir()):
        raise StorageError("exists, or its folder does not; give another name", field="json", value=parsed.json)
    if parsed.data and parsed.faces:
        raise ConfigError("is for drawn faces, not for --data", field="faces")
    faces = parsed.faces or FACES
    if not parsed.data and faces < parsed.batch:
        raise ConfigError(f"there are only {faces} faces; raise --faces", field="batch", value=parsed.batch)
    check_config(make_config(parsed, parsed.depth[0]))


def make_config(parsed: argparse.Namespace, depth: int) -> Config:
    """The strong recipe with the flags' values."""
    config = strong(depth, "smooth_l1")  # type: ignore[arg-type]
    source: dict[str, Any] = {"name": "drawn_faces", "drawn_train": parsed.faces or FACES}
    source |= {"drawn_validation": 20, "drawn_size": 320}
    if parsed.data:
        lists = {"train_list": "train.txt", "validation_list": "val.txt"}
        paths = {field: Path(parsed.data, name) for field, name in lists.items()}
        source = {"name": "ibug_300w", "dir": parsed.data}
        source |= {field: str(path.absolute()) for field, path in paths.items() if path.is_file()}
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, image_size=parsed.size, **source),
        model=dataclasses.replace(config.model, dtype=parsed.dtype),
        train=dataclasses.replace(config.train, batch_size=parsed.batch, epochs=EPOCHS),
    )


def in_a_fresh_process(name: str, depth: int, arguments: list[str], parsed: argparse.Namespace) -> Result:
    """Run `measure` for one contender in a new process, with an empty cache of compiled programs."""
    line = [sys.executable, __file__, *arguments, "--depth", str(depth), "--measure", name]
    title, start = f"ResNet-{depth}, {name}", time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        caches = ("JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
        environment = os.environ | {variable: str(Path(cache, variable)) for variable in caches}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(line, env=environment, start_new_session=True, **pipes) as process:
            try:
                left = None if name == "flaxmark" else max(0.0, parsed.deadline - start)
                output, errors = process.communicate(timeout=left)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)  # with its workers
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                return {"failed": f"not done within --minutes {parsed.minutes:g}"}
    if process.returncode:
        lines = errors.strip().splitlines() or [f"ended with status {process.returncode}"]
        if name == "flaxmark":
            raise FlaxmarkError(f"{title}: {lines[-1].removeprefix('error: ')}")
        return {"failed": lines[-1]}
    print(f"{title}: done in {time.monotonic() - start:.0f} s", file=sys.stderr)
    result: Result = json.loads(output.splitlines()[-1])
    return result | {"rows": make_rows(result["segments"], parsed.batch)}


def measure(parsed: argparse.Namespace) -> Result:
    """Train with one contender; the segments of the result are [input, steps, seconds], in order."""
    config = make_config(parsed, parsed.depth[0])
    with tempfile.TemporaryDirectory() as workdir:
        training = make_training(parsed.measure, parsed.depth[0], config, Path(workdir))
        inputs = [name for name in ROWS if name in training.memory and name != "fixed"]
        turns = [name for _ in range(parsed.rounds) for other in inputs for name in ("fixed", other)]
        segments = [[name, *training.segment(name, parsed.steps, parsed.seconds)] for name in turns]
        return {
            "about": training.about,
            "compile_seconds": training.compile_seconds,
            "memory_bytes": training.memory,
            "segments": segments,
        }


def make_training(name: str, depth: int, config: Config, workdir: Path) -> Any:
    """Build one contender, ready to make segments."""
    if name == "flaxmark":
        from flaxmark_step import FlaxmarkTraining

        return FlaxmarkTraining(config, workdir)
    from opencv_peer import OpenCvFaces, torch_batches
    from torch_peer import TorchTraining, device_name

    from flaxmark.data.prepare.prepare import load_split, prepare

    faces = OpenCvFaces(load_split(prepare(config.data), "train"), config.data)
    batches = torch_batches(faces, config.train.batch_size, usable_cores(), pin_memory=device_name() == "cuda")
    return TorchTraining(TORCH[name], depth, config.model.dtype, batches)


def make_rows(segments: list[list[Any]], batch: int) -> dict[str, dict[str, Any]]:
    """Figures of each input, from segments [input, steps, seconds] with a fixed one before each other one.

    `share_of_fixed` is relative to the segment before (empty for `fixed`); `ms_per_step` is the median.
    """
    rows: dict[str, dict[str, Any]] = {}
    fixed = 0.0
    for name, steps, seconds in segments:
        row = rows.setdefault(name, {"images_per_second": [], "share_of_fixed": []})
        rate = batch * steps / seconds
        row["images_per_second"].append(rate)
        if name == "fixed":
            fixed = rate
        else:
            row["share_of_fixed"].append(rate / fixed)
    for row in rows.values():
        row["ms_per_step"] = 1000 * batch / statistics.median(row["images_per_second"])
    return rows


def format_depth(parsed: argparse.Namespace, depth: int, faces: int, results: dict[str, Result]) -> str:
    """A Markdown table of all contenders."""
    lines = [
        f"ResNet-{depth}, {parsed.size} px, batch {parsed.batch}, {parsed.dtype}, {faces:,} faces, "
        f"{parsed.rounds} rounds, segments of at least {parsed.steps} steps and {parsed.seconds:g} s\n",
        "| | images/s (lowest to highest) | share of the fixed batch | ms a step | compile s | device memory, MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, result in results.items():
        for kind, row in result.get("rows", {}).items():
            shares, memory = row["share_of_fixed"], result["memory_bytes"][kind]
            cells = [
                f"{name}, {ROWS[kind]}",
                spread(row["images_per_second"], ".1f"),
                spread(shares, ".3f") if shares else "",
                f"{row['ms_per_step']:.1f}",
                f"{result['compile_seconds'][kind]:.1f}" if kind in result["compile_seconds"] else "",
                f"{memory / 1e6:,.0f}" if memory else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *(f"\n{name}: {r['failed']}" for name, r in results.items() if "failed" in r)])


def spread(values: list[float], digits: str) -> str:
    """Median and range."""
    return f"{statistics.median(values):{digits}} ({min(values):{digits}} to {max(values):{digits}})"


def format_machine(results: dict[str, Result], about: dict[str, Any]) -> str:
    """One line with devices and versions of each contender, cores and date."""
    known = {r["about"]["version"]: r["about"] for r in results.values() if "about" in r}
    contenders = [f"{version} on {a['devices']} x {a['device']} ({a['platform']})" for version, a in known.items()]
    return f"{'; '.join(contenders)}; {about['cores']} cores, {about['machine']}; {about['date']}"


def check_targets(size: int, depth: int, results: dict[str, Result]) -> list[dict[str, Any]]:
    """Targets for this platform, each with the wanted and the reached value, and a line that says whether it is met."""
    ours = results["flaxmark"]
    where = ours["about"]["platform"]
    wanted = SHARES.get((where, depth, size), TWO_CORES if (where, usable_cores(), size) == ("cpu", 2, 224) else None)
    rows, targets = ours["rows"], []
    if wanted:
        for kind in ("resident", "streamed"):
            reached = statistics.median(rows[kind]["share_of_fixed"])
            targets.append((f"{ROWS[kind]}, share of the fixed batch", wanted, reached))
    peers = [r["rows"]["fed"] for r in results.values() if "fed" in r.get("rows", {})]
    if peers and where == "gpu":
        best = max(statistics.median(row["images_per_second"]) for row in peers)
        reached = statistics.median(rows["resident"]["images_per_second"]) / best
        targets.append((f"{ROWS['resident']}, times torch with its input", TIMES_TORCH, reached))
    lines = []
    for what, wanted, reached in targets:
        outcome = "met" if reached >= wanted else "not met"
        text = f"ResNet-{depth}, {what}: {reached:.3f} of {wanted:.2f}, {outcome}"
        lines.append({"text": text, "depth": depth, "wanted": wanted, "reached": reached, "met": outcome == "met"})
    return lines


def write_new(path: Path, text: str) -> None:
    """Write a new file atomically; an existing one is never replaced."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    try:
        os.link(part, path)
    except FileExistsError:
        raise StorageError(f"exists by now; the figures are in {part}", field="json", value=path) from None
    part.unlink()


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
