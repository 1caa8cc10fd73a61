"""The programs of a run that XLA compiles: initialisation, training step and evaluation, built from its config."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from flaxmark.config.config import Config
from flaxmark.data.input.network_input import Batch, InputForm, make_training_images
from flaxmark.evaluation.eval_step import Evaluation, build_evaluation
from flaxmark.models.batch_norm import Variables
from flaxmark.models.model import make_model
from flaxmark.models.operations import make_operations
from flaxmark.system.devices import AXIS, compile_step
from flaxmark.training.optimizer import make_optimizer, make_schedule
from flaxmark.training.train_state import TrainState, init_train_state
from flaxmark.training.train_step import make_train_step


@dataclasses.dataclass(frozen=True)
class Programs:
    """Programs of a run, ready to be compiled for its mesh.

    Attributes:
        init: `(key, mean_face) -> state`, to be called under jit.
        train: `(state, faces, batch) -> (state, metrics)`, for the batches of a `TrainingFeed`.
        statistics: `(variables, faces, batch) -> batch_stats [devices or 1, ..]` of that training batch alone.
        evaluation: Programs for the batches of an `EvalFeed`.
    """

    init: Callable[[jax.Array, jax.Array], TrainState]
    train: Callable[..., Any]
    statistics: Callable[..., Any]
    evaluation: Evaluation


def build_programs(config: Config, steps_per_epoch: int, mesh: Mesh, form: InputForm) -> Programs:
    """Build the programs of a run from its config; the devices of the mesh may be absent (AOT compilation)."""
    axis_name = AXIS if config.train.compile == "pmap" else None
    operations = make_operations(mesh.devices.flat[0].platform)
    points = config.data.markup.num_points
    model, loss = make_model(config.model, points, axis_name=axis_name, operations=operations), config.loss
    schedule = make_schedule(config.optimizer, steps_per_epoch, config.train.epochs * steps_per_epoch)
    optimizer = make_optimizer(config.optimizer, schedule)
    train_step = make_train_step(
        model,
        loss,
        optimizer,
        schedule,
        steps_per_epoch=steps_per_epoch,
        accumulate=config.train.accumulate,
        visible_weight=config.train.visible_weight,
        ema_decay=config.train.ema_decay,
        axis_name=axis_name,
    )
    images = make_training_images(config.data, form.largest_side)

    def init(key: jax.Array, mean_face: jax.Array) -> TrainState:
        return init_train_state(key, model, optimizer, mean_face, config.train.ema_decay is not None)

    def train(state: TrainState, faces: Batch, batch: Batch) -> Any:
        return train_step(state, images(faces, batch))

    def statistics(variables: Variables, faces: Batch, batch: Batch) -> Any:
        found = model.statistics(variables, images(faces, batch)["image"])
        return jax.tree.map(lambda x: x[None], found)

    mode = config.train.compile
    compiled = compile_step(train, mesh, mode, updates=True, replicated=2)
    measured = compile_step(statistics, mesh, mode, updates=False, replicated=2)
    return Programs(init, compiled, measured, build_evaluation(config, mesh))
