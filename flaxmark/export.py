"""A trained network as one program for other software: picture and boxes in, landmarks in pixels out.

StableHLO, which any JAX loads without flaxmark:

    exported = jax.export.deserialize(open("face.stablehlo", "rb").read())
    landmarks = exported.call(picture, boxes)["landmarks"]   # uint8 [h, w, 3], float32 [n, 4] -> float32 [n, 68, 2]

ONNX: `onnxruntime.InferenceSession("face.onnx").run(["landmarks"], {"picture": picture, "boxes": boxes})`.
SavedModel: `tf.saved_model.load("face_savedmodel").predict(picture, boxes)["landmarks"]`.
TFLite: `tf.lite.Interpreter("face.tflite").get_signature_runner()(picture=picture, boxes=boxes)["landmarks"]`.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from flaxmark.config import ConfigError
from flaxmark.conv import make_operations
from flaxmark.drawing import draw_face
from flaxmark.geometry import landmark_box, square_crop
from flaxmark.inference import Predictor
from flaxmark.network import Network, make_forward
from flaxmark.traced_crop import JaxLibrary, cut_crops

Outputs = dict[str, Any]
Program = Callable[[Any, Any], Outputs]

TOLERANCE = 1e-3  # pixels
# Of faces that are shrunk first: Pillow rounds to whole grey levels, and a sum half-way between two may fall to either
# side in float32.
SHRUNK_TOLERANCE = 0.05


def make_program(network: Network) -> Program:
    """All that predict does after detection, as one function of JAX.

    Args:
        network: Trained.

    Returns:
        `(picture uint8 [h, w, 3], boxes float32 [n, 4]) -> {"landmarks": float32 [n, num_points, 2], pixels}`, and of a
        network with sigma `sigma` float32 `[n, num_points]`, pixels. Boxes are left, top, right, bottom in pixels,
        tight around the landmarks.
    """
    forward = make_forward(network.config, make_operations("tpu"), flip=False)  # XLA's own convolutions
    data, scale = network.data, network.metadata.get("sigma_scale", 1.0)
    variables = jax.tree.map(np.asarray, network.variables)

    def program(picture: Any, boxes: Any) -> Outputs:
        with jax.numpy_rank_promotion("allow"):
            left, top, side = square_crops(jnp, boxes, data.crop.scale)
            planes = picture.astype(jnp.float32).transpose(2, 0, 1)
            crops = cut_crops(JaxLibrary(), planes, (left, top, side), data.crop, data.image_size)
            said = forward(variables, crops.transpose(0, 2, 3, 1))
            corner = jnp.concatenate([left, top], axis=-1)
            outputs = {"landmarks": said["landmarks"] * side + corner - 0.5}
            return outputs | ({"sigma": said["sigma"] * scale * side.squeeze(-1)} if "sigma" in said else {})

    return program


def square_crops(xp: Any, boxes: Any, scale: float) -> tuple[Any, Any, Any]:
    """`geometry.square_crop` in pieces: left, top and side, each `[n, 1, 1]`."""
    # Split, not indexed: converters to TFLite have no gather of unknown length.
    left, top, right, bottom = xp.split(boxes[..., None], 4, axis=1)
    side = scale * xp.maximum(right - left, bottom - top)
    return (left + right) / 2 + 0.5 - side / 2, (top + bottom) / 2 + 0.5 - side / 2, side


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far an exported program is from predict.

    Attributes:
        faces: Compared.
        largest: Largest difference of a coordinate, pixels, of faces that are not shrunk before they are sampled.
        shrunk: The same of larger faces.
    """

    faces: int
    largest: float
    shrunk: float

    @property
    def holds(self) -> bool:
        """Whether both are as small as they have to be."""
        return self.largest <= TOLERANCE and self.shrunk <= SHRUNK_TOLERANCE

    def __str__(self) -> str:
        """In one line."""
        return (
            f"differs from predict by at most {self.largest:.6f} pixels, {self.shrunk:.6f} where the face is shrunk "
            f"first ({self.faces} drawn faces)"
        )


