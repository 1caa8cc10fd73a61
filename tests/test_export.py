import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fixture_300w import draw

import flaxmark
from flaxmark import export as exports
from flaxmark.batch_norm import fold_batch_norm
from flaxmark.config import Config, ConfigError, DataConfig, LossConfig, ModelConfig, to_dict
from flaxmark.export import export, make_program, square_crops
from flaxmark.geometry import CropDefinition, cut_region, landmark_box, square_crop, warp_crop
from flaxmark.markups import FIVE_POINTS
from flaxmark.models import make_model
from flaxmark.network import Network
from flaxmark.packed import pack
from flaxmark.traced_crop import JaxLibrary, cut_crops


def packed_run(path: Path, depth: int, sigma: bool) -> Path:
    """A small file with random weights, whose predictions depend on the picture."""
    config = Config(
        data=DataConfig(markup=FIVE_POINTS, image_size=64),
        model=ModelConfig(depth=depth, sigma=sigma, head_init_scale=0.5 if depth == 18 else 0.02),  # type: ignore[arg-type]
        loss=LossConfig("nll" if sigma else "mse"),
    )
    model = make_model(config.model, 5)
    variables = jax.jit(model.init)(jax.random.key(0), np.full((5, 2), 0.5, np.float32))
    pack(fold_batch_norm(variables), {"config": to_dict(config), "terms": "free", "sigma_scale": 1.5}, path)
    return path


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> flaxmark.Predictor:
    return flaxmark.Predictor(packed_run(tmp_path_factory.mktemp("packed") / "x.safetensors", 18, True))


@pytest.mark.parametrize("size", [64, 112, 224])
def test_the_traced_crop_is_the_crop_of_predict(size: int) -> None:
    """Boxes of any size inside, over the border and larger than the picture, enlarged and shrunk."""
    rng, definition = np.random.default_rng(0), CropDefinition(stored_size=96)
    trace = jax.jit(lambda planes, boxes: traced(planes, boxes, definition, size))
    shape = (110, 140, 3)
    picture = np.asarray(draw(1, 140)[0][: shape[0]])
    sides, corners = rng.uniform(10, 160, 40), rng.uniform(-30, 100, (40, 2))
    boxes = np.concatenate([corners, corners + sides[:, None] * rng.uniform(0.6, 1, (40, 2))], axis=1)
    boxes = boxes.astype(np.float32)
    touching = (boxes[:, 2:] > 3).all(axis=1) & (boxes[:, :2] < (136, 106)).all(axis=1)
    found = np.asarray(trace(picture.astype(np.float32).transpose(2, 0, 1), boxes))
    crops = square_crop(boxes, definition.scale)
    assert (crops[touching, 2] > definition.stored_size).sum() > 8
    for crop, own in zip(crops[touching], found[touching], strict=True):
        difference = np.abs(own - warp_crop(cut_region(picture, crop, definition, margin=False), size))
        # A sum half-way between two grey levels may be rounded to either side where the face is shrunk first.
        assert difference.max() < (0.01 if crop[2] <= definition.stored_size else 1.01)
        assert difference.mean() < 0.005
    assert touching.sum() > 25


def traced(planes: jax.Array, boxes: jax.Array, definition: CropDefinition, size: int) -> jax.Array:
    with jax.numpy_rank_promotion("allow"):
        return cut_crops(JaxLibrary(), planes, square_crops(jnp, boxes, definition.scale), definition, size).transpose(
            0, 2, 3, 1
        )


def test_the_program_agrees_with_predict_sigma_too(predictor: flaxmark.Predictor) -> None:
    program = jax.jit(make_program(predictor.network))
    picture, landmarks = draw(4, 150)
    box = landmark_box(landmarks).astype(np.float32)
    outputs = program(picture, np.stack([box, box + 9]))
    for row, face in enumerate(predictor.predict(picture, np.stack([box, box + 9]))):
        np.testing.assert_allclose(outputs["landmarks"][row], face.landmarks, atol=1e-3)
        np.testing.assert_allclose(outputs["sigma"][row], face.sigma, rtol=1e-4)


def test_stablehlo_is_loaded_without_flaxmark(predictor: flaxmark.Predictor, tmp_path: Path) -> None:
    path = tmp_path / "x.stablehlo"
    agreement = export(predictor, "stablehlo", path)
    assert agreement.holds
    picture, landmarks = draw(4, 150)
    boxes = landmark_box(landmarks).astype(np.float32)[None]
    np.savez(tmp_path / "in.npz", picture=picture, boxes=boxes)
    code = (
        "import sys, jax, jax.export, numpy as np\n"
        "exported = jax.export.deserialize(bytearray(open(sys.argv[1], 'rb').read()))\n"
        "given = np.load(sys.argv[2])\n"
        "print(np.asarray(exported.call(given['picture'], given['boxes'])['landmarks']).tolist())\n"
        "assert not any(name.startswith('flaxmark') for name in sys.modules)\n"
    )
    line = [sys.executable, "-c", code, str(path), str(tmp_path / "in.npz")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), [predictor.predict(picture, boxes)[0].landmarks], atol=1e-3)


@pytest.mark.parametrize("depth", [18, 50])
def test_onnx_runtime_agrees_with_predict(depth: int, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    own = flaxmark.Predictor(packed_run(tmp_path / "x.safetensors", depth, depth == 18))
    path = tmp_path / "x.onnx"
    agreement = export(own, "onnx", path)
    assert agreement.largest < 1e-3
    assert agreement.faces == 18
    told = json.loads({p.key: p.value for p in onnx.load(path).metadata_props}["flaxmark"])
    assert (told["markup"], told["image_size"], told["terms"], told["depth"]) == ("five_points", 64, "free", depth)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    picture, landmarks = draw(4, 150)
    for count in (1, 5):
        boxes = np.repeat(landmark_box(landmarks).astype(np.float32)[None], count, axis=0)
        found = session.run(None, {"picture": picture, "boxes": boxes})
        assert found[0].shape == (count, 5, 2)
        if depth == 18:
            face = own.predict(picture, boxes)[0]
            np.testing.assert_allclose(found[1][0], face.sigma, rtol=1e-4)


@pytest.mark.parametrize("form", ["savedmodel", "tflite"])
def test_tensorflow_agrees_with_predict(form: str, predictor: flaxmark.Predictor, tmp_path: Path) -> None:
    assert export(predictor, form, tmp_path / "saved").holds
    assert (tmp_path / "saved" / "saved_model.pb").is_file() == (form == "savedmodel")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_a_program_that_differs_is_not_left_behind(
    predictor: flaxmark.Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(network: Network, path: Path) -> exports.Program:
        path.write_bytes(b"")
        program = jax.jit(make_program(network))
        return lambda picture, boxes: {"landmarks": program(picture, boxes)["landmarks"] + 0.01}

    monkeypatch.setitem(exports.EXPORTERS, "onnx", wrong)
    with pytest.raises(
        RuntimeError, match=r"onnx differs from predict by at most 0\.010\d* pixels.*nothing is written"
    ):
        export(predictor, "onnx", tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    assert not exports.Agreement(1, 1e-4, 0.06).holds


def test_without_onnx_it_says_what_to_install(
    predictor: flaxmark.Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'flaxmark\[export\]'"):
        export(predictor, "onnx", tmp_path / "x.onnx")
