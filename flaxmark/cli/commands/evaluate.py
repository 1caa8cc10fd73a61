"""Evaluate a run's best checkpoint on each split and subset, beside the mean face.

Example:
  flaxmark evaluate --workdir runs/x --data.name csv --data.dir FOLDER
"""

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flaxmark.cli.flags import OptionalFile, RequiredFolder, parse_flags, require_flags, workdir_errors
from flaxmark.data.config import DataConfig, check_data
from flaxmark.errors import CheckpointError, ConfigError
from flaxmark.system.files import new_file
from flaxmark.system.reading import reason_for_text

if TYPE_CHECKING:
    from flaxmark.config import Config

# The network's input belongs to the run; evaluation chooses only the faces.
FIXED = ("image_size", "pixel_mean", "pixel_std", "augment", "markup")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark evaluate`."""

    data: DataConfig
    workdir: RequiredFolder = ""
    """Folder of a run of flaxmark train, or a file of flaxmark pack."""
    faces: Literal["auto", "all", "held-out"] = "auto"
    """Which faces: held-out (the validation and test splits), all (every face of the folder, also those that were
    trained on), or auto: held-out faces of a folder that the run was trained on or that names such faces itself, else
    all."""
    out: OptionalFile = None
    """Also write the table to this new .md file, and the numbers to a .json file beside it."""
    overwrite: bool = False
    """Replace --out if it exists."""
    debug: bool = False
    """Show a traceback when something fails."""


def workdir_of(arguments: list[str]) -> Path | None:
    """The value of --workdir, before the other flags are parsed: their defaults are the run's."""
    names = [value for flag, value in itertools.pairwise(arguments) if flag == "--workdir"]
    names += [argument.split("=", 1)[1] for argument in arguments if argument.startswith("--workdir=")]
    return Path(names[-1]) if names else None


def run_config(workdir: Path) -> "Config":
    """The config of a run, or of a packed file."""
    from flaxmark.config import Config
    from flaxmark.schema import from_dict
    from flaxmark.storage.remote import checkpoints_of

    if workdir.is_file():
        from flaxmark.storage.packed import load_packed

        path = workdir
        with workdir_errors(str(workdir)):
            stored = load_packed(workdir)[1]["config"]
    else:
        path = workdir / "config.json"
        if not path.is_file():
            found = "no config.json in it" if workdir.exists() else "no such folder"
            reason = f"{found}; name the folder of a run of flaxmark train, or a file of flaxmark pack"
            raise CheckpointError(reason, field="workdir", value=workdir)
        if not checkpoints_of(workdir).is_dir():
            reason = "not trained yet; flaxmark train makes its checkpoints"
            raise CheckpointError(reason, field="workdir", value=workdir)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                reason_for_text(path, f"{error}; it is not the file that training wrote"), file=path
            ) from error
    try:
        return from_dict(stored, Config)
    except ConfigError as error:  # of another version, or of extensions that are not loaded
        raise CheckpointError(f"its config cannot be used: {error}", file=path) from error


def check_faces(wanted: DataConfig, trained: DataConfig) -> None:
    """Refuse flags that would feed the network other than in training."""
    for name in FIXED:
        if getattr(wanted, name) != getattr(trained, name):
            raise ConfigError("the run's own is fixed; evaluate chooses only the faces", field=f"data.{name}")
    if wanted.crop.scale != trained.crop.scale:
        reason = f"the network was trained with {trained.crop.scale}"
        raise ConfigError(reason, field="data.crop.scale", value=wanted.crop.scale)
    check_data(wanted)


def main(arguments: list[str]) -> None:
    """Print the table."""
    workdir, config = workdir_of(arguments), None
    wants_help = bool({"-h", "--help"} & set(arguments))
    if workdir is not None and not (wants_help and not (workdir / "config.json").is_file() and not workdir.is_file()):
        config = run_config(workdir)
    default = Arguments(DataConfig() if config is None else config.data)
    parsed = parse_flags(Arguments, arguments, __doc__, default, "evaluate")
    require_flags(parsed, workdir="runs/x")
    assert config is not None  # --workdir is required
    check_faces(parsed.data, config.data)
    out = new_file(parsed.out, parsed.overwrite, (".md",))
    figures = new_file(parsed.out and str(Path(parsed.out).with_suffix(".json")), parsed.overwrite, (".json",))
    from flaxmark.cli.evaluated_faces import describe_faces, prepare_faces
    from flaxmark.evaluation.evaluate_split import format_results
    from flaxmark.evaluation.run_report import evaluate_run
    from flaxmark.system.devices import start_devices
    from flaxmark.system.files import write_text
    from flaxmark.system.json_text import json_text

    start_devices()
    prepared = prepare_faces(parsed.faces, parsed.data, config.data)
    evaluated = evaluate_run(Path(parsed.workdir), prepared, dataclasses.replace(config, data=parsed.data))
    table = format_results(evaluated.rows)
    step = evaluated.metadata.get("step")
    print(f"{'packed network' if step is None else f'best checkpoint: step {step}'}")
    print(f"faces: {describe_faces(prepared)}\n{table}")
    if out is not None and figures is not None:
        write_text(out, table + "\n")
        write_text(figures, json_text(evaluated.rows, indent=1) + "\n")
        print(f"wrote {out} and {figures}", file=sys.stderr)
