"""What an evaluation computes, ready to be compiled for a mesh."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from flaxmark.config.config import Config
from flaxmark.data.input.network_input import Batch, make_eval_images, make_upright_images, shuffle_tiles
from flaxmark.evaluation.face_traits import TRAIT_SIZE, sharpness
from flaxmark.models.batch_norm import Variables
from flaxmark.models.losses import Loss, per_example
from flaxmark.models.model import Model, make_model
from flaxmark.models.operations import make_operations
from flaxmark.system.devices import compile_step

EvalStep = Callable[[Variables, Batch], dict[str, jax.Array]]


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
    step = make_eval_step(model, config.loss)
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
        config: Depth and image size.
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


def make_eval_step(model: Model, loss: Loss) -> EvalStep:
    """Build the evaluation of one batch.

    Args:
        model: Its `apply` runs with running statistics.
        loss: Elementwise loss.

    Returns:
        `(variables, batch) -> outputs`: `landmarks` float32 `[batch, num_points, 2]` in crop units, `loss` float32
        `[batch]`, and `log_sigma` float32 `[batch, num_points]` where the network has it; padded rows are computed too
        and are the caller's to drop.
    """

    def eval_step(variables: Variables, batch: Batch) -> dict[str, jax.Array]:
        prediction, _ = model.apply(variables, batch["image"], False)
        outputs = {
            "landmarks": prediction.landmarks,
            "loss": per_example(loss(prediction, batch["landmarks"])),
        }
        return outputs if prediction.log_sigma is None else outputs | {"log_sigma": prediction.log_sigma}

    return eval_step
