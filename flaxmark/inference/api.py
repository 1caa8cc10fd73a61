"""One call from a image to its faces: the models used last are kept."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

from flaxmark.data.images import ImageSource
from flaxmark.errors import ConfigError
from flaxmark.faces.boxes import Boxes
from flaxmark.inference.detection import MIN_SCORE, Detector
from flaxmark.inference.predictor import Face, ManyBoxes, OnBroken, Predictor
from flaxmark.storage.remote import CHECKPOINTS


def predict(
    image: ImageSource,
    boxes: Boxes | None = None,
    *,
    checkpoint: str | Path | None = None,
    detector: str | Detector = "auto",
    min_score: float = MIN_SCORE,
    flip: bool = False,
) -> list[Face]:
    """Landmarks of the faces of one image.

    Args:
        image: Path, PIL image or encoded bytes, turned as their EXIF orientation says; or uint8 `[height, width, 3]`
            (also grey or RGBA) in the order R, G, B, which is not OpenCV's.
        boxes: `[4]` or `[n, 4]`: left, top, right, bottom in pixels of the turned image, tight around the landmarks
            as in 300-W; `"image"` when the image is the crop itself. None: the detector finds them.
        checkpoint: As for `Predictor`.
        detector: As for `Predictor`; not together with boxes.
        min_score: As for `Predictor`.
        flip: As for `Predictor`.

    Returns:
        A face for each box in their order, or those that were found, the largest first; empty where there is none.

    Raises:
        ConfigError: Unreadable image, no boxes, no detector installed, no checkpoint.
    """
    predictor = _kept(checkpoint, detector, min_score, flip, boxes is not None)
    return predictor.predict(image, boxes)


def predict_many(
    images: Iterable[ImageSource],
    boxes: ManyBoxes = None,
    *,
    checkpoint: str | Path | None = None,
    detector: str | Detector = "auto",
    min_score: float = MIN_SCORE,
    flip: bool = False,
    on_broken: OnBroken | None = None,
) -> Iterator[list[Face]]:
    """Landmarks of many images, batched over them in constant memory.

    Args:
        images: As in `predict`; may be a generator.
        boxes: For each image as in `predict`, `"image"` for all, or None: the detector finds them in all.
        checkpoint: As for `Predictor`.
        detector: As for `Predictor`; not together with boxes.
        min_score: As for `Predictor`.
        flip: As for `Predictor`.
        on_broken: Called with what is wrong with a image that cannot be read, which then has no faces; without it
            such a image raises, after the faces of those before.

    Returns:
        An iterator of the faces of each image, in order.

    Raises:
        ConfigError: As in `predict`.
    """
    predictor = _kept(checkpoint, detector, min_score, flip, boxes is not None)
    return predictor.predict_many(images, boxes, on_broken)


def _kept(
    checkpoint: str | Path | None, detector: str | Detector, min_score: float, flip: bool, has_boxes: bool
) -> Predictor:
    """A predictor used before, as long as what it was loaded from is the same."""
    if has_boxes and detector != "auto":
        raise ConfigError("boxes and detector: give one of them")
    if checkpoint is None:
        return _load(None, 0, detector, min_score, flip)
    path = Path(checkpoint).absolute()
    folder = path / CHECKPOINTS
    changed = folder if folder.is_dir() else path  # a checkpoint that is added or removed changes its folder's time
    stamp = changed.stat().st_mtime_ns if changed.exists() else 0
    return _load(str(path), stamp, detector, min_score, flip)


@functools.lru_cache(maxsize=2)
def _load(checkpoint: str | None, stamp: int, detector: str | Detector, min_score: float, flip: bool) -> Predictor:
    """So that `predict` neither loads nor compiles at every call."""
    return Predictor(checkpoint, detector=detector, min_score=min_score, flip=flip)
