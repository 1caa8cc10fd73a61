"""Write a trained network as one small file for prediction.

Kernels become 8-bit integers; the errors on the validation faces before and after are printed. The file also keeps the
statistics that training starts from (train --model.init-from); for a packed file they are measured on drawn faces.

Example:
  flaxmark pack --workdir runs/x --out x.safetensors
  flaxmark pack --workdir without_statistics.safetensors --out x.safetensors
"""

import dataclasses
import os
from pathlib import Path

from flaxmark.cli.flags import RequiredFile, RequiredFolder, parse_flags, require_flags, workdir_errors
from flaxmark.errors import FlaxmarkError
from flaxmark.system.files import new_file


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark pack`."""

    workdir: RequiredFolder = ""
    """Folder of a run of flaxmark train; or a packed file, to measure its statistics."""
    out: RequiredFile = ""
    """New .safetensors file."""
    overwrite: bool = False
    """Replace --out if it exists."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Write the file and print its errors."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments(), "pack")
    require_flags(parsed, workdir="runs/x", out="x.safetensors")
    out = new_file(parsed.out, parsed.overwrite, (".safetensors",))
    import numpy as np

    from flaxmark.data.input.feed import crops_of
    from flaxmark.data.prepare.prepare import load_split, prepare
    from flaxmark.evaluation.metrics import mean_nme
    from flaxmark.inference.network import BATCH_SIZES, Network
    from flaxmark.storage.packed import pack, pack_again
    from flaxmark.storage.trained import moments_of_run

    assert out is not None  # --out is required
    with workdir_errors(parsed.workdir):
        network = Network(parsed.workdir)
    if os.path.isfile(parsed.workdir):
        from flaxmark.tools.drawn_moments import measure_moments

        pack_again(Path(parsed.workdir), measure_moments(network), out)
        print(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")
        return
    metadata = {key: value for key, value in network.metadata.items() if key != "step"}
    pack(network.variables, metadata, out, moments_of_run(Path(parsed.workdir)))
    print(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")
    data = network.data
    try:
        examples = load_split(prepare(data, for_training=False), "validation")
    except FlaxmarkError as problem:  # it is packed all the same
        print(f"its NME was not measured: {problem}")
        return
    networks, count = {"float32": network, "8 bits": Network(out)}, len(examples)
    found: dict[str, list[np.ndarray]] = {name: [] for name in networks}
    for start in range(0, count, BATCH_SIZES[-1]):  # crops take far more memory than predictions
        chosen = range(start, min(start + BATCH_SIZES[-1], count))
        crops = crops_of(examples, chosen, data, data.image_size)
        for name, of in networks.items():
            found[name].append(of.run_images(crops)["landmarks"])
    for name, landmarks in found.items():
        error = mean_nme(np.concatenate(landmarks), examples.landmarks, markup=data.markup)
        print(f"NME on the {count} validation faces, {name}: {error:.3f} %")
