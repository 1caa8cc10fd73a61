"""Flags that the commands that train share: a config file, each of its fields, and a workdir."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from flaxmark.cli.flags import OptionalFolder, parse_flags, require_flags
from flaxmark.config.config import Config
from flaxmark.config.files import load_config
from flaxmark.errors import ConfigError
from flaxmark.models.resnet import Depth

WithConfig = TypeVar("WithConfig", bound="ConfigArguments")


@dataclasses.dataclass(frozen=True)
class ConfigArguments:
    """A config and where its results go."""

    run: Annotated[Config, tyro.conf.arg(name="")]
    config: Annotated[str | None, tyro.conf.DisallowNone, tyro.conf.arg(metavar="NAME|FILE", help_behavior_hint="")] = (
        None
    )
    """Name of a config that comes with flaxmark, or a config file. The flags below change single values."""
    workdir: OptionalFolder = None
    """Output folder, or gs://BUCKET/FOLDER; default: runs/<config name>."""
    debug: bool = False
    """Show a traceback when something fails."""


@dataclasses.dataclass(frozen=True)
class RunArguments(ConfigArguments):
    """One run."""

    distributed: bool = False
    """Join the other processes of a pod or cluster first."""


def config_from_arguments(
    kind: type[WithConfig],
    description: str | None,
    arguments: Sequence[str],
    depth: Depth | None = None,
    command: str | None = None,
) -> WithConfig:
    """The arguments of a run: a config file, and flags for any of its fields; `run` is the resolved config.

    Args:
        kind: The dataclass of the command's flags.
        description: First lines of the help.
        arguments: Without the program's name.
        depth: ResNet depth, for config files whose recipe depends on it.
        command: Name of the flaxmark command, for the help.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", nargs="?", const="")
    file = first.parse_known_args(arguments)[0].config
    if file == "":
        raise ConfigError("names no file; for example --config resnet50_smooth_l1", field="config")
    default = kind(run=load_config(file, depth) if file else Config(), config=file)
    return parse_flags(kind, arguments, description, default, command)


def default_workdir(arguments: ConfigArguments) -> str:
    """`--workdir`, or runs/ and the config's name with its folder below configs/."""
    require_flags(arguments, config="resnet50_smooth_l1")
    if arguments.workdir:
        return arguments.workdir
    assert arguments.config is not None  # it is required
    parts = Path(arguments.config).with_suffix("").parts
    below = parts[parts.index("configs") + 1 :] if "configs" in parts else parts[-1:]
    return str(Path("runs", "_".join(below)))
