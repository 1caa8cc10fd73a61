"""Predicted cost of a step on more and more TPUs or GPUs, compiled without one (docs/results/predicted_cost.md).

python benchmarks/scaling.py --out scaling.jsonl --depth 18 50 152      (pip install -e '.[aot]')
A compilation takes minutes; those that the file already contains are not repeated.
"""

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

TOPOLOGIES = (("v5e:2x2", 1), ("v5e:2x2", 4), ("v5e:4x4", 16), ("v5e:8x8", 64), ("v5e:16x16", 256))
OTHERS = (("v5p:2x2x1", 4), ("v6e:2x2", 4), ("h100:1", 1), ("h100:8", 8))


def main() -> None:
    """Compile what is missing, then print the whole table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines, one per compilation")
    parser.add_argument("--depth", type=int, nargs="+", default=[18, 50, 152], help="ResNet depths to compile")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=32, help="faces per chip")
    parser.add_argument("--group", type=int, help="faces that share BatchNorm's statistics; default: the whole batch")
    parser.add_argument("--remat", action="store_true", help="recompute activations instead of keeping them")
    parser.add_argument("--topologies", nargs="+", help="such as v5e:4x4; default: those of the table")
    parsed = parser.parse_args()
    wanted = [pair for pair in (*TOPOLOGIES, *OTHERS) if parsed.topologies is None or pair[0] in parsed.topologies]
    done = [json.loads(line) for line in parsed.out.read_text().splitlines()] if parsed.out.exists() else []
    for depth in parsed.depth:
        for topology, chips in wanted:
            key = {
                "depth": depth,
                "topology": topology,
                "chips": chips,
                "size": parsed.size,
                "batch": parsed.batch,
                "group": parsed.group,
                "remat": parsed.remat,
            }
            if not any(row["key"] == key for row in done):
                done.append({"key": key, **compile_one(key)})
                with parsed.out.open("a") as file:
                    file.write(json.dumps(done[-1]) + "\n")
    print("| ResNet | chips | BatchNorm over | GFLOP | GB moved | GB held | exchanges | roofline ms | ", end="")
    print("images/s a chip at most | MFU at most |\n|---|---|---|---:|---:|---:|---|---:|---:|---:|")
    for row in sorted(done, key=lambda row: row["key"]["depth"]):
        print(row["text"])


def compile_one(key: dict[str, Any]) -> dict[str, Any]:
    """Cost of the training step in bfloat16 on one topology."""
    os.environ.update(JAX_PLATFORMS="cpu", TPU_SKIP_MDS_QUERY="1", TPU_WORKER_HOSTNAMES="localhost", TPU_WORKER_ID="0")
    from flaxmark.config.recipes import strong
    from flaxmark.tools.predicted_cost import compile_for, describe_collectives, in_cell

    config = strong(key["depth"], "smooth_l1")
    resnet: Any = config.model
    model = dataclasses.replace(resnet, dtype="bfloat16", batch_norm_group=key["group"], remat=key["remat"])
    train = dataclasses.replace(config.train, batch_size=key["batch"] * key["chips"])
    config = dataclasses.replace(
        config, model=model, train=train, data=dataclasses.replace(config.data, image_size=key["size"])
    )
    start = time.perf_counter()
    cost = compile_for(config, key["topology"], key["chips"], steps=("train",))["train"]
    seconds = time.perf_counter() - start
    cells = [
        f"{key['depth']}" + (", remat" if key["remat"] else ""),
        f"{key['chips']} {key['topology'].split(':')[0]}",
        f"{key['group']}" if key["group"] else "the batch",
        in_cell(cost.flops or cost.model_flops, 1, 1e9),
        in_cell(cost.bytes, 2, 1e9),
        f"{cost.memory / 1e9:.2f}",
        describe_collectives(cost.collectives),
        f"{1e3 * cost.roofline_seconds:.2f}",
        f"{cost.images / cost.roofline_seconds:,.0f}",
        in_cell(cost.model_flops_share, 2),
    ]
    return {"cost": dataclasses.asdict(cost), "compile_seconds": seconds, "text": "| " + " | ".join(cells) + " |"}


if __name__ == "__main__":
    main()
