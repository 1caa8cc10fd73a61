import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.quick import quick_jit

from flaxmark.models.heads import Prediction
from flaxmark.models.model import Model, ModelConfig, make_model
from flaxmark.models.resnet import DEPTHS, ResNetConfig

# Parameters of torchvision's classifiers with their 1000-way head (torchvision.models documentation).
TORCHVISION = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
MEAN_FACE = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2)).astype(np.float32)


@functools.cache
def start(config: ModelConfig = ResNetConfig(depth=18)) -> dict:  # noqa: B008 (frozen)
    return quick_jit(make_model(config).init)(jax.random.key(0), MEAN_FACE)


@functools.partial(jax.jit, static_argnums=(0, 3))
def applied(model: Model, variables: dict, images: jax.Array, train: bool) -> tuple[Prediction, dict]:
    return model.apply(variables, images, train)


@functools.cache
def shapes_of(depth: int) -> dict:
    init = make_model(ResNetConfig(depth=depth)).init  # type: ignore[arg-type]
    return jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct((68, 2), jnp.float32))


@pytest.mark.parametrize("depth", DEPTHS)
def test_parameter_counts_are_the_published_ones(depth: int) -> None:
    variables = shapes_of(depth)
    features = 512 if depth < 50 else 2048
    expected = TORCHVISION[depth] - (features + 1) * 1000 + (features + 1) * 136
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == expected
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("size", [64, 97, 224])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_landmarks_for_any_input_size(depth: int, size: int, dtype: str) -> None:
    model = make_model(ResNetConfig(depth=depth, dtype=dtype))
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    with jax.numpy_dtype_promotion("standard"):  # flax's BatchNorm mixes bfloat16 and float32 on purpose
        prediction, statistics = jax.eval_shape(lambda v, x: model.apply(v, x, True), shapes_of(depth), images)
    assert (prediction.landmarks.shape, prediction.landmarks.dtype) == ((2, 68, 2), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(statistics)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("depth", [18, 50])
def test_the_first_prediction_is_the_mean_face(depth: int) -> None:
    config = ResNetConfig(depth=depth, residual_init="zero")  # type: ignore[arg-type]
    model, variables = make_model(config), start(config)
    images = jax.random.normal(jax.random.key(2), (4, 64, 64, 3))
    prediction, _ = applied(model, variables, images, True)
    assert float(jnp.abs(prediction.landmarks - MEAN_FACE[None]).mean()) < 0.1
    assert variables["params"]["head"]["bias"].tolist() == MEAN_FACE.ravel().tolist()


def test_frozen_statistics_are_used_and_kept_in_training() -> None:
    config = ResNetConfig(depth=18, freeze_batch_norm=True)
    model, variables = make_model(config), start()
    images = 3 + jax.random.normal(jax.random.key(1), (4, 64, 64, 3))
    evaluated, _ = applied(model, variables, images, False)
    trained, statistics = applied(model, variables, images, True)
    np.testing.assert_array_equal(np.asarray(trained.landmarks), evaluated.landmarks)
    jax.tree.map(np.testing.assert_array_equal, statistics, variables["batch_stats"])


@pytest.mark.parametrize(
    ("depth", "kind", "stages"),
    [
        (18, "depth", [8**-0.5] * 4),
        (50, "depth", [12**-0.5, 1 / 4, 24**-0.5, 12**-0.5]),
        (101, "depth", [12**-0.5, 1 / 4, 92**-0.5, 12**-0.5]),
        (50, "zero", [0, 0, 0, 0]),
        (18, "one", [1, 1, 1, 1]),
    ],
)
def test_first_scale_of_blocks(depth: int, kind: Any, stages: list[float]) -> None:
    """1 / (2 sqrt(blocks of the stage)): ResNet-18 has 2, ResNet-50 3, 4, 6, 3, ResNet-101 3, 4, 23, 3."""
    config = ResNetConfig(depth=depth, residual_init=kind)  # type: ignore[arg-type]
    params = start(config)["params"]
    last = "norm2" if depth == 18 else "norm3"
    for stage, scale in enumerate(stages, start=1):
        blocks = [own for name, own in params.items() if name.startswith(f"stage{stage}_")]
        np.testing.assert_allclose(np.concatenate([own[last]["scale"] for own in blocks]), scale, rtol=1e-6)
        np.testing.assert_array_equal(np.concatenate([own["norm1"]["scale"] for own in blocks]), 1)


def test_training_moves_statistics_and_evaluation_does_not() -> None:
    model, variables = make_model(ResNetConfig(depth=18)), start()
    images = 3 + jax.random.normal(jax.random.key(1), (4, 64, 64, 3))
    _, unchanged = applied(model, variables, images, False)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), unchanged, variables["batch_stats"]))
    _, moved = applied(model, variables, images, True)
    different = jax.tree.map(lambda a, b: bool((a != b).any()), moved, variables["batch_stats"])
    assert jax.tree.all(different)


