"""Packed networks that are trained further and evaluated."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from helpers.quick import quick_jit
from helpers.small_config import small_config
from PIL import Image

from flaxmark.data.config import DataConfig
from flaxmark.data.drawn import convert_landmarks, draw_face
from flaxmark.errors import CheckpointError
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.inference.network import SHIPPED
from flaxmark.models.batch_norm import output_moments
from flaxmark.models.model import make_model
from flaxmark.models.refined_head import RefinedHead
from flaxmark.models.resnet import ResNetConfig
from flaxmark.schema import to_dict
from flaxmark.storage.packed import MOMENTS, load_packed, pack, pack_again
from flaxmark.storage.stored_config import prediction_config
from flaxmark.storage.trained import is_packed, load_trained
from flaxmark.training.first_weights import joint_terms, start_from_weights
from flaxmark.training.train_state import EpochLoss, TrainState

IMAGES = jax.random.normal(jax.random.key(0), (4, 64, 64, 3))


def tensors(path: Path) -> dict[str, np.ndarray]:
    with safetensors.safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """A network with statistics and scales that are far from their start, one scale 0 and one negative."""
    model = make_model(ResNetConfig(depth=18))
    rng = np.random.default_rng(0)

    def draw(like: jax.ShapeDtypeStruct) -> jax.Array:
        if len(like.shape) == 1:
            return jnp.asarray(rng.uniform(0.5, 1.5, like.shape), jnp.float32)
        fan_in = np.prod(like.shape[:-1])
        return jnp.asarray(rng.normal(0, np.sqrt(2 / fan_in), like.shape), jnp.float32)

    shapes = jax.eval_shape(model.init, jax.random.key(1), np.full((68, 2), 0.5, np.float32))
    variables = jax.tree.map(draw, shapes)
    stem = variables["params"]["stem_norm"]
    stem["scale"] = stem["scale"].at[0].set(0.0).at[1].set(-0.7)
    return dict(variables)


def test_a_packed_network_is_unfolded_into_the_same_network(trained: dict[str, Any], tmp_path: Path) -> None:
    config = small_config()
    plain, folded = make_model(config.model), make_model(config.model, folded=True)
    path, bare = tmp_path / "x.safetensors", tmp_path / "bare.safetensors"
    metadata = {"config": json.loads(json.dumps(to_dict(config))), "terms": "free"}
    pack(folded.fold(trained), metadata, bare)
    pack(folded.fold(trained), metadata, path, output_moments(trained["params"], trained["batch_stats"]))
    expected = quick_jit(lambda v: folded.apply(v, IMAGES, False)[0].landmarks)(load_packed(path)[0])
    apply = quick_jit(lambda v: plain.apply(v, IMAGES, False)[0].landmarks)
    unfolded, _ = load_trained(path, to_train=True)
    assert jax.tree.structure(unfolded) == jax.tree.structure(trained)
    for source in (path, bare):
        np.testing.assert_allclose(apply(load_trained(source)[0]), expected, rtol=1e-4, atol=1e-4)
    # Outputs of the BatchNorms keep their mean and spread.
    for layer in ("norm1", "norm2"):
        ours, theirs = (v["params"]["stage3_block1"][layer] for v in (unfolded, trained))
        np.testing.assert_allclose(ours["bias"], theirs["bias"], rtol=1e-5)
        np.testing.assert_allclose(ours["scale"], jnp.abs(theirs["scale"]), rtol=1e-3)
    with pytest.raises(CheckpointError) as caught:
        load_trained(bare, to_train=True)
    assert caught.value.file == bare

    broken = tensors(path) | {f"{MOMENTS}stem_norm/var": np.full(64, -1, np.float32)}
    safetensors.numpy.save_file(broken, bare, metadata={"flaxmark": json.dumps(metadata)})
    with pytest.raises(CheckpointError) as caught:
        load_trained(bare)
    assert (caught.value.file, "stem_norm/var" in caught.value.reason) == (bare, True)


def test_packing_again_changes_nothing_but_the_moments(tmp_path: Path) -> None:
    pack_again(SHIPPED, {"stem_norm": {"mean": np.zeros(64), "var": np.ones(64)}}, tmp_path / "x.safetensors")
    before, after = tensors(SHIPPED), tensors(tmp_path / "x.safetensors")
    assert {name for name in after if name.startswith(MOMENTS)} == {"norm:stem_norm/mean", "norm:stem_norm/var"}
    for name in before.keys() - {name for name in before if name.startswith(MOMENTS)}:
        assert before[name].dtype == after[name].dtype
        np.testing.assert_array_equal(before[name], after[name])
    assert load_packed(tmp_path / "x.safetensors")[1] == load_packed(SHIPPED)[1]


def test_the_shipped_model_can_be_trained_further() -> None:
    """Normalised by a batch it predicts almost what it predicts with its statistics."""
    variables, metadata = load_trained(SHIPPED, to_train=True)
    model = make_model(prediction_config(metadata["config"]).model)
    stored = variables["batch_stats"]["stage2_block1"]["norm1"]
    assert float(stored["var"].min()) > 0
    params = variables["params"]["stage2_block1"]["norm1"]
    np.testing.assert_allclose(params["scale"], jnp.sqrt(stored["var"] + 1e-5), rtol=1e-5)
    data = prediction_config(metadata["config"]).data
    crops, targets = [], []
    for seed in range(16):
        image, points = draw_face(seed + 5000, 160)
        left, top, right, bottom = landmark_box(points)
        side = max(right - left, bottom - top) * data.crop.scale
        x, y = (left + right - side) / 2, (top + bottom - side) / 2
        cut = Image.fromarray(image).transform((112, 112), Image.Transform.EXTENT, (x, y, x + side, y + side), 2)
        crops.append(np.asarray(cut, np.float32))
        targets.append((points - [x, y]) / side)
    images = jnp.asarray(data.normalize(np.stack(crops) / 255), jnp.float32)
    errors = {}
    for train in (False, True):
        landmarks = quick_jit(lambda v, train=train: model.apply(v, images, train)[0].landmarks)(variables)
        errors[train] = float(np.linalg.norm(landmarks - np.array(targets), axis=-1).mean())
    assert errors[False] < 0.03
    assert errors[True] < 2 * errors[False]


def fresh_state(config: Any, points: int) -> TrainState:
    model = make_model(config.model, points)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.full((points, 2), 0.5, np.float32))
    variables = jax.tree.map(lambda like: jnp.full(like.shape, 0.5, like.dtype), shapes)
    loss = EpochLoss(jnp.zeros(()), jnp.zeros((), jnp.int32))
    return TrainState(jnp.zeros((), jnp.int32), variables["params"], variables["batch_stats"], (), None, loss)


def test_flaxmark_names_the_shipped_model() -> None:
    config = small_config()
    config = dataclasses.replace(
        config, model=ResNetConfig(depth=18, head=RefinedHead("weighted"), init_from="flaxmark")
    )
    state, terms = start_from_weights(config, fresh_state(config, 68), "flaxmark")
    own, _ = load_trained(SHIPPED)
    np.testing.assert_array_equal(state.params["head"]["bias"], own["params"]["head"]["bias"])
    assert terms == "free"
    five = dataclasses.replace(config, data=DataConfig(markup=FIVE_POINTS))
    fresh = fresh_state(five, 5)
    state, _ = start_from_weights(five, fresh, "flaxmark")
    # The head predicts the means of its points that make the five.
    expected = convert_landmarks(own["params"]["head"]["bias"].reshape(68, 2), "five_points").ravel()
    np.testing.assert_allclose(state.params["head"]["bias"], expected, rtol=1e-6)
    mine = dataclasses.replace(five, data=DataConfig(markup=dataclasses.replace(FIVE_POINTS, name="mine")))
    state, _ = start_from_weights(mine, fresh, "flaxmark")
    np.testing.assert_array_equal(state.params["head"]["bias"], fresh.params["head"]["bias"])
    np.testing.assert_array_equal(state.params["stem_conv"]["kernel"], own["params"]["stem_conv"]["kernel"])
    deeper = dataclasses.replace(config, model=ResNetConfig(depth=34, init_from="flaxmark"))
    with pytest.raises(CheckpointError) as caught:
        start_from_weights(deeper, fresh, "flaxmark")
    assert (caught.value.field, caught.value.value) == ("model.init_from", "flaxmark")


def test_terms_of_the_weights_stay_with_the_network() -> None:
    assert joint_terms("unknown", "free") == "unknown"
    assert joint_terms("free", "free") == "free"
    assert {"research only", "free"} <= set(joint_terms("free", "research only").replace(": ", "; ").split("; "))


def test_other_files_of_weights_are_not_packed(tmp_path: Path) -> None:
    assert is_packed(SHIPPED)
    safetensors.numpy.save_file({"conv1.weight": np.zeros(3)}, tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"nothing")
    assert not any(is_packed(tmp_path / name) for name in ("x.safetensors", "y.safetensors", "z.safetensors"))
