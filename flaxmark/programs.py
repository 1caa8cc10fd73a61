"""What a run computes, put together from its config and ready to be compiled for a mesh."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from flaxmark.config import Config
from flaxmark.conv import make_operations
from flaxmark.losses import make_loss
from flaxmark.models import make_model
from flaxmark.optimizer import make_optimizer, make_schedule
from flaxmark.sharding import AXIS, compile_step
from flaxmark.steps import make_eval_step, make_train_step
from flaxmark.train_state import TrainState, init_train_state


@dataclasses.dataclass(frozen=True)
class Programs:
    """What a run computes, ready to be compiled for its mesh.

    Attributes:
        init: `(key, mean_face) -> state`, to be called under jit.
        train: `(state, batch) -> (state, metrics)`.
        evaluate: `(variables, batch) -> outputs`.
    """

    init: Callable[[jax.Array, jax.Array], TrainState]
    train: Callable[..., Any]
    evaluate: Callable[..., Any]


def build_programs(config: Config, steps_per_epoch: int, mesh: Mesh) -> Programs:
    """Put model, loss, schedule and optimizer together.

    Args:
        config: The run.
        steps_per_epoch: For the schedule and the epoch's loss.
        mesh: Where it will run; its devices need not be here.

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

    def init(key: jax.Array, mean_face: jax.Array) -> TrainState:
        return init_train_state(key, model, optimizer, mean_face, config.train.ema_decay is not None)

    return Programs(
        init=init,
        train=compile_step(train_step, mesh, config.train.compile, updates=True),
        evaluate=compile_step(make_eval_step(model, loss), mesh, config.train.compile, updates=False),
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
