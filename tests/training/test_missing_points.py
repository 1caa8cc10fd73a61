"""A folder of .pts files where a third of the points is marked as missing: trained on and evaluated."""

import dataclasses
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.images import draw, encode
from helpers.linear_model import linear_model
from helpers.networks import own_networks

from flaxmark.config.config import Config, OptimizerConfig, TrainConfig
from flaxmark.data.config import AugmentConfig, DataConfig
from flaxmark.data.prepare.prepare import load_split, prepare
from flaxmark.errors import DataError
from flaxmark.faces.missing import present
from flaxmark.models.losses import MSE, GaussianNLL
from flaxmark.models.model import Layers, ModelConfig
from flaxmark.system.devices import AXIS, compile_step, make_mesh, shard_batch
from flaxmark.training.loop import train
from flaxmark.training.train_state import init_train_state
from flaxmark.training.train_step import make_train_step

FACES, HELD_OUT, SIZE = 24, 8, 96
Trained = tuple[Path, Config, dict[str, np.ndarray]]
CORNERS = (36, 45)


@pytest.fixture(autouse=True, scope="module")
def network() -> Iterator[type[ModelConfig]]:
    """A network that compiles in a moment; its name is forgotten afterwards."""
    with own_networks():

        @dataclasses.dataclass(frozen=True)
        class Small(ModelConfig):
            name = "test_missing_points"

            def features(self, images: jax.Array, layers: Layers) -> jax.Array:
                return nn.relu(layers.norm("norm1", after="conv1")(layers.conv(8, 3, 4, "conv1")(images)))

        yield Small


