"""The step lowers for GPU and TPU with XLA's own convolutions: nothing made for the CPU slips in."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flaxmark.faces.crop_sampler import Affine, sample_crop
from flaxmark.models.losses import SmoothL1
from flaxmark.models.model import make_model
from flaxmark.models.operations import make_operations
from flaxmark.models.resnet import ResNetConfig
from flaxmark.training.train_state import init_train_state
from flaxmark.training.train_step import make_train_step

BATCH = {
    "image": jax.ShapeDtypeStruct((4, 64, 64, 3), jnp.float32),
    "landmarks": jax.ShapeDtypeStruct((4, 68, 2), jnp.float32),
    "mask": jax.ShapeDtypeStruct((4,), jnp.float32),
}


def lowered_text(platform: str, lowering: str) -> str:
    """StableHLO of the train step of a ResNet-18."""
    model, optimizer = make_model(ResNetConfig(depth=18), operations=make_operations(platform)), optax.sgd(0.1)
    face = np.full((68, 2), 0.5, np.float32)
    state = jax.eval_shape(lambda key: init_train_state(key, model, optimizer, face, False), jax.random.key(0))
    step = make_train_step(model, SmoothL1(), optimizer, lambda _: 0.1, steps_per_epoch=9)
    return jax.jit(step).trace(state, BATCH).lower(lowering_platforms=(lowering,)).as_text()


@pytest.mark.parametrize(("platform", "lowering"), [("gpu", "cuda"), ("tpu", "tpu")])
def test_accelerators_get_plain_convolutions(platform: str, lowering: str) -> None:
    text = lowered_text(platform, lowering)
    # 20 convolutions forward, 20 gradients of kernels, 19 of inputs: the image needs none.
    assert text.count("stablehlo.convolution") == 59
    assert "optimization_barrier" not in text
    assert "custom_call" not in text


def test_the_cpu_has_its_own() -> None:
    text = lowered_text("cpu", "cpu")
    assert "optimization_barrier" in text
    # The head, the three 1x1 shortcuts and, at 64 px, the four 3x3 convolutions to 2x2 pixels are products:
    # forward, gradient of the kernel, gradient of the input.
    assert text.count("stablehlo.dot_general") == 8 * 3


@pytest.mark.parametrize(("lowering", "gathers", "products"), [("cuda", 4, 0), ("cpu", 4, 0), ("tpu", 0, 2)])
def test_each_platform_gets_its_form_of_the_sampler(lowering: str, gathers: int, products: int) -> None:
    """Gathers of four pixels, or two products, under `vmap` as in the step; never both."""

    def sample(pixels: jax.Array, crop: jax.Array, matrix: jax.Array) -> jax.Array:
        return sample_crop(pixels, crop, 64, 1, Affine(matrix, jnp.zeros(2)))

    shapes = [jax.ShapeDtypeStruct((3, 96, 96, 3), jnp.uint8)]
    shapes += [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((3, 3), (3, 2, 2))]
    text = jax.jit(jax.vmap(sample)).trace(*shapes).lower(lowering_platforms=(lowering,)).as_text()
    assert text.count('"stablehlo.gather"(') == gathers
    assert text.count("stablehlo.dot_general") == products
