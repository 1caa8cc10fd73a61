"""From pictures and face boxes to landmarks in pixels."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from flaxmark.batch_norm import fold_batch_norm
from flaxmark.checkpoint import load_best
from flaxmark.config import ConfigError, from_dict
from flaxmark.conv import make_operations
from flaxmark.data.pictures import PictureSource, read_picture
from flaxmark.geometry import CropDefinition, cut_region, image_crop, square_crop, to_pixels, warp_crop
from flaxmark.landmarks import Markup
from flaxmark.models import make_model
from flaxmark.sharding import compile_step, make_mesh

Boxes = np.ndarray | Sequence[Any] | Literal["image"]

# One compiled program each; a batch is padded up to the next of these.
BATCH_SIZES = (1, 8, 32)


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One face of a picture.

    Attributes:
        landmarks: float64 `[num_points, 2]`: x, y in pixels of the picture as it is displayed (EXIF rotation applied);
            pixel centres are integers.
        box: float64 `[4]`: the box used: left, top, right, bottom, pixels.
        score: How sure it is that this is a face, in [0, 1], or None where nothing tells.
        sigma: float64 `[num_points]`: expected error (standard deviation) of each coordinate of a point in pixels,
            scaled to the errors on the validation faces; None where the model has none.
    """

    landmarks: np.ndarray
    box: np.ndarray
    score: float | None = None
    sigma: np.ndarray | None = None


