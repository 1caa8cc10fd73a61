r"""What a run would cost a TPU or GPU, compiled without one: --config FILE --topology v5e:4x4 [--chips 4] [flags].

flaxmark aot --config configs/resnet50_smooth_l1.py --topology v5e:16x16 --model.dtype bfloat16 \
    --train.batch-size 4096 --train.eval-batch-size 4096      (pip install 'flaxmark[aot]')
"""

import dataclasses
import os

from flaxmark.cli.runs import ConfigArguments, config_from_arguments
from flaxmark.config.checks import check_config
from flaxmark.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Arguments(ConfigArguments):
    """For what to compile."""

    topology: str | None = None
    """Such as v5e:4x4 or h100:8."""
    chips: int | None = None
    """Use only so many of them."""


def main(arguments: list[str]) -> None:
    """Compile and print the table."""
    parsed = config_from_arguments(Arguments, __doc__ or "", arguments)
    if parsed.topology is None:
        raise ConfigError("--topology is missing: for example --topology v5e:4x4 or h100:8")
    check_config(parsed.run)
    # The compilers must not look for chips, nor ask Google's metadata server where they are.
    os.environ.update(JAX_PLATFORMS="cpu", TPU_SKIP_MDS_QUERY="1", TPU_WORKER_HOSTNAMES="localhost", TPU_WORKER_ID="0")
    from flaxmark.tools.predicted_cost import compile_for, format_costs

    print(format_costs(compile_for(parsed.run, parsed.topology, parsed.chips), parsed.topology))
