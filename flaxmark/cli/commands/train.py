"""Train a network; the same command again resumes.

Example:
  flaxmark train --config resnet50_smooth_l1 --data.dir 300W --train.epochs 100
"""

from flaxmark.cli.runs import RunArguments, config_from_arguments, default_workdir


def main(arguments: list[str]) -> None:
    """Train to the end; the same command again resumes, or prints the result of a finished run."""
    parsed = config_from_arguments(RunArguments, __doc__, arguments, command="train")
    workdir = default_workdir(parsed)
    if parsed.distributed:
        from flaxmark.system.devices import initialize_distributed

        initialize_distributed()
    # Imported late: --help and a misspelt flag need not wait for TensorFlow.
    from flaxmark.system.clock import Clock, seconds_since_process_start
    from flaxmark.training.loop import train

    train(parsed.run, workdir, Clock(seconds_since_process_start()))
