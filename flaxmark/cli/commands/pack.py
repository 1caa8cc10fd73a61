"""A run as one small file for prediction: flaxmark pack --workdir runs/x --out x.safetensors.

Kernels become 8-bit integers; the errors on the validation faces before and after are printed.
"""

import argparse
import os

from flaxmark.cli.flags import Parser
from flaxmark.errors import ConfigError
from flaxmark.system.files import new_file


def main(arguments: list[str]) -> None:
    """Write the file and say what it costs."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True, help="folder of a run of flaxmark train")
    parser.add_argument("--out", required=True, help="new .safetensors file")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parsed = parser.parse_args(arguments)
    out = new_file(parsed.out, parsed.overwrite, (".safetensors",))
    if os.path.isfile(parsed.workdir):
        raise ConfigError(f"--workdir {parsed.workdir}: not the folder of a run; a packed one cannot be packed again")

    import numpy as np

    from flaxmark.data.input.feed import crops_of
    from flaxmark.data.prepare.prepare import load_split, prepare
    from flaxmark.evaluation.metrics import nme
    from flaxmark.inference.network import BATCH_SIZES, Network
    from flaxmark.storage.packed import pack

    assert out is not None  # --out is required
    network = Network(parsed.workdir)
    metadata = {key: value for key, value in network.metadata.items() if key != "step"}
    pack(network.variables, metadata, out)
    print(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")
    data = network.data
    try:
        examples = load_split(prepare(data, for_training=False), "validation")
    except ConfigError as problem:  # packed all the same
        print(f"its NME was not measured: {problem}")
        return
    networks, count = {"float32": network, "8 bits": Network(out)}, len(examples)
    found: dict[str, list[np.ndarray]] = {name: [] for name in networks}
    for start in range(0, count, BATCH_SIZES[-1]):  # crops take far more memory than what is found in them
        chosen = range(start, min(start + BATCH_SIZES[-1], count))
        crops = crops_of(examples, chosen, data, data.image_size)
        for name, of in networks.items():
            found[name].append(of.run_images(crops)["landmarks"])
    for name, landmarks in found.items():
        error = nme(np.concatenate(landmarks), examples.landmarks, markup=data.markup).mean()
        print(f"NME on the {count} validation faces, {name}: {error:.3f} %")
