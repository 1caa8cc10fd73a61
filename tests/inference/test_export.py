import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.commands import command_main
from helpers.images import draw
from helpers.packed_file import REFINED, packed_run

import flaxmark
from flaxmark.errors import CheckpointError, ConfigError, MissingPackageError
from flaxmark.faces.crop import CropDefinition, cut_region, landmark_box, square_crop
from flaxmark.faces.crop_sampler import crop_image
from flaxmark.inference.export.export import (
    EXPORTERS,
    export,
    export_onnx,
    export_savedmodel,
    make_program,
)
from flaxmark.inference.export.matrix_crop import JaxLibrary, cut_crops, square_crops
from flaxmark.inference.export.verification import Agreement, Program
from flaxmark.inference.network import Network, Outputs
from flaxmark.models.heads import DenseHead


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed_run(tmp_path_factory.mktemp("packed") / "x.safetensors", 18, REFINED)


def check_description(text: str | bytes, depth: int = 18) -> None:
    description = json.loads(text)
    expected = {"markup": "five_points", "image_size": 64, "terms": "free", "network": f"resnet{depth}"}
    assert {name: description[name] for name in expected} == expected


@pytest.fixture(scope="module")
def predictor(packed: Path) -> flaxmark.Predictor:
    return flaxmark.Predictor(packed)


@pytest.mark.parametrize("size", [64, 112, 224])
def test_the_exported_crop_is_the_crop_of_predict(size: int) -> None:
    """Boxes of any size inside, over the border and larger than the image, enlarged and shrunk."""
    rng, definition = np.random.default_rng(0), CropDefinition(stored_size=96)
    trace = jax.jit(lambda planes, boxes: traced(planes, boxes, definition, size))
    shape = (110, 140, 3)
    image = np.asarray(draw(1, 140)[0][: shape[0]])
    sides, corners = rng.uniform(10, 160, 40), rng.uniform(-30, 100, (40, 2))
    boxes = np.concatenate([corners, corners + sides[:, None] * rng.uniform(0.6, 1, (40, 2))], axis=1)
    boxes = boxes.astype(np.float32)
    touching = (boxes[:, 2:] > 3).all(axis=1) & (boxes[:, :2] < (136, 106)).all(axis=1)
    found = np.asarray(trace(image.astype(np.float32).transpose(2, 0, 1), boxes))
    crops = square_crop(boxes, definition.scale)
    assert (crops[touching, 2] > definition.stored_size).sum() > 8
    for crop, own in zip(crops[touching], found[touching], strict=True):
        difference = np.abs(own - crop_image(cut_region(image, crop, definition, margin=False), size))
        # Where the face is shrunk first, a value half-way between two grey levels may be rounded to either.
        assert difference.max() < (0.01 if crop[2] <= definition.stored_size else 1.01)
        assert difference.mean() < 0.005
    assert touching.sum() > 25


def traced(planes: jax.Array, boxes: jax.Array, definition: CropDefinition, size: int) -> jax.Array:
    with jax.numpy_rank_promotion("allow"):
        return cut_crops(
            JaxLibrary(),
            planes,
            square_crops(JaxLibrary(), jnp.split(boxes[..., None], 4, axis=1), definition.scale),
            definition,
            size,
        ).transpose(0, 2, 3, 1)


def test_the_program_agrees_with_predict_in_all_outputs(predictor: flaxmark.Predictor) -> None:
    program = jax.jit(make_program(predictor.network))
    image, landmarks = draw(4, 150)
    box = landmark_box(landmarks).astype(np.float32)
    outputs = program(image, np.stack([box, box + 9]))
    for row, face in enumerate(predictor.predict(image, np.stack([box, box + 9]))):
        np.testing.assert_allclose(outputs["landmarks"][row], face.landmarks, atol=1e-3)
        np.testing.assert_allclose(outputs["sigma"][row], face.sigma, rtol=1e-4)
        np.testing.assert_allclose(outputs["visible"][row], face.visible, atol=1e-4)
        assert 0 < outputs["visible"].min() < outputs["visible"].max() < 1


