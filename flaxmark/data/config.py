"""Which faces, and how they become the network's input; loads neither TensorFlow nor JAX."""

import dataclasses
from typing import Any, Literal

import numpy as np

from flaxmark.faces.crop import CropDefinition
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.faces.markup_files import MARKUPS, markup_from_json, markup_to_json
from flaxmark.schema import JSON_FORMS, Choice, bounded, check_bounds, require

MOST_SAMPLES = 16
"""Along each axis, of one pixel of the crop."""

DataName = Literal["ibug_300w", "dlib", "pts", "csv", "coco", "drawn_faces"]

JSON_FORMS[Markup] = (markup_to_json, markup_from_json)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class AugmentConfig(Choice):
    """Random changes of a training face, all off at their defaults; drawn uniformly from each range.

    A subclass with more fields, and a function for each in `flaxmark.data.input.augment`, adds augmentations.
    """

    name = "standard"
    default_name = "standard"

    rotation: float = bounded(0.0, "[0, 180] degrees")
    """Largest rotation to either side, degrees."""
    scale: float = bounded(0.0, "[0, 1)")
    """Largest relative change of the face's size: 0.2 is 0.8 to 1.2 times."""
    shift: float = bounded(0.0, "[0, 1]")
    """Largest shift along each axis, in sides of the crop."""
    flip: bool = False
    """Mirror half of the faces, with the landmarks renamed."""
    brightness: float = bounded(0.0, "[0, 1]")
    """Largest amount added to all pixels, where 1 is white minus black."""
    contrast: float = bounded(0.0, "[0, 1]")
    """Largest relative change of contrast about the mean: 0.3 is 0.7 to 1.3 times."""
    saturation: float = bounded(0.0, "[0, 1]")
    """Largest relative change of saturation; 1 reaches from grey to double."""
    blur: float = bounded(0.0, "[0, 10]")
    """Largest standard deviation of a Gaussian blur applied to half of the faces, in 1/100 of the crop's side."""
    occlusion: float = bounded(0.0, "[0, 1]")
    """Largest side of a random patch that hides part of half of the faces, in sides of the crop."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which faces, and how they become the network's input."""

    name: DataName = "ibug_300w"
    """300-W: ibug_300w (official layout), dlib (its XML packaging). Own faces: pts (images with .pts beside them),
    csv (file, x0, y0 ..), coco (keypoints JSON). drawn_faces needs no files."""
    markup: Markup = IBUG_68
    """How many points a face has and what they are: ibug_68, five_points, wflw_98, or a JSON file."""
    dir: str | None = None
    """The data set's own folder; for ibug_300w also found through the environment variable FLAXMARK_DATA."""
    prepared_dir: str | None = None
    """Where prepared faces are kept; the default is flaxmark/ in the user's cache folder."""
    train_list: str | None = None
    """Train on exactly the faces named in this file (paths relative to data.dir, one a line; for csv and coco such a
    file of faces)."""
    validation_list: str | None = None
    """Validate on exactly the faces of this file; goes with data.train-list."""
    test_list: str | None = None
    """For csv and coco: the file of test faces."""
    strict: bool = False
    """Stop at the first bad image or annotation instead of listing it in the report."""
    max_megapixels: float = bounded(64.0, "(0, 10000]")
    """Images above this many decoded megapixels are refused."""
    drawn_train: int = bounded(4000, "[1, 10000000]")
    """For drawn_faces: how many training faces to draw."""
    drawn_validation: int = bounded(200, "[1, 1000000]")
    """For drawn_faces: how many validation faces to draw; as many again are test faces."""
    drawn_size: int = bounded(160, "[32, 2048] pixels")
    """For drawn_faces: side of the drawn image, pixels."""
    crop: CropDefinition = CropDefinition()
    """From face box to crop."""
    image_size: int = bounded(224, "[64, 2048] pixels")
    """Side of the network's input, pixels; at least 64."""
    pixel_mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from RGB in [0, 1]."""
    pixel_std: tuple[float, float, float] = bounded(IMAGENET_STD, "(0, inf)")
    """Divides RGB after the mean is subtracted."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training faces."""
    residency: Literal["auto", "device", "stream"] = "auto"
    """Where training faces are: device (all of them decoded in the device's memory, which is the host's on a CPU),
    stream (read and decoded for each batch), or auto (in memory where they take at most half of what is free)."""

    def normalize(self, image: Any) -> Any:
        """RGB in [0, 1] to what the network is fed: float32 `[..., 3]`, an array or a tensor."""
        shape = (1,) * (len(image.shape) - 1) + (3,)
        mean, std = (np.array(value, np.float32).reshape(shape) for value in (self.pixel_mean, self.pixel_std))
        return (image - mean) / std


def check_data(data: DataConfig) -> None:
    """Refuse values that cannot work, before anything slow starts; ConfigError names the field and what it may be."""
    check_bounds(data, "data.")
    markup = data.markup
    smallest = data.crop.stored_size / MOST_SAMPLES / (1 - data.augment.scale)
    require(
        data.name not in ("ibug_300w", "dlib") or markup.num_points == IBUG_68.num_points,
        "data.markup",
        markup.name,
        f"must be one of {IBUG_68.num_points} points, which is what 300-W has",
    )
    require(
        data.name != "drawn_faces" or MARKUPS.get(markup.name) == markup,
        "data.markup",
        markup.name,
        f"must be one of {', '.join(MARKUPS)} for drawn_faces",
    )
    require(
        not data.augment.flip or markup.flip_order is not None,
        "data.augment.flip",
        data.augment.flip,
        f"must be off: mark-up {markup.name} has no flip_order",
    )
    require(
        data.image_size >= smallest,
        "data.image_size",
        data.image_size,
        f"must be at least 1/{MOST_SAMPLES} of data.crop.stored-size / (1 - data.augment.scale): a pixel would be made "
        f"of more than {MOST_SAMPLES} x {MOST_SAMPLES} samples",
    )
    require(
        (data.train_list is None) == (data.validation_list is None),
        "data.train_list",
        data.train_list,
        "must be given together with --data.validation-list",
    )
    require(
        data.train_list is None or data.train_list != data.validation_list,
        "data.validation_list",
        data.validation_list,
        "must be another file than --data.train-list",
    )
    require(
        data.name != "drawn_faces" or data.train_list is None,
        "data.train_list",
        data.train_list,
        "must be none for drawn_faces, which has no files",
    )
