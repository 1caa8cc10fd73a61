"""Memory of a training step, from the program compiled for this machine; nothing is allocated.

python benchmarks/memory.py --depth 152
"""

import argparse
import dataclasses
from typing import Any

from flaxmark.config.recipes import strong
from flaxmark.system.devices import make_mesh
from flaxmark.tools.predicted_cost import resident_form
from flaxmark.training.memory import input_shapes
from flaxmark.training.xla_programs import build_programs


def main() -> None:
    """Print a row without and one with `model.remat`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, nargs="+", default=[152], help="ResNet depths to measure")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=32, help="faces per step")
    parsed = parser.parse_args()
    print("| network | remat | state and batch, GB | activations and gradients, GB |\n|---|---|---:|---:|")
    mesh = make_mesh()
    for depth in parsed.depth:
        for remat in (False, True):
            config = strong(depth, "smooth_l1")
            resnet: Any = config.model
            config = dataclasses.replace(config, model=dataclasses.replace(resnet, remat=remat))
            data = dataclasses.replace(config.data, image_size=parsed.size)
            train = dataclasses.replace(config.train, batch_size=parsed.batch)
            config, form = dataclasses.replace(config, data=data, train=train), resident_form(config).given()
            programs = build_programs(config, 57, mesh, form)
            shapes = input_shapes(programs, config, mesh, form)
            memory = programs.train.lower(*shapes).compile().memory_analysis()  # type: ignore[attr-defined]
            held, temporary = memory.argument_size_in_bytes / 1e9, memory.temp_size_in_bytes / 1e9
            print(f"| ResNet-{depth} | {'on' if remat else 'off'} | {held:.2f} | {temporary:.2f} |", flush=True)


if __name__ == "__main__":
    main()
