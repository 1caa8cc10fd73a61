"""Write a trained network as one file for other software.

The exported program takes an image and face boxes, and returns landmarks in pixels.

Example:
  flaxmark export --workdir runs/x --format onnx --out face.onnx
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from flaxmark.cli.flags import Model, RequiredFile, parse_flags, require_flags, workdir_errors
from flaxmark.errors import ConfigError
from flaxmark.system.files import new_file

Format = Literal["stablehlo", "onnx", "savedmodel", "tflite"]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark export`."""

    workdir: Model = None
    """Run of flaxmark train, or file of flaxmark pack; default: the model that comes with flaxmark."""
    format: Annotated[Format | None, tyro.conf.DisallowNone, tyro.conf.arg(help_behavior_hint="(required)")] = None
    """Format of the file."""
    out: RequiredFile = ""
    """New file: .stablehlo, .onnx or .tflite; for savedmodel a new folder."""
    overwrite: bool = False
    """Replace --out if it exists."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Write the file and print how well it agrees with predict."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments(), "export")
    require_flags(parsed, format="onnx", out="face.onnx")
    assert parsed.format is not None  # it is required
    ending = Path(parsed.out).suffix.lower()
    if parsed.format == "savedmodel" and ending[1:] in set(get_args(Format)) - {"savedmodel"}:
        raise ConfigError(f"{ending} is the ending of another format; name a folder", field="out", value=parsed.out)
    out = new_file(parsed.out, parsed.overwrite, (ending if parsed.format == "savedmodel" else f".{parsed.format}",))
    assert out is not None  # --out is required
    if out.is_dir() and not (parsed.format == "savedmodel" and (out / "saved_model.pb").is_file()):
        raise ConfigError("a folder that is no SavedModel is not replaced; give another name", field="out", value=out)
    if out.is_file() and parsed.format == "savedmodel":
        raise ConfigError("is a file; a SavedModel is a folder: give another name", field="out", value=out)

    from flaxmark.inference.export.export import describe, export
    from flaxmark.inference.predictor import Predictor

    with workdir_errors(parsed.workdir):
        predictor = Predictor(parsed.workdir)
    agreement = export(predictor, parsed.format, out)
    print(f"wrote {out}, which {agreement}")
    if (dtype := predictor.network.config.model.dtype) != "float32":
        print(f"it computes in float32, and was compared with predict in float32; the run itself computes in {dtype}")
    print(f"terms of its training faces: {describe(predictor.network)['terms']}")
