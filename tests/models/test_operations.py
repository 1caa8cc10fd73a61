"""Each rewrite for the CPU is the same mathematics as XLA's own operation: outputs and gradients in float64."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.quick import quick_jit

from flaxmark.models.model import make_model
from flaxmark.models.operations import (
    Operations,
    channel_affine,
    channel_moments,
    conv_cpu,
    make_operations,
    max_pool_cpu,
    max_pool_xla,
)
from flaxmark.models.resnet import ResNetConfig

LAYOUT = ("NHWC", "HWIO", "NHWC")


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def normal(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def assert_same(
    ours: Callable[..., Any], xla: Callable[..., Any], *inputs: jax.Array, tolerance: float = 1e-12
) -> None:
    """Outputs agree, and so do the gradients of a random weighting of them."""

    def output_and_gradients(function: Callable[..., Any]) -> Any:
        output, pull = jax.vjp(function, *inputs)
        return output, pull(jax.tree.map(lambda y: normal(9, *y.shape), output))

    pairs = [quick_jit(output_and_gradients, static_argnums=0)(function) for function in (ours, xla)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), *pairs)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 10), (11, 13), (7, 9), (4, 4), (2, 2), (1, 1)])
def test_convolutions(size: int, stride: int, height: int, width: int) -> None:
    padding = [(size // 2, size // 2)] * 2

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv_cpu(x, kernel, (stride, stride), padding, dimension_numbers=LAYOUT)

    def xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=LAYOUT)

    assert_same(ours, xla, normal(0, 3, height, width, 4), normal(1, size, size, 4, 5))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 10), (7, 9), (4, 4), (3, 5)])
def test_max_pool(height: int, width: int) -> None:
    assert_same(max_pool_cpu, max_pool_xla, normal(0, 2, height, width, 3))


def test_max_pool_after_relu_has_the_same_gradient_in_spite_of_ties() -> None:
    x = normal(0, 2, 8, 8, 3) - 1
    assert bool((jax.nn.relu(x) == 0).mean() > 0.5)
    assert_same(lambda x: max_pool_cpu(jax.nn.relu(x)), lambda x: max_pool_xla(jax.nn.relu(x)), x)


@pytest.mark.parametrize("operations", [make_operations("cpu"), make_operations("tpu")])
@pytest.mark.parametrize(("height", "width"), [(56, 56), (7, 7), (1, 1)])
def test_channel_sums_and_their_gradients(operations: Operations, height: int, width: int) -> None:
    sums = operations.channel_sums
    x = normal(0, 2, 3, height, width, 4)
    assert_same(
        lambda x: channel_moments(x, sums),
        lambda x: (x.sum((1, 2, 3)), (x * x).sum((1, 2, 3))),
        x,
        tolerance=1e-11,
    )
    assert_same(
        lambda x, a, b: channel_affine(x, a, b, sums),
        lambda x, a, b: x * a[:, None, None, None] + b[:, None, None, None],
        x,
        normal(1, 2, 4),
        normal(2, 2, 4),
        tolerance=1e-11,
    )


@pytest.mark.parametrize("depth", [18, 50])
def test_whole_networks(depth: int) -> None:
    config = ResNetConfig(depth=depth, dtype="float64")  # type: ignore[arg-type]
    models = [make_model(config, operations=make_operations(platform)) for platform in ("cpu", "gpu")]
    mean_face = np.full((68, 2), 0.5, np.float32)
    with jax.numpy_dtype_promotion("standard"):
        variables = quick_jit(models[0].init)(jax.random.key(0), mean_face)
    variables = jax.tree.map(lambda v: v.astype(jnp.float64), variables)
    images = normal(0, 4, 64, 64, 3)

    def loss(params: Any, model: Any) -> tuple[jax.Array, Any]:
        prediction, statistics = model.apply({**variables, "params": params}, images, True)
        return jnp.abs(prediction.landmarks - 0.3).mean(), statistics

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
    (ours, our_stats), our_grads = gradient(variables["params"], models[0])
    (xla, xla_stats), xla_grads = gradient(variables["params"], models[1])
    assert float(ours) == pytest.approx(float(xla), rel=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), our_stats, xla_stats)
    for a, b in zip(jax.tree.leaves(our_grads), jax.tree.leaves(xla_grads), strict=True):
        assert float(jnp.linalg.norm(a - b)) <= 1e-7 * float(jnp.linalg.norm(b))