@pytest.mark.parametrize("depth", [18, 50])
def test_a_folded_network_is_the_same_function(depth: int) -> None:
    config = ResNetConfig(depth=depth, head_init_scale=1)  # type: ignore[arg-type]
    model, folded = make_model(config), make_model(config, folded=True)
    variables = jax.device_get(jax.jit(model.init)(jax.random.key(0), MEAN_FACE))
    # Statistics and scales as after training: none is at its start.
    random = np.random.default_rng(0)
    variables = jax.tree_util.tree_map_with_path(
        lambda path, x: (
            x * random.uniform(0.5, 1.5, x.shape).astype(np.float32)
            if path[-1].key in ("scale", "var")
            else x + random.normal(0, 0.1, x.shape).astype(np.float32)
            if path[-1].key in ("bias", "mean")
            else x
        ),
        variables,
    )
    images = jax.random.normal(jax.random.key(1), (2, 64, 64, 3))
    expected, _ = applied(model, variables, images, False)
    found, _ = applied(folded, folded.fold(variables), images, False)
    assert float(jnp.abs(expected.landmarks - variables["params"]["head"]["bias"].reshape(1, 68, 2)).max()) > 0.1
    np.testing.assert_allclose(found.landmarks, expected.landmarks, rtol=1e-4, atol=1e-5)


def test_running_statistics_by_hand() -> None:
    # momentum 0.9: running mean = 0.9 * 0 + 0.1 * batch mean of the stem's convolution.
    model, variables = make_model(ResNetConfig(depth=18)), start()
    images = jax.random.normal(jax.random.key(1), (4, 64, 64, 3))
    kernel = variables["params"]["stem_conv"]["kernel"]
    convolved = jax.lax.conv_general_dilated(
        images, kernel, (2, 2), [(3, 3), (3, 3)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    _, moved = applied(model, variables, images, True)
    np.testing.assert_allclose(moved["stem_norm"]["mean"], 0.1 * convolved.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(moved["stem_norm"]["var"], 0.9 + 0.1 * convolved.var((0, 1, 2)), rtol=1e-4)


def test_groups_of_batch_norm_are_batches_of_their_own() -> None:
    whole, ghost = (make_model(ResNetConfig(depth=18, batch_norm_group=group)) for group in (None, 2))
    variables = start()
    images = jax.random.normal(jax.random.key(1), (4, 64, 64, 3))
    together, statistics = applied(ghost, variables, images, True)
    apart = [applied(whole, variables, images[rows], True) for rows in (slice(0, 2), slice(2, 4))]
    np.testing.assert_allclose(
        together.landmarks, np.concatenate([prediction.landmarks for prediction, _ in apart]), rtol=1e-4, atol=1e-5
    )
    mean = jax.tree.map(lambda a, b: (a + b) / 2, apart[0][1], apart[1][1])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), statistics, mean)


def test_remat_changes_no_number() -> None:
    images = jax.random.normal(jax.random.key(1), (4, 64, 64, 3))
    gradients = []
    for remat in (False, True):
        model = make_model(ResNetConfig(depth=18, remat=remat))
        variables = start()

        def loss(params: dict, model: Model = model, statistics: dict = variables["batch_stats"]) -> jax.Array:
            variables = {"params": params, "batch_stats": statistics}
            return jnp.square(model.apply(variables, images, True)[0].landmarks).mean()

        gradients.append(quick_jit(jax.grad(loss))(variables["params"]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), *gradients)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("he_normal", (2 / (9 * 64)) ** 0.5, (2 / (9 * 512)) ** 0.5),
        ("uniform", (1 / (3 * 9 * 64)) ** 0.5, (1 / (3 * 9 * 512)) ** 0.5),
        ("normal", 0.05, 0.05),
    ],
)
def test_start_of_convolutions(name: str, first: float, last: float) -> None:
    params = start(ResNetConfig(depth=18, kernel_init=name))["params"]  # type: ignore[arg-type]
    assert float(params["stage1_block1"]["conv1"]["kernel"].std()) == pytest.approx(first, rel=0.02)
    assert float(params["stage4_block2"]["conv2"]["kernel"].std()) == pytest.approx(last, rel=0.02)
