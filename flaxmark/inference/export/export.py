"""Export of a trained network as one program from an image and boxes to landmarks in pixels.

StableHLO, which JAX loads without flaxmark (pip install jax flatbuffers):

    exported = jax.export.deserialize(open("face.stablehlo", "rb").read())
    landmarks = exported.call(image, boxes)["landmarks"]   # uint8 [h, w, 3], float32 [n, 4] -> float32 [n, 68, 2]

ONNX: `onnxruntime.InferenceSession("face.onnx").run(["landmarks"], {"image": image, "boxes": boxes})`.
SavedModel: `tf.saved_model.load("face_savedmodel").predict(image, boxes)["landmarks"]`.
TFLite: `tf.lite.Interpreter("face.tflite").get_signature_runner()(image=image, boxes=boxes)["landmarks"]`.

All compute in float32, and all but ONNX need at least one box. JAX and TensorFlow compile again for each image size and
each number of boxes. Each file contains the description of `describe`:

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
from jaxtyping import Float

from flaxmark.data.drawn.head.mean_head import mean_head
from flaxmark.errors import ConfigError, MissingPackageError
from flaxmark.faces.head_pose import angles, fit_matrix
from flaxmark.faces.markup import Markup
from flaxmark.inference.export.matrix_crop import JaxLibrary, cut_crops, square_crops
from flaxmark.inference.export.verification import Agreement, Program, check_agreement
from flaxmark.inference.face import in_pixels
from flaxmark.inference.network import Network, Outputs, make_forward
from flaxmark.inference.predictor import Predictor
from flaxmark.models.operations import make_operations
from flaxmark.system.devices import in_32_bits
from flaxmark.system.files import atomic_write

DESCRIPTION = "flaxmark.json"


def make_program(network: Network) -> Program:
    """Make one JAX function of all that predict does after detection.

    It maps an image uint8 `[height, width, 3]` and boxes float32 `[n, 4]` (left, top, right, bottom in pixels, tight
    around the landmarks) to `landmarks` float32 `[n, num_points, 2]` in pixels, the network's other outputs, such as
    `sigma` float32 `[n, num_points]` in pixels and `visible` float32 `[n, num_points]` in [0, 1], and for flaxmark's
    own landmark schemes `pose` float32 `[n, 3]`: yaw, pitch and roll in degrees.
    """
    forward = make_forward(network.config, make_operations("tpu"), flip=False)  # plain convolutions of XLA
    data, scale = network.data, network.metadata.get("sigma_scale", 1.0)
    variables = jax.tree.map(np.asarray, network.variables)
    pose = pose_matrix(network.markup)

    def program(image: Any, boxes: Any) -> Outputs:
        with jax.numpy_rank_promotion("allow"):
            # Split instead of indexed, because TFLite's converter has no gather of unknown length.
            left, top, side = square_crops(JaxLibrary(), jnp.split(boxes[..., None], 4, axis=1), data.crop.scale)
            planes = image.astype(jnp.float32).transpose(2, 0, 1)
            crops = cut_crops(JaxLibrary(), planes, (left, top, side), data.crop, data.image_size)
            outputs = forward(variables, crops.transpose(0, 2, 3, 1))
            if "sigma" in outputs:
                outputs["sigma"] = outputs["sigma"] * scale
            if pose is not None:
                projections = jnp.matmul(pose, outputs["landmarks"], precision="highest")
                columns = jnp.split(projections.reshape(-1, 6), 6, axis=1)
                outputs["pose"] = jnp.concatenate(angles(jnp, columns[0::2], columns[1::2]), axis=1)
            corner = jnp.concatenate([left, top], axis=-1)
            return {name: in_pixels(name, values, corner, side) for name, values in outputs.items()}

    return program


def pose_matrix(markup: Markup) -> Float[np.ndarray, "3 points"] | None:
    """`fit_matrix` of the mean head, float32; None for landmark schemes without one."""
    mean = mean_head(markup)
    matrix = None if mean is None else fit_matrix(*mean)
    return None if matrix is None else matrix.astype(np.float32)


def describe(network: Network) -> dict[str, Any]:
    """Description in an exported file: landmark scheme, crop, input size, network and terms of the training faces."""
    config = network.metadata["config"]
    data = {name: config["data"][name] for name in ("markup", "crop", "image_size")}
    return {**data, "terms": network.metadata["terms"], "network": network.config.model.variant}


def with_description(content: bytes | bytearray, network: Network) -> bytes:
    """Append a zip archive with `flaxmark.json` to a flatbuffer, which is read from its start."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(DESCRIPTION, json.dumps(describe(network)))
    return bytes(content) + stream.getvalue()


