"""One process of several, run by test_processes.py: a few updates and an evaluation on its rows of each batch."""

import argparse
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from test_pipeline import CONFIG, EXAMPLES
from test_steps import linear_model

from flaxmark.config import Config, LossConfig, TrainConfig
from flaxmark.data.pipeline import train_batches
from flaxmark.evaluation import predict_split
from flaxmark.losses import make_loss
from flaxmark.sharding import compile_step, make_mesh, shard_batch
from flaxmark.steps import make_eval_step, make_train_step
from flaxmark.train_state import init_train_state


def run(folder: Path) -> None:
    """Two epochs and an evaluation; writes what came out."""
    mesh, model, loss = make_mesh(), linear_model(), make_loss(LossConfig("mse"))
    optimizer = optax.sgd(0.1)
    step = make_train_step(model, loss, optimizer, lambda _: 0.1, steps_per_epoch=2, ema_decay=0.9)
    train_step = compile_step(step, mesh, "jit", donate=True)
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    face = np.full((68, 2), 0.5, np.float32)
    init = jax.jit(lambda key: init_train_state(key, model, optimizer, face, True), out_shardings=replicated)
    state, losses = init(jax.random.key(0)), []
    for epoch in range(2):
        for batch in train_batches(
            EXAMPLES,
            CONFIG,
            batch_size=8,
            seed=0,
            epoch=epoch,
            process=jax.process_index(),
            num_processes=jax.process_count(),
        ):
            state, metrics = train_step(state, shard_batch(batch, mesh, "jit"))
            losses.append(float(metrics["loss"]))
    evaluate = compile_step(make_eval_step(model, loss), mesh, "jit", donate=False)
    config = Config(data=CONFIG, train=TrainConfig(eval_batch_size=8))
    outputs = predict_split(evaluate, state.eval_variables, EXAMPLES, config, mesh)
    bias = np.asarray(jnp.asarray(state.params["bias"]))
    np.savez(
        folder / f"{jax.process_index()}_of_{jax.process_count()}.npz",
        losses=losses,
        bias=bias,
        landmarks=outputs.landmarks,
        eval_losses=outputs.losses,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("process", "processes", "devices", "port"):
        parser.add_argument(name, type=int)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args(sys.argv[1:])
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", arguments.devices)
    if arguments.processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        address = f"localhost:{arguments.port}"
        jax.distributed.initialize(address, num_processes=arguments.processes, process_id=arguments.process)
    run(arguments.folder)
