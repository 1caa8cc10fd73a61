"""Predict the memory and time of training on a TPU or GPU, without having one.

The training step is compiled for the named chips: pip install 'flaxmark[aot]'.

Example:
  flaxmark aot --config resnet50_smooth_l1 --topology v5e:16x16 --model.dtype bfloat16 --train.batch-size 4096
"""

import dataclasses
import os
from typing import Annotated

import jax
import tyro

from flaxmark.cli.flags import require_flags
from flaxmark.cli.runs import ConfigArguments, config_from_arguments
from flaxmark.config.checks import check_config


@dataclasses.dataclass(frozen=True)
class Arguments(ConfigArguments):
    """Flags of `flaxmark aot`."""

    topology: Annotated[str, tyro.conf.arg(metavar="NAME", help_behavior_hint="(required)")] = ""
    """Chips to compile for, such as v5e:4x4 or h100:8."""
    chips: Annotated[int | None, tyro.conf.DisallowNone, tyro.conf.arg(help_behavior_hint="(default: all)")] = None
    """Number of chips to use."""


def main(arguments: list[str]) -> None:
    """Compile and print the table."""
    parsed = config_from_arguments(Arguments, __doc__, arguments, command="aot")
    require_flags(parsed, topology="v5e:4x4")
    check_config(parsed.run)
    # The compilers must not look for chips, nor ask Google's metadata server where they are.
    os.environ.update(TPU_SKIP_MDS_QUERY="1", TPU_WORKER_HOSTNAMES="localhost", TPU_WORKER_ID="0")
    jax.config.update("jax_platforms", "cpu")  # the configs have loaded JAX, which reads JAX_PLATFORMS only then
    from flaxmark.tools.predicted_cost import compile_for, format_costs

    print(format_costs(compile_for(parsed.run, parsed.topology, parsed.chips), parsed.topology))
