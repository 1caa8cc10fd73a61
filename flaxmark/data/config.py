"""Settings of the data: which faces, and how they become the network's input. Loads neither TensorFlow nor JAX."""

import dataclasses
from typing import Any, Literal

import numpy as np

from flaxmark.data.data_sets import DATA_SETS, find_data_set
from flaxmark.faces.crop import CropDefinition
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.faces.markup_files import markup_from_json, markup_to_json
from flaxmark.schema import JSON_FORMS, Choice, bounded, check_bounds, require

MOST_SAMPLES = 16
"""Maximum number of samples along each axis that one pixel of the network's input is the mean of."""

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
    motion: float = bounded(0.0, "[0, 20]")
    """Largest length of a motion blur of half of the faces, in 1/100 of the crop's side."""
    temperature: float = bounded(0.0, "[0, 1)")
    """Largest relative change of red against blue: 0.2 is 0.8 to 1.2 times as much red, and 1.2 to 0.8 times as much
    blue."""
    grey: float = bounded(0.0, "[0, 1]")
    """Share of the faces that lose their colour."""
    noise: float = bounded(0.0, "[0, 1]")
    """Largest standard deviation of a noise added to half of the faces, where 1 is white minus black."""
    jpeg: float = bounded(0.0, "[0, 0.99]")
    """Largest loss of a JPEG compression of half of the faces: 0.5 is a quality of 50 to 100."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which faces, and how they become the network's input."""

    name: str = dataclasses.field(default="ibug_300w", metadata={"choices": DATA_SETS})
    """Data set."""
    markup: Markup = IBUG_68
    """Landmark scheme, the number and meaning of the points: ibug_68, five_points, wflw_98, or a JSON file."""
    dir: str | None = None
    """Folder of the data set; ibug_300w is also found through the environment variable FLAXMARK_DATA."""
    prepared_dir: str | None = None
    """Folder of prepared faces; the default is flaxmark/data in the user's cache folder."""
    train_list: str | None = None
    """File that names the training faces, one path relative to data.dir a line; for csv and coco, a file of faces."""
    validation_list: str | None = None
    """File of the validation faces; goes with data.train-list."""
    test_list: str | None = None
    """For csv and coco: file of the test faces."""
    orientation: Literal["auto", "viewer", "stored"] = "auto"
    """Which pixels annotations mean in images with an EXIF orientation: viewer (the image as viewers show it), stored
    (the image as it is in the file), or auto (viewer for your own faces, stored for 300-W; the width and height in
    COCO files decide where they can)."""
    strict: bool = False
    """Stop at the first bad image or annotation instead of listing it in the report."""
    max_megapixels: float = bounded(64.0, "(0, 10000]")
    """Largest image that is decoded, megapixels; larger ones are left out."""
    drawn_train: int = bounded(4000, "[1, 10000000]")
    """For drawn_faces: number of training faces."""
    drawn_validation: int = bounded(200, "[1, 1000000]")
    """For drawn_faces: number of validation faces, and of test faces."""
    drawn_size: int = bounded(160, "[32, 2048] pixels")
    """For drawn_faces: side of the drawn image, pixels."""
    crop: CropDefinition = CropDefinition()
    """The square that is cut out around a face."""
    image_size: int = bounded(224, "[64, 2048] pixels")
    """Side of the network's input, pixels; at least 64."""
    pixel_mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from RGB in [0, 1]."""
    pixel_std: tuple[float, float, float] = bounded(IMAGENET_STD, "(0, inf)")
    """Divides RGB after the mean is subtracted."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training faces."""
    residency: Literal["auto", "device", "stream"] = "auto"
    """Where training faces are kept: device (decoded, in the device's memory, which is the host's on a CPU), stream
    (read and decoded for each batch), or auto (device if they take at most half of the free memory)."""

    def normalize(self, image: Any) -> Any:
        """Subtract the mean from RGB in [0, 1] and divide by the standard deviation: any array `[..., 3]` or tensor."""
        shape = (1,) * (len(image.shape) - 1) + (3,)
        mean, std = (np.array(value, np.float32).reshape(shape) for value in (self.pixel_mean, self.pixel_std))
        return (image - mean) / std


def check_data(data: DataConfig) -> None:
    """Refuse values that cannot work, before anything slow starts; ConfigError names the field and what it may be."""
    check_bounds(data, "data.")
    data_set, markup = find_data_set(data.name), data.markup
    smallest = data.crop.stored_size / MOST_SAMPLES / (1 - data.augment.scale)
    require(
        data_set.num_points in (None, markup.num_points),
        "data.markup",
        markup.name,
        f"must have {data_set.num_points} points, which is what {data_set.title} has",
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
        f"must be at least 1/{MOST_SAMPLES} of data.crop.stored-size / (1 - data.augment.scale), so that a pixel is "
        f"the mean of at most {MOST_SAMPLES} x {MOST_SAMPLES} samples",
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
        data_set.read is not None or data.train_list is None,
        "data.train_list",
        data.train_list,
        f"must not be given: {data.name} has no files",
    )
    if data_set.check is not None:
        data_set.check(data)