def test_stablehlo_is_loaded_without_flaxmark(predictor: flaxmark.Predictor, tmp_path: Path) -> None:
    path = tmp_path / "x.stablehlo"
    agreement = export(predictor, "stablehlo", path)
    assert agreement.holds
    check_description(zipfile.ZipFile(path).read("flaxmark.json"))
    image, landmarks = draw(4, 150)
    boxes = landmark_box(landmarks).astype(np.float32)[None]
    np.savez(tmp_path / "in.npz", image=image, boxes=boxes)
    code = (
        "import sys, jax, jax.export, numpy as np\n"
        "exported = jax.export.deserialize(bytearray(open(sys.argv[1], 'rb').read()))\n"
        "given = np.load(sys.argv[2])\n"
        "print(np.asarray(exported.call(given['image'], given['boxes'])['landmarks']).tolist())\n"
        "assert not any(name.startswith('flaxmark') for name in sys.modules)\n"
    )
    line = [sys.executable, "-c", code, str(path), str(tmp_path / "in.npz")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), [predictor.predict(image, boxes)[0].landmarks], atol=1e-3)


@pytest.mark.parametrize("depth", [18, pytest.param(50, marks=pytest.mark.slow)])
def test_onnx_runtime_agrees_with_predict(depth: int, packed: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    own = flaxmark.Predictor(packed if depth == 18 else packed_run(tmp_path / "x.safetensors", depth, REFINED))
    path = tmp_path / "x.onnx"
    agreement = export(own, "onnx", path)
    assert agreement.largest < 1e-3
    assert agreement.faces == 18
    check_description({p.key: p.value for p in onnx.load(path).metadata_props}["flaxmark"], depth)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image, landmarks = draw(4, 150)
    for count in (0, 1, 5):
        boxes = np.repeat(landmark_box(landmarks).astype(np.float32)[None], count, axis=0)
        found = session.run(None, {"image": image, "boxes": boxes})
        faces = own.predict(image, boxes)
        assert found[0].shape == (count, 5, 2)
        for row, face in enumerate(faces):
            np.testing.assert_allclose(found[0][row], face.landmarks, atol=1e-3)
            if face.sigma is not None:
                np.testing.assert_allclose(found[1][row], face.sigma, rtol=1e-4)
                np.testing.assert_allclose(found[2][row], face.visible, atol=1e-4)


def test_the_network_alone_agrees_in_onnx_runtime(predictor: flaxmark.Predictor) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from flaxmark.inference.export.onnx_model import make_crop_model

    session = runtime.InferenceSession(
        make_crop_model(predictor.network).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    crops = np.random.default_rng(0).uniform(0, 255, (3, 64, 64, 3)).astype(np.float32)
    expected = predictor.network.run_images(crops)
    names = ["landmarks", "sigma", "visible"]
    found = dict(zip(names, session.run(names, {"crops": crops}), strict=True))
    found["sigma"] = found["sigma"] * predictor.network.metadata["sigma_scale"]
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "stored_size", "head"),
    [
        ("bfloat16", 256, DenseHead()),
        ("float32", 64, DenseHead()),
        ("float32", 640, DenseHead("weighted", visible=True)),
        ("bfloat16", 256, REFINED),
    ],
)
def test_runs_in_bfloat16_and_other_crops(dtype: str, stored_size: int, head: DenseHead, tmp_path: Path) -> None:
    """A run in bfloat16 is exported in float32; the faces to compare are large and small beside the stored size."""
    pytest.importorskip("onnxruntime")
    own = flaxmark.Predictor(packed_run(tmp_path / "x.safetensors", 18, head, dtype, stored_size))
    agreement = export(own, "onnx", tmp_path / "x.onnx")
    assert agreement.holds
    assert 0 < agreement.largest < max(agreement.shrunk, 1e-4)  # less is rounding in float32