class Predictor:
    """A model kept for many calls."""

    def __init__(self, checkpoint: str | Path) -> None:
        """Load the best checkpoint of a run.

        Args:
            checkpoint: The run's workdir.

        Raises:
            ConfigError: No checkpoint there.
        """
        variables, self.metadata = load_best(checkpoint)
        config = from_dict(self.metadata["config"])
        self._data = config.data
        # One device: a handful of faces is not worth splitting.
        mesh = make_mesh(jax.local_devices()[:1])
        operations = make_operations(mesh.devices.flat[0].platform, gradients=False)
        model = make_model(config.model, config.data.markup.num_points, operations=operations, folded=True)
        self._variables = fold_batch_norm(variables)

        def apply(variables: Any, crops: jax.Array) -> dict[str, jax.Array]:
            prediction, _ = model.apply(variables, self._data.normalize(crops / 255), False)
            sigma = {} if prediction.log_sigma is None else {"sigma": jnp.exp(prediction.log_sigma)}
            return {"landmarks": prediction.landmarks, **sigma}

        self._apply = compile_step(apply, mesh, "jit", donate=False)

    @property
    def crop(self) -> CropDefinition:
        """How boxes become crops; from the checkpoint."""
        return self._data.crop

    @property
    def markup(self) -> Markup:
        """What the points are; from the checkpoint."""
        return self._data.markup

    def predict(self, image: PictureSource, boxes: Boxes | None = None) -> list[Face]:
        """Landmarks of the faces of one picture.

        Args:
            image: Path, PIL image, encoded bytes or uint8 `[height, width, 3]` RGB (also grey or RGBA).
            boxes: `[4]` or `[n, 4]`: left, top, right, bottom in pixels, tight around the landmarks as in
                300-W (brows to chin, ear to ear); `"image"` when the picture is the crop itself.

        Returns:
            A face for each box, in their order.

        Raises:
            ConfigError: Unreadable picture, boxes missing or not boxes.
        """
        return next(self.predict_many([image], [boxes]))

    def predict_many(
        self, images: Iterable[PictureSource], boxes: Iterable[Boxes | None] | Literal["image"] | None = None
    ) -> Iterator[list[Face]]:
        """Landmarks of many pictures, batched over them in constant memory.

        Args:
            images: As in `predict`; may be a generator.
            boxes: For each picture as in `predict`, or `"image"` for all.

        Yields:
            The faces of each picture, in order.

        Raises:
            ConfigError: As in `predict`, after the faces of the pictures before; also when the numbers of boxes
                and pictures differ.
        """
        pending: list[tuple[np.ndarray, np.ndarray]] = []  # crops and boxes of pictures not yet given out
        crops_of: list[np.ndarray] = []
        waiting = 0
        try:
            for inputs, crops, picture_boxes in self._inputs(images, boxes):
                pending.append((crops, picture_boxes))
                crops_of.append(inputs)
                waiting += len(inputs)
                if waiting >= BATCH_SIZES[-1]:
                    yield from self._faces(pending, crops_of)
                    pending, crops_of, waiting = [], [], 0
        except ConfigError:  # the pictures before the bad one are done first
            yield from self._faces(pending, crops_of)
            raise
        yield from self._faces(pending, crops_of)

    def _inputs(
        self, images: Iterable[PictureSource], boxes: Iterable[Boxes | None] | Literal["image"] | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For each picture: warped crops in [0, 255] `[n, size, size, 3]`, crops `[n, 3]` and boxes `[n, 4]`."""
        if isinstance(images, str | Path | bytes) or getattr(images, "ndim", 4) < 4:
            raise ConfigError("predict_many takes a list or generator of pictures; predict takes one")
        own_boxes = None if boxes is None or isinstance(boxes, str) else iter(boxes)
        index = -1
        for index, image in enumerate(images):
            picture = read_picture(image, self._data.max_megapixels)
            if own_boxes is None:
                wanted: Any = boxes
            elif (wanted := next(own_boxes, _NO_MORE)) is _NO_MORE:
                raise ConfigError(f"boxes end before picture {index}; give boxes for each picture")
            crops, picture_boxes = self._crops(picture, wanted)
            size = self._data.image_size
            inputs = np.empty((len(crops), size, size, 3), np.float32)
            for row, crop in enumerate(crops):
                inputs[row] = warp_crop(cut_region(picture, crop, self.crop, margin=False), size)
            yield inputs, crops, picture_boxes
        if isinstance(boxes, Sized) and own_boxes is not None and len(boxes) > index + 1:
            raise ConfigError(f"boxes of {len(boxes)} pictures for {index + 1} pictures; give boxes for each picture")

    def _crops(self, picture: np.ndarray, boxes: Boxes | None) -> tuple[np.ndarray, np.ndarray]:
        """Crops `[n, 3]` and boxes `[n, 4]` of a picture, or a clear complaint."""
        height, width = picture.shape[:2]
        if boxes is None:
            raise ConfigError(
                "boxes are missing: give boxes=[[left, top, right, bottom], ..] in pixels, "
                'or boxes="image" when the picture is the crop itself'
            )
        if isinstance(boxes, str):
            if boxes != "image":
                raise ConfigError(f'boxes={boxes!r}: give numbers, or "image"')
            return image_crop(width, height)[None], np.array([[0.0, 0.0, width - 1.0, height - 1.0]])
        try:
            array = np.asarray(boxes, np.float64)
        except (TypeError, ValueError):
            array = np.empty(())
        array = array[None] if array.shape == (4,) else array
        if array.size == 0 and array.ndim == 1:
            array = array.reshape(0, 4)
        if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
            raise ConfigError("boxes must be finite numbers left, top, right, bottom: shape [4] or [n, 4]")
        for left, top, right, bottom in array:
            if right <= left or bottom <= top or right < 0 or bottom < 0 or left >= width or top >= height:
                raise ConfigError(
                    f"box {left:g}, {top:g}, {right:g}, {bottom:g} is empty or outside the {width} x {height} picture; "
                    "the order is left, top, right, bottom"
                )
        return square_crop(array, self.crop.scale), array

    def _faces(self, pictures: list[tuple[np.ndarray, np.ndarray]], inputs: list[np.ndarray]) -> Iterator[list[Face]]:
        """Run what waits and deal the landmarks out to their pictures."""
        if not pictures:
            return
        outputs = self._run(np.concatenate(inputs))
        start = 0
        for crops, boxes in pictures:
            rows = slice(start, start + len(crops))
            start += len(crops)
            if not len(crops):
                yield []
                continue
            points = to_pixels(outputs["landmarks"][rows], crops)
            sigmas: Any = [None] * len(crops)
            if "sigma" in outputs:
                scale = self.metadata["sigma_scale"] * crops[:, 2:]
                sigmas = outputs["sigma"][rows].astype(np.float64) * scale
            yield [Face(face, box, None, sigma) for face, box, sigma in zip(points, boxes, sigmas, strict=True)]

    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """float32 `[n, size, size, 3]` to what the network says of each, in batches of fixed sizes."""
        outputs: list[dict[str, np.ndarray]] = []
        for start in range(0, len(images), BATCH_SIZES[-1]):
            batch = images[start : start + BATCH_SIZES[-1]]
            padded = next(size for size in BATCH_SIZES if size >= len(batch))
            filled = np.zeros((padded, *batch.shape[1:]), np.float32)
            filled[: len(batch)] = batch
            said = self._apply(self._variables, filled)
            outputs.append({name: np.asarray(values)[: len(batch)] for name, values in said.items()})
        return {name: np.concatenate([said[name] for said in outputs]) for name in (outputs[0] if outputs else ())}


_NO_MORE = object()


@functools.lru_cache(maxsize=2)
def _kept_predictor(checkpoint: str) -> Predictor:
    """The predictors of the last checkpoints used, so that `predict` does not compile at every call."""
    return Predictor(checkpoint)


def predict(image: PictureSource, boxes: Boxes | None = None, *, checkpoint: str | Path) -> list[Face]:
    """Landmarks of the faces of one picture.

    Args:
        image: Path, PIL image, encoded bytes or uint8 `[height, width, 3]` RGB (also grey or RGBA).
        boxes: `[4]` or `[n, 4]`: left, top, right, bottom in pixels, tight around the landmarks as in 300-W;
            `"image"` when the picture is the crop itself.
        checkpoint: Workdir of a run.

    Returns:
        A face for each box, in their order; landmarks in pixels of the picture.

    Raises:
        ConfigError: Unreadable picture, boxes missing or not boxes, no checkpoint.
    """
    return _kept_predictor(str(Path(checkpoint).absolute())).predict(image, boxes)


def predict_many(
    images: Iterable[PictureSource],
    boxes: Iterable[Boxes | None] | Literal["image"] | None = None,
    *,
    checkpoint: str | Path,
) -> Iterator[list[Face]]:
    """Landmarks of many pictures, batched over them in constant memory.

    Args:
        images: As in `predict`; may be a generator.
        boxes: For each picture as in `predict`, or `"image"` for all.
        checkpoint: Workdir of a run.

    Returns:
        An iterator of the faces of each picture, in order.

    Raises:
        ConfigError: As in `predict`.
    """
    return _kept_predictor(str(Path(checkpoint).absolute())).predict_many(images, boxes)