def export_stablehlo(network: Network, path: Path) -> Program:
    """Write StableHLO for CPU, GPU and TPU with jax.export; the program as loaded from the file."""
    height, width, faces = jax.export.symbolic_shape("height, width, faces")
    shapes = jax.ShapeDtypeStruct((height, width, 3), np.uint8), jax.ShapeDtypeStruct((faces, 4), np.float32)
    exported = jax.export.export(jax.jit(make_program(network)), platforms=("cpu", "cuda", "tpu"))(*shapes)
    path.write_bytes(with_description(exported.serialize(), network))
    return jax.export.deserialize(bytearray(path.read_bytes())).call


def export_onnx(network: Network, path: Path) -> Program:
    """Write ONNX; the program as loaded by ONNX Runtime.

    Raises ConfigError if the network is not a ResNet with the dense or the refined head, and MissingPackageError
    without onnx.
    """
    model = network.config.model
    if model.name != "resnet" or model.head.name not in ("dense", "refined"):
        other = f"{model.title} with the head {model.head.name}"
        raise ConfigError(
            f"supports ResNets with the dense or the refined head, not {other}", field="format", value="onnx"
        )
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(f"{error.name} is not installed: pip install 'flaxmark[export]'") from error
    from flaxmark.inference.export.onnx_model import make_face_model

    onnx.save(make_face_model(network, json.dumps(describe(network)), pose_matrix(network.markup)), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def program(image: Any, boxes: Any) -> Outputs:
        return dict(zip(names, session.run(names, {"image": image, "boxes": boxes}), strict=True))

    return program


def export_savedmodel(network: Network, path: Path) -> Program:
    """Write a SavedModel, a folder with the same StableHLO; the program as loaded by TensorFlow."""
    from flaxmark.inference.export.tensorflow_formats import save_program

    program = save_program(make_program(network), path)
    extra = path / "assets.extra"  # TensorFlow keeps files of users there
    extra.mkdir(exist_ok=True)  # may be left of a killed export
    (extra / DESCRIPTION).write_text(json.dumps(describe(network)))
    return program


def export_tflite(network: Network, path: Path) -> Program:
    """Write a file for TFLite, converted from a SavedModel; the program as loaded by TFLite."""
    from flaxmark.inference.export.tensorflow_formats import convert_to_tflite, load_tflite

    path.write_bytes(with_description(convert_to_tflite(make_program(network)), network))
    return load_tflite(path)


EXPORTERS: dict[str, Callable[[Network, Path], Program]] = {
    "stablehlo": export_stablehlo,
    "onnx": export_onnx,
    "savedmodel": export_savedmodel,
    "tflite": export_tflite,
}


@in_32_bits
def export(predictor: Predictor, form: str, out: Path) -> Agreement:
    """Write a program in a format of `EXPORTERS` and compare it with predict, both in float32.

    `out` is a file or, for a SavedModel, a folder; it is replaced, and only if they agree. Raises RuntimeError if they
    do not, ConfigError if the format does not support the network, and MissingPackageError without its library.
    """
    if predictor.network.config.model.dtype != "float32":
        predictor = copy.copy(predictor)
        predictor.network = predictor.network.in_float32()
    with atomic_write(out) as temporary:
        agreement = check_agreement(EXPORTERS[form](predictor.network, temporary), predictor)
        if not agreement.holds:
            raise RuntimeError(f"{form} {agreement}; nothing is written")
    return agreement
