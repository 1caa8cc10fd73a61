"""flaxmark.Predictor beside PyTorch and ONNX Runtime, in turn, each in a fresh process: a 640 px image and a box.

python benchmarks/predict.py --depth 18 50 --peer torch onnx      (pip install -e '.[bench,export]')

ONNX Runtime runs the exported network on flaxmark's crops. "Crop and copies" is the time without the network.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BOX = np.array([220.0, 200.0, 420.0, 410.0])
Pair = tuple[Callable[[], object], Callable[[], object]]


def main() -> None:
    """Measure one contender (as a child process), or all of them in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, nargs="+", default=[18], help="ResNet depths to measure")
    parser.add_argument("--size", type=int, default=224, help="side of the network's input, pixels")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32], help="faces per call")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes per contender")
    parser.add_argument("--calls", type=int, default=7, help="timed calls per process")
    parser.add_argument("--threads", type=int, default=2, help="cores that a contender may use")
    parser.add_argument("--peer", nargs="*", choices=["torch", "onnx"], default=[], help="peers to compare with")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.measure:
        print(json.dumps(measure(parsed)))
        return
    contenders = ["flaxmark", *parsed.peer]
    print("| network | faces a call | contender | ms a face (lowest to highest) | of which crop and copies |")
    print("|---|---:|---|---:|---:|")
    for depth in parsed.depth:
        results = [{name: in_a_fresh_process(name, depth, parsed) for name in contenders} for _ in range(parsed.rounds)]
        for batch in map(str, parsed.batch):
            for name in contenders:
                whole, crop = ([r[name][batch][part] for r in results] for part in (0, 1))
                spread = f"{statistics.median(whole):.1f} ({min(whole):.1f} to {max(whole):.1f})"
                print(f"| ResNet-{depth} | {batch} | {name} | {spread} | {statistics.median(crop):.2f} |")
            for name in parsed.peer:
                ratios = [r[name][batch][0] / r["flaxmark"][batch][0] for r in results]
                print(f"| | | | {statistics.median(ratios):.2f} times {name}'s rate, round by round | |")


def in_a_fresh_process(name: str, depth: int, parsed: argparse.Namespace) -> dict[str, list[float]]:
    """Run `measure` for one contender in a new process."""
    line = [sys.executable, __file__, "--measure", name, "--depth", str(depth)]
    line += ["--batch", *map(str, parsed.batch)]
    for flag in ("size", "calls", "threads"):
        line += [f"--{flag}", str(getattr(parsed, flag))]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(parsed: argparse.Namespace) -> dict[str, list[float]]:
    """Median milliseconds per face for each batch size: of the whole call, and without the network."""
    if hasattr(os, "sched_setaffinity"):  # XLA starts one thread for each usable core
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: parsed.threads])
    image = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
    if parsed.measure == "torch":
        from torch_peer import TorchPredictor

        predictor = TorchPredictor(parsed.depth[0], parsed.size, parsed.threads)
        calls = {batch: torch_calls(predictor, [image] * batch) for batch in parsed.batch}
    else:
        calls = flaxmark_calls(parsed, image)
    return {
        str(batch): [1e3 * seconds_of(call, parsed.calls) / batch for call in pair] for batch, pair in calls.items()
    }


def torch_calls(predictor: Any, images: list[np.ndarray]) -> Pair:
    """The whole prediction, and the same without its network."""
    return lambda: predictor.predict(images, BOX), lambda: predictor.inputs(images, BOX)


def flaxmark_calls(parsed: argparse.Namespace, image: np.ndarray) -> dict[int, Pair]:
    """The whole of `predict_many`, and the same without its network."""
    import jax
    import jax.numpy as jnp
    import optax

    import flaxmark
    from flaxmark.config import Config, DataConfig, ResNetConfig
    from flaxmark.data.input.network_input import make_upright_images
    from flaxmark.models.model import make_model
    from flaxmark.schema import to_dict
    from flaxmark.storage.checkpoint import RunCheckpoints
    from flaxmark.training.train_state import init_train_state

    config = Config(data=DataConfig(image_size=parsed.size), model=ResNetConfig(depth=parsed.depth[0]))
    model = make_model(config.model)
    face = np.full((68, 2), 0.5, np.float32)
    state = jax.jit(lambda key: init_train_state(key, model, optax.sgd(0.1), face, False))(jax.random.key(0))
    with tempfile.TemporaryDirectory() as folder:
        with RunCheckpoints(Path(folder)) as checkpoints:
            metadata = {"config": to_dict(config), "terms": "free"}
            checkpoints.save(state.replace(step=jnp.int32(1)), metadata, {"loss": 1.0})
        whole, crops = flaxmark.Predictor(folder), flaxmark.Predictor(folder)
    sample = jax.jit(make_upright_images(config.data))

    def no_network(_: object, faces: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        return {"landmarks": jnp.broadcast_to(face, (len(sample(faces).block_until_ready()), 68, 2))}

    crops.network._forward = no_network
    if parsed.measure == "onnx":
        whole.network._forward = onnx_network(whole, parsed.threads)

    def call(predictor: flaxmark.Predictor, batch: int) -> Callable[[], object]:
        return lambda: list(predictor.predict_many([image] * batch, [BOX] * batch))

    return {batch: (call(whole, batch), call(crops, batch)) for batch in parsed.batch}


def onnx_network(predictor: Any, threads: int) -> Callable[[object, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """The same network, exported and run by ONNX Runtime."""
    import jax
    import onnxruntime

    from flaxmark.data.input.network_input import make_upright_images
    from flaxmark.inference.export.onnx_model import make_crop_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = make_crop_model(predictor.network).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    sample = jax.jit(make_upright_images(predictor.network.data))
    return lambda _, faces: {"landmarks": session.run(["landmarks"], {"crops": np.asarray(sample(faces))})[0]}


def seconds_of(call: Callable[[], object], count: int) -> float:
    """Median seconds of a call, after two calls to compile and warm up."""
    times = []
    for _ in range(count + 2):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


if __name__ == "__main__":
    main()
