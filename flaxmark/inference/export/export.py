"""A trained network as one program for other software: image and boxes in, landmarks in pixels out.

StableHLO, which JAX loads without flaxmark (pip install jax flatbuffers):

    exported = jax.export.deserialize(open("face.stablehlo", "rb").read())
    landmarks = exported.call(image, boxes)["landmarks"]   # uint8 [h, w, 3], float32 [n, 4] -> float32 [n, 68, 2]

ONNX: `onnxruntime.InferenceSession("face.onnx").run(["landmarks"], {"image": image, "boxes": boxes})`.
SavedModel: `tf.saved_model.load("face_savedmodel").predict(image, boxes)["landmarks"]`.
TFLite: `tf.lite.Interpreter("face.tflite").get_signature_runner()(image=image, boxes=boxes)["landmarks"]`.

All compute in float32, and all but ONNX need at least one box. JAX and TensorFlow compile anew for each size of image
and each number of boxes. What `describe` says is in each of them:

    onnx.load("face.onnx").metadata_props                            # under the key "flaxmark"
    zipfile.ZipFile("face.stablehlo").read("flaxmark.json")          # and face.tflite: the file ends with a zip archive
    open("face_savedmodel/assets.extra/flaxmark.json").read()
"""

import copy
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from flaxmark.errors import ConfigError
from flaxmark.inference.export.agreement import Agreement, Program, check_agreement
from flaxmark.inference.export.matrix_crop import JaxLibrary, cut_crops, square_crops
from flaxmark.inference.network import Network, Outputs, make_forward
from flaxmark.inference.predictor import Predictor
from flaxmark.models.operations import make_operations
from flaxmark.system.files import atomic_write

DESCRIPTION = "flaxmark.json"


def make_program(network: Network) -> Program:
    """All that predict does after detection, as one function of JAX.

    Args:
        network: Trained.

    Returns:
        `(image uint8 [h, w, 3], boxes float32 [n, 4]) -> {"landmarks": float32 [n, num_points, 2], pixels}`, and of a
        network with sigma `sigma` float32 `[n, num_points]`, pixels. Boxes are left, top, right, bottom in pixels,
        tight around the landmarks.
    """
    forward = make_forward(network.config, make_operations("tpu"), flip=False)  # XLA's own convolutions
    data, scale = network.data, network.metadata.get("sigma_scale", 1.0)
    variables = jax.tree.map(np.asarray, network.variables)

    def program(image: Any, boxes: Any) -> Outputs:
        with jax.numpy_rank_promotion("allow"):
            # Split, not indexed: converters to TFLite have no gather of unknown length.
            left, top, side = square_crops(JaxLibrary(), jnp.split(boxes[..., None], 4, axis=1), data.crop.scale)
            planes = image.astype(jnp.float32).transpose(2, 0, 1)
            crops = cut_crops(JaxLibrary(), planes, (left, top, side), data.crop, data.image_size)
            said = forward(variables, crops.transpose(0, 2, 3, 1))
            corner = jnp.concatenate([left, top], axis=-1)
            outputs = {"landmarks": said["landmarks"] * side + corner - 0.5}
            return outputs | ({"sigma": said["sigma"] * scale * side.squeeze(-1)} if "sigma" in said else {})

    return program


def describe(network: Network) -> dict[str, Any]:
    """What an exported file says of itself: mark-up, terms of the training faces, crop and input size."""
    config = network.metadata["config"]
    data = {name: config["data"][name] for name in ("markup", "crop", "image_size")}
    return {**data, "terms": network.metadata["terms"], "network": network.config.model.variant}


def with_description(content: bytes | bytearray, network: Network) -> bytes:
    """A file's bytes and, as a zip archive after them, what it says of itself: flatbuffers are read from their start.

    Args:
        content: A flatbuffer.
        network: Described.

    Returns:
        The same flatbuffer to what loads it, an archive with `flaxmark.json` to what unzips it.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(DESCRIPTION, json.dumps(describe(network)))
    return bytes(content) + stream.getvalue()


def export_stablehlo(network: Network, path: Path) -> Program:
    """Write StableHLO for CPU, GPU and TPU, serialised by jax.export.

    Args:
        network: Trained.
        path: To write.

    Returns:
        The program as it is loaded from the file.
    """
    height, width, faces = jax.export.symbolic_shape("height, width, faces")
    shapes = jax.ShapeDtypeStruct((height, width, 3), np.uint8), jax.ShapeDtypeStruct((faces, 4), np.float32)
    exported = jax.export.export(jax.jit(make_program(network)), platforms=("cpu", "cuda", "tpu"))(*shapes)
    path.write_bytes(with_description(exported.serialize(), network))
    return jax.export.deserialize(bytearray(path.read_bytes())).call


def export_onnx(network: Network, path: Path) -> Program:
    """Write ONNX.

    Args:
        network: Trained.
        path: To write.

    Returns:
        The program as ONNX Runtime runs it.

    Raises:
        ConfigError: onnx or onnxruntime is not installed.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'flaxmark[export]'") from error
    from flaxmark.inference.export.onnx_graph import make_face_model

    onnx.save(make_face_model(network, json.dumps(describe(network))), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def program(image: Any, boxes: Any) -> Outputs:
        return dict(zip(names, session.run(names, {"image": image, "boxes": boxes}), strict=True))

    return program


def export_savedmodel(network: Network, path: Path) -> Program:
    """Write a SavedModel, which holds the same StableHLO.

    Args:
        network: Trained.
        path: Folder to write.

    Returns:
        The program as TensorFlow loads it.
    """
    from flaxmark.inference.export.tensorflow_formats import save_program

    program = save_program(make_program(network), path)
    extra = path / "assets.extra"  # where TensorFlow leaves a user's own files alone
    extra.mkdir(exist_ok=True)  # a killed export leaves one
    (extra / DESCRIPTION).write_text(json.dumps(describe(network)))
    return program


def export_tflite(network: Network, path: Path) -> Program:
    """Write a file for TFLite, converted from the SavedModel.

    Args:
        network: Trained.
        path: To write.

    Returns:
        The program as TFLite runs it.
    """
    from flaxmark.inference.export.tensorflow_formats import convert_to_tflite, load_tflite

    path.write_bytes(with_description(convert_to_tflite(make_program(network)), network))
    return load_tflite(path)


EXPORTERS: dict[str, Callable[[Network, Path], Program]] = {
    "stablehlo": export_stablehlo,
    "onnx": export_onnx,
    "savedmodel": export_savedmodel,
    "tflite": export_tflite,
}


def export(predictor: Predictor, form: str, out: Path) -> Agreement:
    """Write a program and compare it with predict; it is there under its name only if they agree.

    Args:
        predictor: Of a run; where that computes in bfloat16, both are compared in float32.
        form: A key of `EXPORTERS`.
        out: File or, for a SavedModel, folder; replaced if it exists.

    Returns:
        How well they agree.

    Raises:
        ConfigError: A library is missing.
        RuntimeError: They do not agree.
    """
    if predictor.network.config.model.dtype != "float32":
        predictor = copy.copy(predictor)
        predictor.network = predictor.network.in_float32()
    with atomic_write(out) as temporary:
        agreement = check_agreement(EXPORTERS[form](predictor.network, temporary), predictor)
        if not agreement.holds:
            raise RuntimeError(f"{form} {agreement}; nothing is written")
    return agreement
