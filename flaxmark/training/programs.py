"""What a run computes, put together from its config and ready to be compiled for a mesh."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from flaxmark.config.schema import Config
from flaxmark.data.input.network_input import (
    Batch,
    InputForm,
    make_eval_images,
    make_training_images,
    make_upright_images,
    shuffle_tiles,
)
from flaxmark.evaluation.traits import TRAIT_SIZE, sharpness
from flaxmark.models.losses import make_loss
from flaxmark.models.operations import make_operations
from flaxmark.models.resnet import make_model
from flaxmark.system.devices import AXIS, compile_step
from flaxmark.training.optimizer import make_optimizer, make_schedule
from flaxmark.training.state import TrainState, init_train_state
from flaxmark.training.step import make_eval_step, make_train_step


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an evaluation computes, ready to be compiled for its mesh.

    Attributes:
        evaluate: `(variables, batch) -> outputs`, as `steps.make_eval_step`.
        evaluate_mixed: The same of images whose tiles have changed places, which show no face.
        look: `(variables, batch) -> {"sharpness": float32 [batch]}`.
    """

    evaluate: Callable[..., Any]
    evaluate_mixed: Callable[..., Any]
    look: Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Programs:
    """What a run computes, ready to be compiled for its mesh.

    Attributes:
        init: `(key, mean_face) -> state`, to be called under jit.
        train: `(state, faces, batch) -> (state, metrics)`, for what a `feed.TrainingFeed` gives.
        evaluation: What runs on batches of a `feed.EvalFeed`.
    """

    init: Callable[[jax.Array, jax.Array], TrainState]
    train: Callable[..., Any]
    evaluation: Evaluation


def build_programs(config: Config, steps_per_epoch: int, mesh: Mesh, form: InputForm) -> Programs:
    """Put input, model, loss, schedule and optimizer together.

    Args:
        config: The run.
        steps_per_epoch: For the schedule and the epoch's loss.
        mesh: Where it will run; its devices need not be here.
        form: Of its input.

    Returns:
        The functions.
    """
    axis_name = AXIS if config.train.compile == "pmap" else None
    operations = make_operations(mesh.devices.flat[0].platform)
    points = config.data.markup.num_points
    model, loss = make_model(config.model, points, axis_name=axis_name, operations=operations), make_loss(config.loss)
    schedule = make_schedule(config.optimizer, steps_per_epoch, config.train.epochs * steps_per_epoch)
    optimizer = make_optimizer(config.optimizer, schedule)
    train_step = make_train_step(
        model,
        loss,
        optimizer,
        schedule,
        steps_per_epoch=steps_per_epoch,
        accumulate=config.train.accumulate,
        ema_decay=config.train.ema_decay,
        axis_name=axis_name,
    )

    images = make_training_images(config.data, form.largest_side)

    def init(key: jax.Array, mean_face: jax.Array) -> TrainState:
        return init_train_state(key, model, optimizer, mean_face, config.train.ema_decay is not None)

    def train(state: TrainState, faces: Batch, batch: Batch) -> Any:
        return train_step(state, images(faces, batch))

    compiled = compile_step(train, mesh, config.train.compile, updates=True, replicated=2)
    return Programs(init, compiled, build_evaluation(config, mesh))


def build_evaluation(config: Config, mesh: Mesh, largest_side: float | None = None) -> Evaluation:
    """Put input, model and loss together.

    Args:
        config: The run.
        mesh: Where it will run.
        largest_side: Of a crop, pixels of its region; as stored by default.

    Returns:
        The functions.
    """
    operations = make_operations(mesh.devices.flat[0].platform)
    model = make_model(config.model, config.data.markup.num_points, operations=operations)
    step = make_eval_step(model, make_loss(config.loss))
    images = make_eval_images(config.data, largest_side)
    traits = make_upright_images(config.data, TRAIT_SIZE, largest_side)

    def evaluate(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        return step(variables, {**batch, "image": images(batch)})

    def evaluate_mixed(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        return step(variables, {**batch, "image": shuffle_tiles(images(batch))})

    def look(_: Any, batch: Batch) -> dict[str, jax.Array]:
        return {"sharpness": jax.vmap(sharpness)(traits(batch))}

    return Evaluation(
        *(compile_step(f, mesh, config.train.compile, updates=False) for f in (evaluate, evaluate_mixed, look))
    )


def forward_flops(config: Config, images: int) -> float:
    """Operations of the network's forward pass, as XLA counts plain convolutions.

    Args:
        config: Depth and picture size.
        images: How many.

    Returns:
        A multiplication and an addition are two; products with padding are not counted.
    """
    points = config.data.markup.num_points
    plain = make_model(config.model, points, operations=make_operations("tpu"))
    variables = jax.eval_shape(plain.init, jax.random.key(0), jax.ShapeDtypeStruct((points, 2), np.float32))
    size = config.data.image_size
    pictures = jax.ShapeDtypeStruct((images, size, size, 3), jnp.float32)
    return jax.jit(lambda v, x: plain.apply(v, x, False)).lower(variables, pictures).cost_analysis()["flops"]  # type: ignore[index]
