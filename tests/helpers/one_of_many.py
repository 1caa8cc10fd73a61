"""One process of several, run by test_processes.py: updates and an evaluation on its rows of each batch."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import flaxmark.evaluation.eval_step
import flaxmark.training.xla_programs
from flaxmark.config.config import Config, TrainConfig
from flaxmark.config.recipes import strong
from flaxmark.data.input.feed import EvalFeed, TrainingFeed
from flaxmark.data.input.network_input import InputForm
from flaxmark.evaluation.evaluate_split import predict_split
from flaxmark.system.devices import make_mesh
from flaxmark.training.train_state import TrainState
from flaxmark.training.xla_programs import build_programs
from helpers.linear_model import linear_model
from helpers.small_examples import CONFIG, EXAMPLES

FACES = 16  # a batch


def make_config(mode: str, dtype: str) -> Config:
    """The strong recipe at 32 px; 22 faces in batches of 16, so that the last one of an evaluation is padded."""
    config = strong(18, "smooth_l1")
    model = dataclasses.replace(config.model, dtype=dtype)  # type: ignore[arg-type]
    train = TrainConfig(epochs=60, batch_size=FACES, eval_batch_size=FACES, compile=mode, ema_decay=0.9)  # type: ignore[arg-type]
    return Config(dataclasses.replace(CONFIG, image_size=32), model, config.loss, config.optimizer, train)


def arrays(name: str, tree: Any) -> dict[str, np.ndarray]:
    """Its leaves, each under a name of its own."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {name + jax.tree_util.keystr(path): np.asarray(leaf.addressable_data(0)) for path, leaf in leaves}


def run(folder: Path, mode: str, dtype: str, steps: int, in_step: bool) -> None:
    """Some steps, one an epoch, and an evaluation; writes what came out."""
    config, mesh = make_config(mode, dtype), make_mesh()
    form = InputForm(in_step=in_step, resident=True, faces=22, side=128, largest_side=80.0)
    programs, feed = build_programs(config, 1, mesh, form), TrainingFeed(EXAMPLES, config, mesh, form)
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def init(key: jax.Array) -> TrainState:
        state = programs.init(key, jnp.full((68, 2), 0.5, jnp.float32))
        return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, state)

    state, losses, first = jax.jit(init, out_shardings=replicated)(jax.random.key(0)), [], {}
    for epoch, batch in zip(range(steps), feed.batches(), strict=False):
        state, metrics = programs.train(state, feed.faces, batch)
        losses.append(float(metrics["loss"]))
        if not epoch:  # Adam's first moment is a tenth of the gradient
            first = arrays("first", (state.batch_stats, optax.tree.get(state.opt_state, "mu")))
    outputs = predict_split(programs.evaluation.evaluate, state.eval_variables, EvalFeed(EXAMPLES, config, mesh))
    np.savez(
        folder / f"{jax.process_index()}_of_{jax.process_count()}.npz",
        losses=losses,
        landmarks=outputs.landmarks,
        eval_losses=outputs.losses,
        **first,
        **arrays("last", state),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("process", "processes", "devices", "port"):
        parser.add_argument(name, type=int)
    for name in ("folder", "network", "mode", "dtype", "images"):
        parser.add_argument(name)
    parser.add_argument("steps", type=int)
    arguments = parser.parse_args(sys.argv[1:])
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", arguments.devices)
    jax.config.update("jax_enable_x64", arguments.dtype == "float64")
    if arguments.processes > 1:
        address = f"localhost:{arguments.port}"
        jax.distributed.initialize(address, num_processes=arguments.processes, process_id=arguments.process)
    if arguments.network == "linear":  # compiles in a moment
        for module in (flaxmark.training.xla_programs, flaxmark.evaluation.eval_step):
            module.make_model = lambda *_, **__: linear_model()  # type: ignore[attr-defined]
    run(Path(arguments.folder), arguments.mode, arguments.dtype, arguments.steps, arguments.images == "step")
