r"""What a run would cost a TPU or GPU, compiled without one: --config FILE --topology v5e:4x4 [--chips 4] [flags].

python scripts/aot.py --config configs/resnet50_smooth_l1.py --topology v5e:16x16 --model.dtype bfloat16 \
    --train.batch-size 4096 --train.eval-batch-size 4096      (pip install 'flaxmark[aot]')
"""

import argparse
import os

from flaxmark.command import config_from_arguments, run_command
from flaxmark.config import ConfigError


def main(arguments: list[str]) -> None:
    """Compile and print the table."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--topology")
    own.add_argument("--chips", type=int)
    mine, rest = own.parse_known_args(arguments)
    parsed = config_from_arguments(__doc__ or "", rest)
    if mine.topology is None:
        raise ConfigError("--topology is missing: for example --topology v5e:4x4 or h100:8")
    # The compilers must not look for chips, nor ask Google's metadata server where they are.
    os.environ.update(JAX_PLATFORMS="cpu", TPU_SKIP_MDS_QUERY="1", TPU_WORKER_HOSTNAMES="localhost", TPU_WORKER_ID="0")
    from flaxmark.aot import compile_for, format_costs

    print(format_costs(compile_for(parsed.run, mine.topology, mine.chips), mine.topology))


if __name__ == "__main__":
    run_command(main)
