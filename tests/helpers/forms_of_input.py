"""A tiny run whose input reaches the step in a chosen form, as on an accelerator; run by test_input_forms.py."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax

import flaxmark.evaluation.eval_step
import flaxmark.storage.checkpoint
import flaxmark.training.run_setup
import flaxmark.training.xla_programs
from flaxmark.config.config import Config, TrainConfig
from flaxmark.data.config import DataConfig
from flaxmark.training.loop import train
from helpers.linear_model import linear_model
from helpers.small_examples import STRONG


def main(workdir: str, in_step: str, residency: str, mode: str) -> None:
    """Train with the linear model, which compiles in a moment."""
    choose = flaxmark.training.run_setup.choose_form

    def chosen(*arguments: Any) -> Any:
        return dataclasses.replace(choose(*arguments), in_step=in_step == "step")

    flaxmark.training.run_setup.choose_form = chosen
    for module in (flaxmark.training.xla_programs, flaxmark.evaluation.eval_step, flaxmark.storage.checkpoint):
        module.make_model = lambda *_, **__: linear_model()  # type: ignore[assignment, attr-defined]
    data = DataConfig(
        name="drawn_faces", drawn_train=24, drawn_validation=10, drawn_size=96, image_size=64, augment=STRONG
    )
    data = dataclasses.replace(data, prepared_dir=str(Path(workdir).parent / "prepared"), residency=residency)
    options: Any = {"epochs": 3, "batch_size": 8, "eval_batch_size": 8, "log_every": 1, "compile": mode}
    train(Config(data=data, train=TrainConfig(**options)), workdir)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 2)
    main(*sys.argv[1:])
