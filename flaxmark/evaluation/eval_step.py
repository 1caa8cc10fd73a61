"""The evaluation step: programs that predict a batch, built from a config and ready to be compiled for a mesh."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from flaxmark.config.config import Config
from flaxmark.data.input.network_input import Batch, make_eval_images, make_upright_images, shuffle_tiles
from flaxmark.evaluation.sharpness import TRAIT_SIZE, sharpness
from flaxmark.models.batch_norm import Variables
from flaxmark.models.losses import Loss, face_losses
from flaxmark.models.model import Model, make_model
from flaxmark.models.operations import make_operations
from flaxmark.system.devices import compile_step

EvalStep = Callable[[Variables, Batch], dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Programs of an evaluation, ready to be compiled for their mesh.

    Attributes:
        evaluate: `(variables, batch) -> outputs`, see `make_eval_step`.
        evaluate_mixed: The same on images whose tiles have been shuffled, so that they show no face.
        sharpness: `(variables, batch) -> {"sharpness": float32 [batch]}`.
    """

    evaluate: Callable[..., Any]
    evaluate_mixed: Callable[..., Any]
    sharpness: Callable[..., Any]


def build_evaluation(config: Config, mesh: Mesh, largest_side: float | None = None) -> Evaluation:
    """Build the evaluation programs of a config.

    `largest_side` is the largest side of a crop in pixels of its region; `data.crop.stored_size` by default.
    """
    operations = make_operations(mesh.devices.flat[0].platform)
    model = make_model(config.model, config.data.markup.num_points, operations=operations)
    step = make_eval_step(model, config.loss)
    images = make_eval_images(config.data, largest_side)
    upright = make_upright_images(config.data, TRAIT_SIZE, largest_side)

    def evaluate(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        return step(variables, {**batch, "image": images(batch)})

    def evaluate_mixed(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        return step(variables, {**batch, "image": shuffle_tiles(images(batch))})

    def measure_sharpness(_: Any, batch: Batch) -> dict[str, jax.Array]:
        return {"sharpness": jax.vmap(sharpness)(upright(batch))}

    functions = (evaluate, evaluate_mixed, measure_sharpness)
    return Evaluation(*(compile_step(f, mesh, config.train.compile, updates=False) for f in functions))


def forward_flops(config: Config, images: int) -> float:
    """Floating-point operations of the network's forward pass, as XLA counts plain convolutions.

    A multiplication and an addition are two operations; products with padding are not counted.
    """
    points = config.data.markup.num_points
    plain = make_model(config.model, points, operations=make_operations("tpu"))
    variables = jax.eval_shape(plain.init, jax.random.key(0), jax.ShapeDtypeStruct((points, 2), np.float32))
    size = config.data.image_size
    shape = jax.ShapeDtypeStruct((images, size, size, 3), jnp.float32)
    return jax.jit(lambda v, x: plain.apply(v, x, False)).lower(variables, shape).cost_analysis()["flops"]  # type: ignore[index]


def make_eval_step(model: Model, loss: Loss) -> EvalStep:
    """Build the evaluation of one batch with running statistics: `(variables, batch) -> outputs`.

    The outputs are `landmarks` float32 `[batch, points, 2]` (crop units), `loss` float32 `[batch]` (of the landmarks)
    and, where the network predicts them, `log_sigma` and `visible_logit` float32 `[batch, points]`. Padded rows are
    computed too; the caller drops them.
    """

    def eval_step(variables: Variables, batch: Batch) -> dict[str, jax.Array]:
        prediction, _ = model.apply(variables, batch["image"], False)
        losses = face_losses(loss, prediction, batch["landmarks"])
        outputs = {"landmarks": prediction.landmarks, "loss": losses}
        further = {"log_sigma": prediction.log_sigma, "visible_logit": prediction.visible_logit}
        return outputs | {name: values for name, values in further.items() if values is not None}

    return eval_step
