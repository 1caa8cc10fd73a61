"""A run as one file for other software: image and boxes in, landmarks in pixels out.

flaxmark export --workdir runs/x --format onnx --out face.onnx   # or stablehlo, savedmodel, tflite
"""

import argparse
from pathlib import Path

from flaxmark.cli.flags import Parser
from flaxmark.errors import ConfigError
from flaxmark.system.files import new_file


def main(arguments: list[str]) -> None:
    """Write the file and say how well it agrees with predict."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--workdir",
        help="run of flaxmark train, or file of flaxmark pack; left out: the model that comes with flaxmark",
    )
    parser.add_argument(
        "--format", required=True, choices=("stablehlo", "onnx", "savedmodel", "tflite"), help="of the file"
    )
    parser.add_argument(
        "--out", required=True, help="new file: .stablehlo, .onnx, .tflite; for savedmodel a new folder"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parsed = parser.parse_args(arguments)
    endings = {form: (f".{form}",) for form in ("stablehlo", "onnx", "tflite")}
    endings["savedmodel"] = (Path(parsed.out).suffix.lower(),)
    out = new_file(parsed.out, parsed.overwrite, endings[parsed.format])
    assert out is not None  # --out is required
    if out.is_dir() and not (parsed.format == "savedmodel" and (out / "saved_model.pb").is_file()):
        raise ConfigError(f"--out {out}: a folder that is no SavedModel is not replaced; give another name")
    if out.is_file() and parsed.format == "savedmodel":
        raise ConfigError(f"--out {out}: a file; a SavedModel is a folder: give another name")

    from flaxmark.inference.export.export import describe, export
    from flaxmark.inference.predictor import Predictor

    predictor = Predictor(parsed.workdir)
    agreement = export(predictor, parsed.format, out)
    print(f"wrote {out}, which {agreement}")
    if (dtype := predictor.network.config.model.dtype) != "float32":
        print(f"it computes in float32, and was compared with predict in float32; the run itself computes in {dtype}")
    print(f"terms of its training faces: {describe(predictor.network)['terms']}")