def write_faces(folder: Path, never: int | None = None) -> dict[str, np.ndarray]:
    """Faces of train/ and test/, the missing points as -1 -1 in the files and NaN here; `never` is always missing."""
    rng, faces = np.random.default_rng(0), {}
    for i in range(FACES + HELD_OUT):
        split = "train" if i < FACES else "test"
        image, points = draw(i, SIZE)
        points[rng.uniform(size=68) < 0.3] = np.nan
        if never is not None:
            points[never] = np.nan
        lines = "\n".join("-1 -1" if np.isnan(x) else f"{x + 1:.6f} {y + 1:.6f}" for x, y in points)
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / split / f"face{i}.png").write_bytes(encode(image, "PNG"))
        (folder / split / f"face{i}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
        faces[f"{split}/face{i}.png"] = points
    return faces


def config_of(folder: Path, network: type[ModelConfig]) -> Config:
    # Strong augmentation: points turn, flip and stay missing.
    data = DataConfig(
        "pts",
        dir=str(folder),
        prepared_dir=f"{folder}_prepared",
        image_size=64,
        augment=AugmentConfig(30, 0.2, 0.1, True),
    )
    return Config(
        data=data,
        model=network(sigma=True),  # type: ignore[call-arg]
        loss=GaussianNLL(),
        optimizer=OptimizerConfig(learning_rate=1e-4),
        train=TrainConfig(epochs=2, batch_size=8, eval_batch_size=8, log_every=1),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, network: type[ModelConfig], quick_runs: None) -> Trained:
    """Workdir, config and the true points of a run, without a warning."""
    folder = tmp_path_factory.mktemp("missing") / "faces"
    faces = write_faces(folder)
    config = config_of(folder, network)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        train(config, folder.parent / "run")
    return folder.parent / "run", config, faces


def refuse(name: str) -> None:
    pytest.fail(f"{name} in JSON")


def test_a_run_on_faces_with_missing_points_is_finite_and_its_files_are_json(
    trained: Trained,
) -> None:
    workdir, _, faces = trained
    lines = [json.loads(text, parse_constant=refuse) for text in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite([line["loss"], line.get("grad_norm", 0)]).all() for line in lines)
    result = json.loads((workdir / "result.json").read_text(), parse_constant=refuse)
    assert np.isfinite(result["mean_face"]).all()
    test = result["splits"]["test"]
    assert sum(test["faces"]["missing"]) == sum(np.isnan(faces[f][:, 0]).sum() for f in test["faces"]["file"])
    for name in ("file", "nme", "size", "yaw"):
        assert len(test["faces"][name]) == HELD_OUT
    without = [np.isnan(faces[file][list(CORNERS)]).any() for file in test["faces"]["file"]]
    assert 0 < sum(without) < HELD_OUT
    assert [value is None for value in test["faces"]["nme"]] == without
    assert (workdir / "test.png").stat().st_size
    assert any("missing points are not counted" in remark for remark in result["remarks"])
    assert result["remarks"][0] in (workdir / "table.md").read_text()


def test_the_reported_nme_is_the_one_by_hand_from_the_annotations_and_the_predictions(
    trained: Trained,
) -> None:
    workdir, config, faces = trained
    examples = load_split(prepare(config.data), "test")
    predictions = np.load(workdir / "predictions.npz")["test"]
    errors = []
    for file, crop, points in zip(examples.files, examples.source_crops, predictions, strict=True):
        truth = faces[file]
        found = points.astype(np.float64) * crop[2] + crop[:2] - 0.5
        distances = [np.hypot(*(a - b)) for a, b in zip(found, truth, strict=True) if not np.isnan(b).any()]
        width = np.hypot(*(truth[CORNERS[0]] - truth[CORNERS[1]]))
        if not np.isnan(width):
            errors.append(100 * np.mean(distances) / width)
    rows = json.loads((workdir / "result.json").read_text())["rows"]
    (row,) = (r for r in rows if (r["split"], r["subset"], r["predictor"]) == ("test", "all", "network"))
    assert row["nme"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert row["without_interocular"] == HELD_OUT - len(errors)
    assert row["missing_points"] == sum(np.isnan(points[:, 0]).sum() for f, points in faces.items() if f[:4] == "test")


def test_the_network_starts_at_the_mean_of_the_points_that_are_there(
    trained: Trained,
) -> None:
    workdir, config, _ = trained
    examples = load_split(prepare(config.data), "train")
    by_hand = [np.mean([face[i] for face in examples.landmarks if not np.isnan(face[i, 0])], 0) for i in range(68)]
    stored = json.loads((workdir / "result.json").read_text())["mean_face"]
    np.testing.assert_allclose(stored, by_hand, rtol=1e-5)


def test_missing_points_come_back_from_the_records_where_they_were(
    trained: Trained,
) -> None:
    _, config, faces = trained
    for split in ("train", "test"):
        examples = load_split(prepare(config.data), split)
        for file, points in zip(examples.files, examples.landmarks, strict=True):
            np.testing.assert_array_equal(present(points), present(faces[file]))


def test_a_point_that_no_face_has_is_named(tmp_path: Path, network: type[ModelConfig]) -> None:
    write_faces(tmp_path / "faces", never=5)
    with pytest.raises(DataError) as caught:
        train(config_of(tmp_path / "faces", network), tmp_path / "run")
    assert caught.value.field == "data.markup"
    assert "point 5" in str(caught.value)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_outputs_of_missing_points_have_no_gradient_and_faces_weigh_the_same(accumulate: int) -> None:
    model, optimizer = linear_model(), optax.sgd(1.0)
    state = init_train_state(jax.random.key(0), model, optimizer, np.ones((68, 2), np.float32), False)
    landmarks = np.zeros((2, 68, 2), np.float32)
    landmarks[:, 60:] = np.nan  # no face has these
    landmarks[1, 10:] = np.nan  # ten points remain
    batch = {"image": jnp.ones((2, 4, 4, 3)), "landmarks": jnp.asarray(landmarks), "mask": jnp.ones(2)}
    step = make_train_step(model, MSE(), optimizer, lambda _: 1.0, steps_per_epoch=9, accumulate=accumulate)
    after, metrics = step(state, batch)
    change = np.asarray(state.params["bias"] - after.params["bias"])
    # Error 1: the derivative of a face's mean is 2 / (2 n) for each coordinate of its n points.
    expected = np.zeros((68, 2), np.float32)
    expected[:60] += 0.5 / 60
    expected[:10] += 0.5 / 10
    np.testing.assert_allclose(change, expected, atol=1e-7)
    assert not change[60:].any()
    assert float(metrics["loss"]) == pytest.approx(1)


def test_missing_points_give_the_same_update_on_one_and_eight_devices_and_in_parts() -> None:
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(size=(16, 68, 2)).astype(np.float32)
    landmarks[rng.uniform(size=(16, 68)) < 0.3] = np.nan
    image = rng.uniform(size=(16, 4, 4, 3)).astype(np.float32)
    batch = {"image": image, "landmarks": landmarks, "mask": np.ones(16, np.float32)}
    updates = []
    for devices, mode, parts in ((1, "jit", 1), (8, "jit", 1), (8, "pmap", 1), (1, "jit", 4)):
        mesh = make_mesh(jax.devices()[:devices])
        axis, optimizer = AXIS if mode == "pmap" else None, optax.sgd(1.0)
        step = make_train_step(
            linear_model(), MSE(), optimizer, lambda _: 1.0, steps_per_epoch=9, accumulate=parts, axis_name=axis
        )
        compiled = compile_step(step, mesh, mode, updates=True)  # type: ignore[arg-type]
        state = init_train_state(jax.random.key(0), linear_model(), optimizer, np.ones((68, 2), np.float32), False)
        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        state, metrics = compiled(jax.device_put(jax.device_get(state), everywhere), shard_batch(batch, mesh, mode))  # type: ignore[arg-type]
        updates.append((jax.device_get(state.params["bias"]), float(metrics["loss"])))
    for bias, loss in updates[1:]:
        np.testing.assert_allclose(bias, updates[0][0], rtol=1e-5)
        assert loss == pytest.approx(updates[0][1], rel=1e-5)
