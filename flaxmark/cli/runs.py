"""What the commands that train share: a config file, a flag for each of its fields, and a workdir."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from flaxmark.cli.flags import parse_flags
from flaxmark.config.config import Config
from flaxmark.config.files import load_config
from flaxmark.errors import ConfigError
from flaxmark.models.resnet import Depth

WithConfig = TypeVar("WithConfig", bound="ConfigArguments")


@dataclasses.dataclass(frozen=True)
class ConfigArguments:
    """A config and where its results go."""

    run: Annotated[Config, tyro.conf.arg(name="")]
    config: str | None = None
    """Config file, or the name of one that comes with flaxmark; all flags below change one of its values."""
    workdir: str | None = None
    """Folder for all that is written, or gs://BUCKET/FOLDER; runs/<config name> by default."""
    debug: bool = False
    """Show a traceback when something fails."""


@dataclasses.dataclass(frozen=True)
class RunArguments(ConfigArguments):
    """One run."""

    distributed: bool = False
    """Join the other processes of a pod or cluster first."""


def config_from_arguments(
    kind: type[WithConfig], description: str, arguments: Sequence[str], depth: Depth | None = None
) -> WithConfig:
    """Read `--config FILE`, the run's own switches, and any field of the config as a typed flag.

    Args:
        kind: The switches.
        description: Heads the help.
        arguments: Without the program's name.
        depth: For config files that have another recipe for each.

    Returns:
        The arguments; `run` is the resolved config.

    Raises:
        ConfigError: The config file or a flag cannot be used.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", nargs="?", const="")
    file = first.parse_known_args(arguments)[0].config
    if file == "":
        raise ConfigError("names no file; for example --config resnet50_smooth_l1", field="config")
    default = kind(run=load_config(file, depth) if file else Config(), config=file)
    return parse_flags(kind, arguments, description, default)


def default_workdir(arguments: ConfigArguments) -> str:
    """`--workdir`, or runs/ and the config's name with its folder below configs/."""
    if not arguments.config:
        raise ConfigError("is missing: for example --config resnet50_smooth_l1", field="config")
    if arguments.workdir:
        return arguments.workdir
    parts = Path(arguments.config).with_suffix("").parts
    below = parts[parts.index("configs") + 1 :] if "configs" in parts else parts[-1:]
    return str(Path("runs", "_".join(below)))