def check_agreement(program: Program, predictor: Predictor) -> Agreement:
    """Compare a program with predict on drawn faces: small and large ones, and boxes that reach over the border.

    Args:
        program: Loaded from the exported file.
        predictor: Of the same run.

    Returns:
        The largest difference.
    """
    differences: dict[bool, list[float]] = {False: [], True: []}
    # Pictures of two sizes: programs are compiled for each.
    for seed, (size, height, width) in enumerate(
        ((96, 200, 260), (161, 200, 260), (200, 200, 260), (240, 500, 420), (400, 500, 420), (420, 500, 420))
    ):
        drawn, landmarks = draw_face(800_000 + seed, size)
        picture = np.full((height, width, 3), 128, np.uint8)
        picture[-size:, :size] = drawn  # in the lower left corner
        box = landmark_box(landmarks + np.array([0, height - size]))
        over = box + np.array([-0.3, -0.3, 0.3, 0.5]) * size / 4
        boxes = np.stack([box, over, box + size / 3]).astype(np.float32)
        expected = predictor.predict(picture, boxes)
        found = np.asarray(program(picture, boxes)["landmarks"])
        sides = square_crop(boxes, predictor.crop.scale)[:, 2]
        for face, points, side in zip(expected, found, sides, strict=True):
            differences[bool(side > predictor.crop.stored_size)].append(float(np.abs(points - face.landmarks).max()))
    faces = sum(len(values) for values in differences.values())
    return Agreement(faces, max(differences[False]), max(differences[True]))


def describe(network: Network) -> dict[str, Any]:
    """What an exported file says of itself: mark-up, terms of the training faces, crop and input size."""
    config = network.metadata["config"]
    data = {name: config["data"][name] for name in ("markup", "crop", "image_size")}
    return {**data, "terms": network.metadata["terms"], "depth": network.config.model.depth}


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
    path.write_bytes(exported.serialize())
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
    from flaxmark.onnx_graph import make_face_model

    onnx.save(make_face_model(network, json.dumps(describe(network))), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def program(picture: Any, boxes: Any) -> Outputs:
        return dict(zip(names, session.run(names, {"picture": picture, "boxes": boxes}), strict=True))

    return program


def export_savedmodel(network: Network, path: Path) -> Program:
    """Write a SavedModel, which holds the same StableHLO.

    Args:
        network: Trained.
        path: Folder to write.

    Returns:
        The program as TensorFlow loads it.
    """
    from flaxmark.saved_model import save_program

    return save_program(make_program(network), path)


def export_tflite(network: Network, path: Path) -> Program:
    """Write a file for TFLite, converted from the SavedModel.

    Args:
        network: Trained.
        path: To write.

    Returns:
        The program as TFLite runs it.
    """
    from flaxmark.saved_model import save_tflite

    return save_tflite(make_program(network), path)


EXPORTERS: dict[str, Callable[[Network, Path], Program]] = {
    "stablehlo": export_stablehlo,
    "onnx": export_onnx,
    "savedmodel": export_savedmodel,
    "tflite": export_tflite,
}


def export(predictor: Predictor, form: str, out: Path) -> Agreement:
    """Write a program and compare it with predict; it is there under its name only if they agree.

    Args:
        predictor: Of a run.
        form: A key of `EXPORTERS`.
        out: File or, for a SavedModel, folder; replaced if it exists.

    Returns:
        How well they agree.

    Raises:
        ConfigError: A library is missing.
        RuntimeError: They do not agree.
    """
    temporary = out.with_name(f".{out.stem}.tmp{out.suffix}")
    try:
        agreement = check_agreement(EXPORTERS[form](predictor.network, temporary), predictor)
        if not agreement.holds:
            raise RuntimeError(f"{form} {agreement}; nothing is written")
        if out.is_dir():
            shutil.rmtree(out)
        temporary.replace(out)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)
    return agreement
