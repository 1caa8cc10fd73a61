"""Figures of a run's best checkpoint per split and subset, beside the mean face.

flaxmark evaluate --workdir runs/x [--data.name csv --data.dir FOLDER ..]
"""

import dataclasses
import itertools
import json
import sys
from pathlib import Path

from flaxmark.cli.flags import parse_flags
from flaxmark.config import Config, DataConfig
from flaxmark.data.config import check_data
from flaxmark.errors import ConfigError
from flaxmark.schema import from_dict
from flaxmark.storage.remote import checkpoints_of
from flaxmark.system.files import new_file

# What the network is fed belongs to the run; evaluation chooses only the faces.
FIXED = ("image_size", "pixel_mean", "pixel_std", "augment", "markup")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Which run, and on which faces."""

    data: DataConfig
    workdir: str = ""
    """The run's folder."""
    out: str | None = None
    """Also write the table to this new .md file and the figures beside it as .json."""
    overwrite: bool = False
    """Replace --out if it exists."""
    debug: bool = False
    """Show a traceback when something fails."""


def run_config(arguments: list[str]) -> Config:
    """The config of the run named by --workdir, which the flags start from."""
    names = [value for flag, value in itertools.pairwise(arguments) if flag == "--workdir"]
    names += [argument.split("=", 1)[1] for argument in arguments if argument.startswith("--workdir=")]
    path = Path(names[-1], "config.json") if names else None
    if path is None or not path.is_file():
        if "--help" in arguments or "-h" in arguments:
            return Config()
        where = f"--workdir {names[-1]}: no config.json in it" if names else "--workdir is missing"
        raise ConfigError(f"{where}; name the folder of a run of flaxmark train")
    if not checkpoints_of(path.parent).is_dir():
        raise ConfigError(f"--workdir {names[-1]}: not trained yet; flaxmark train makes its checkpoints")
    try:
        return from_dict(json.loads(path.read_text(encoding="utf-8")), Config)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}; it is not the file that training wrote") from error


def check_faces(wanted: DataConfig, trained: DataConfig) -> None:
    """Refuse flags that would feed the network other than in training."""
    for name in FIXED:
        if getattr(wanted, name) != getattr(trained, name):
            raise ConfigError(
                f"--data.{name.replace('_', '-')}: the run's own is fixed; evaluate chooses only the faces"
            )
    if wanted.crop.scale != trained.crop.scale:
        raise ConfigError(f"--data.crop.scale {wanted.crop.scale}: the network was trained with {trained.crop.scale}")
    check_data(wanted)


def main(arguments: list[str]) -> None:
    """Print the table."""
    config = run_config(arguments)
    parsed = parse_flags(Arguments, arguments, __doc__ or "", Arguments(config.data))
    check_faces(parsed.data, config.data)
    out = new_file(parsed.out, parsed.overwrite, (".md",))
    figures = new_file(parsed.out and str(Path(parsed.out).with_suffix(".json")), parsed.overwrite, (".json",))
    from flaxmark.data.prepare.prepare import prepare
    from flaxmark.evaluation.evaluate_split import format_table
    from flaxmark.evaluation.run_report import evaluate_run
    from flaxmark.system.files import write_text

    evaluated = evaluate_run(
        Path(parsed.workdir), prepare(parsed.data, for_training=False), dataclasses.replace(config, data=parsed.data)
    )
    table = format_table(evaluated.rows)
    print(f"best checkpoint: step {evaluated.metadata['step']}\n{table}")
    if out is not None and figures is not None:
        write_text(out, table + "\n")
        write_text(figures, json.dumps(evaluated.rows, indent=1) + "\n")
        print(f"wrote {out} and {figures}", file=sys.stderr)