@pytest.mark.parametrize("form", [pytest.param("savedmodel", marks=pytest.mark.slow), "tflite"])
def test_tensorflow_agrees_with_predict(form: str, predictor: flaxmark.Predictor, tmp_path: Path) -> None:
    path = tmp_path / "saved"
    assert export(predictor, form, path).holds
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    if form == "savedmodel":
        assert (path / "saved_model.pb").is_file()
        check_description((path / "assets.extra" / "flaxmark.json").read_text())
    else:
        check_description(zipfile.ZipFile(path).read("flaxmark.json"))


def test_files_of_a_killed_export_do_not_matter(
    predictor: flaxmark.Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flaxmark.inference.export.tensorflow_formats.save_program", lambda program, path: program)
    (tmp_path / "assets.extra").mkdir()
    export_savedmodel(predictor.network, tmp_path)
    check_description((tmp_path / "assets.extra" / "flaxmark.json").read_text())


def test_a_program_that_differs_is_not_left_behind(
    predictor: flaxmark.Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(network: Network, path: Path) -> Program:
        path.write_bytes(b"")
        program = jax.jit(make_program(network))

        def moved(image: np.ndarray, boxes: np.ndarray) -> Outputs:
            outputs = program(image, boxes)
            return outputs | {"landmarks": outputs["landmarks"] + 0.01}

        return moved

    monkeypatch.setitem(EXPORTERS, "onnx", wrong)
    with pytest.raises(RuntimeError, match=r"0\.010\d* pixels"):
        export(predictor, "onnx", tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    assert not Agreement(1, 1e-4, 0.06).holds
    assert Agreement(1, 1e-4, 0.06, stored_size=512).holds


def test_without_onnx_the_package_is_named(
    predictor: flaxmark.Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'flaxmark\[export\]'"):
        export(predictor, "onnx", tmp_path / "x.onnx")


@pytest.mark.parametrize(("name", "head"), [("other", "dense"), ("resnet", "other")])
def test_onnx_refuses_other_networks_before_anything_else(
    name: str, head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    model = SimpleNamespace(name=name, title=name, head=SimpleNamespace(name=head))
    network: Any = SimpleNamespace(config=SimpleNamespace(model=model))
    with pytest.raises(ConfigError) as caught:
        export_onnx(network, tmp_path / "x.onnx")
    assert (caught.value.field, caught.value.value) == ("format", "onnx")
    assert "\n" not in str(caught.value)


def test_the_command_refuses_before_anything_slow_starts(packed: Path, tmp_path: Path) -> None:
    main = command_main("export")
    (tmp_path / "x.onnx").write_text("kept")
    (tmp_path / "folder").mkdir()
    for form, out, more in (
        ("onnx", "x.onnx", []),  # exists
        ("onnx", "x.pb", []),
        ("savedmodel", "folder", ["--overwrite"]),  # not a SavedModel
        ("savedmodel", "x.onnx", ["--overwrite"]),
    ):
        with pytest.raises(ConfigError) as caught:
            main(["--workdir", str(packed), "--format", form, "--out", str(tmp_path / out), *more])
        assert caught.value.field == "out"
    with pytest.raises(CheckpointError):
        main(["--workdir", str(tmp_path / "nothing"), "--format", "onnx", "--out", str(tmp_path / "y.onnx")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "x.onnx"]
    assert (tmp_path / "x.onnx").read_text() == "kept"


def test_the_command_overwrites_where_it_is_asked_to(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    main = command_main("export")
    out = tmp_path / "x.onnx"
    out.write_text("replaced")
    main(["--workdir", str(packed), "--format", "onnx", "--out", str(out), "--overwrite"])
    assert onnx.load(out).graph.input[0].name == "image"
    assert "0.000" in capsys.readouterr().out
