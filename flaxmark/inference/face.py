"""A face as predict returns it; each field says how the network's output becomes it and how files hold it."""

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from flaxmark.data.images import ImageSource, read_image
from flaxmark.errors import ConfigError
from flaxmark.faces.markup import Markup, flip_landmarks
from flaxmark.faces.markup_files import MARKUPS
from flaxmark.faces.missing import count_missing


@dataclasses.dataclass(frozen=True)
class Output:
    """Description of one field or property of `Face`.

    Attributes:
        per_point: The field has one row per landmark, else it is one value or row per face.
        unit: What the network's output of the same name is measured in: `position` (a point in crop units, which
            becomes pixels of the image), `length` (crop units, which becomes pixels), or None (kept as it is).
        digits: Decimal places in files.
        columns: Names of its CSV columns, with `{}` for the index of the point; empty: not written to CSV.
        in_coco: COCO annotations have it, too, as a key of their own.
    """

    per_point: bool
    unit: Literal["position", "length"] | None = None
    digits: int = 3
    columns: tuple[str, ...] = ()
    in_coco: bool = False


ALIGNED_SIZES = (16, 2048)
"""Smallest and largest side of an upright crop in pixels."""


def output(
    *,
    per_point: bool,
    unit: Literal["position", "length"] | None = None,
    digits: int = 3,
    columns: tuple[str, ...] = (),
    in_coco: bool = False,
    default: Any = dataclasses.MISSING,
) -> Any:
    """Create a field of `Face` with its `Output`."""
    described = Output(per_point, unit, digits, columns, in_coco)
    return dataclasses.field(default=default, metadata={"output": described})


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Face:
    """One face of an image.

    A further output of the network is one more field here, with the name that it has in `models.heads.Prediction`:
    predict fills it, and JSON lines, CSV and the demo page contain it. What follows from other fields, such as `pose`,
    is a property with an entry in `COMPUTED`, and is written in the same way.

    Attributes:
        landmarks: float64 `[num_points, 2]`, the x and y coordinates of the points in pixels of the image as it is
            displayed (after EXIF rotation). The centre of the top left pixel is (0, 0).
        box: float64 `[4]`, the bounding box from which the crop was made: left, top, right, bottom, in pixels. It is
            tight around the landmarks.
        score: Probability in [0, 1] that this is a face: the network's own if it predicts sigma, else the detector's;
            None if neither gives one.
        sigma: float64 `[num_points]`, the expected error (standard deviation) of each coordinate of a point in pixels,
            calibrated on the validation faces; None if the network does not predict it.
        visible: float64 `[num_points]`, the probability in [0, 1] that each point is seen, and not hidden by the head
            itself, hair, hands or things; None if the network does not predict it.
        markup: The landmark scheme: which points lie on which part of the face, and which of them lines join. None
            becomes the one of flaxmark's own that has so many points, if there is one.
        mean_face: float64 `[num_points, 2]`, the mean training face, upright, in any unit. None stands for a neutral
            drawn face in flaxmark's own schemes.

    Missing points are NaN. Printed, a face is one line without its arrays.
    """

    landmarks: np.ndarray = output(per_point=True, unit="position", columns=("x{}", "y{}"))
    box: np.ndarray = output(per_point=False, columns=("left", "top", "right", "bottom"))
    score: float | None = output(per_point=False, digits=4, columns=("score",), in_coco=True, default=None)
    sigma: np.ndarray | None = output(per_point=True, unit="length", default=None)
    visible: np.ndarray | None = output(per_point=True, columns=("visible{}",), default=None)
    markup: Markup | None = dataclasses.field(default=None, kw_only=True)
    mean_face: np.ndarray | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Find the scheme of the points."""
        if self.markup is None:
            known = (markup for markup in MARKUPS.values() if markup.num_points == len(self.landmarks))
            object.__setattr__(self, "markup", next(known, None))  # frozen

    def __repr__(self) -> str:
        """One line: the number of points, the box, and the score."""
        box = ", ".join(f"{edge:.0f}" for edge in np.asarray(self.box, np.float64))
        score = "" if self.score is None else f", score {self.score:.2f}"
        missing = count_missing(np.asarray(self.landmarks))
        without = f" ({missing} of them missing)" if missing else ""
        return f"{type(self).__name__}({len(self.landmarks)} points{without}, box {box}{score})"

    @property
    def pose(self) -> np.ndarray | None:
        """Head pose: yaw, pitch and roll in degrees, `[3]`, 0 for a face that looks into the camera, upright.

        Positive yaw turns the nose to the image's right, positive pitch turns it down, and positive roll turns the head
        clockwise in the image; `faces.head_pose.rotation` is their matrix. They are those of the affine camera that
        maps the mean drawn head onto the landmarks with the least squared error (Hartley and Zisserman, "Multiple View
        Geometry", 2nd edition, section 14.2), its rows made orthogonal and equally long. Points of the jaw count a
        tenth, because they lie where its outline is seen.

        Returns:
            float64 `[3]`: yaw in (-180, 180], pitch in [-90, 90], roll in (-180, 180]. None for a landmark scheme
            other than flaxmark's own, where too few points are known, and where they form no face.
        """
        from flaxmark.data.drawn.head.mean_head import poses_of

        if self.markup is None:
            return None
        pose = poses_of(self.landmarks, self.markup)
        return None if np.isnan(pose).any() else pose

    def to_dict(self) -> dict[str, Any]:
        """Convert the face to plain numbers and lists, as JSON lines have it.

        Example:
            json.dumps([face.to_dict() for face in flaxmark.predict("photo.jpg")])

        Returns:
            Field -> float or nested lists, in pixels, rounded: `box` `[4]`, `landmarks` `[num_points][2]`, and `score`,
            `sigma` `[num_points]`, `visible` `[num_points]` (probabilities) and `pose` `[3]` (degrees) where they are
            known.
        """
        values = {name: (getattr(self, name), output.digits) for name, output in outputs_of(type(self)).items()}
        return {name: rounded(value, digits) for name, (value, digits) in values.items() if value is not None}

    def alignment(self, size: int = 256) -> np.ndarray:
        """The similarity transform from pixels of the image to pixels of the upright crop of `aligned`.

        It levels the centres of the eyes, and scales and shifts all points to those of the mean face with the least
        squared error. The mean face has its eyes at 0.4 of the crop's height, 0.28 of its width apart, in the middle.
        In profiles, where the eyes nearly coincide, the rotation is that of all points.

        Example:
            matrix = face.alignment(256)
            points = face.landmarks @ matrix[:, :2].T + matrix[:, 2]  # the landmarks in the crop

        Args:
            size: Side of the crop in pixels, 16 to 2048.

        Returns:
            float64 `[2, 3]`: a point p of the image, (x, y), lies at `matrix[:, :2] @ p + matrix[:, 2]` of the crop.

        Raises:
            ConfigError: The size is not a whole number in that range (`field` is `size`), the mark-up or its mean face
                is not known (`field` names it), or fewer than two different points are (`field` is `landmarks`).
        """
        from flaxmark.data.readers.arrangement import reference_face
        from flaxmark.faces.alignment import fit_upright, upright_points  # JAX, which commands load late

        if not isinstance(size, numbers.Integral) or not ALIGNED_SIZES[0] <= size <= ALIGNED_SIZES[1]:
            raise ConfigError(f"must be a whole number in {list(ALIGNED_SIZES)}", field="size", value=size)
        markup, mean_face = self.markup, self.mean_face
        if markup is not None and mean_face is None:
            mean_face = reference_face(markup)
        if markup is None or mean_face is None:
            lacking = "markup" if markup is None else "mean_face"
            raise ConfigError("is not known: the face is not from predict, or its model has none", field=lacking)
        try:
            target = upright_points(mean_face, markup) * size - 0.5
            return fit_upright(self.landmarks, target, markup)
        except ValueError as error:
            raise ConfigError(str(error), field="landmarks") from error

    def aligned(self, image: ImageSource, size: int = 256) -> np.ndarray:
        """Cut the face out of its image, turned upright, at the place and in the size of `alignment`.

        Example:
            for number, face in enumerate(flaxmark.predict("photo.jpg")):
                PIL.Image.fromarray(face.aligned("photo.jpg")).save(f"face{number}.png")

        Args:
            image: The image in which the face was found, as for `predict`.
            size: Side of the crop in pixels, 16 to 2048.

        Returns:
            uint8 `[size, size, 3]`, RGB, antialiased; black outside the image.

        Raises:
            ConfigError: As `alignment`.
            ImageError: The image cannot be read.
            DeviceError: This process is a fork of one that has used JAX.
        """
        from flaxmark.faces.alignment import sample_similarity

        return sample_similarity(read_image(image, math.inf), self.alignment(size), size)


def hidden_points(face: Face) -> Bool[np.ndarray, " num_points"]:
    """Which points are more likely hidden than seen; none where the network does not predict it."""
    return np.zeros(len(face.landmarks), bool) if face.visible is None else np.asarray(face.visible) < 0.5


def rounded(value: Any, digits: int) -> Any:
    """A number, or an array as lists of numbers, rounded."""
    return round(float(value), digits) if np.ndim(value) == 0 else np.asarray(value, np.float64).round(digits).tolist()


COMPUTED = {"pose": Output(per_point=False, digits=1, columns=("yaw", "pitch", "roll"), in_coco=True)}
"""Properties of `Face` that files contain, too."""


def outputs_of(kind: type[Face]) -> dict[str, Output]:
    """Description of each output of `Face` or a subclass, in the order in which files have them: the box first."""
    described = {f.name: f.metadata["output"] for f in dataclasses.fields(kind) if "output" in f.metadata}
    return dict(sorted((described | COMPUTED).items(), key=lambda item: item[0] != "box"))


OUTPUTS = outputs_of(Face)


def in_pixels(name: str, values: Any, corner: Any, side: Any) -> Any:
    """Convert one of the network's outputs, `[n, ...]`, from crop units to pixels, in NumPy or JAX.

    `corner` `[n, 1, 2]` and `side` `[n, 1, 1]` are the left top corners and sides of the crops in pixels.
    """
    unit = OUTPUTS[name].unit
    if unit == "position":
        return values * side + corner - 0.5
    return values if unit is None else values * side.squeeze(axis=tuple(range(values.ndim, 3)))


def mean_with_mirrored(seen: Mapping[str, Any], mirrored: Mapping[str, Any], markup: Markup) -> dict[str, Any]:
    """Average the network's outputs `[n, ...]` for crops and for their mirror images."""
    order = np.array(markup.flip_order)
    means = {}
    for name, values in mirrored.items():
        if OUTPUTS[name].unit == "position":
            values = flip_landmarks(values, markup)
        elif OUTPUTS[name].per_point:
            values = values[:, order]
        means[name] = (seen[name] + values) / 2
    return means


def make_faces(
    outputs: Mapping[str, np.ndarray],
    crops: Float[np.ndarray, "n 3"],
    boxes: Float[np.ndarray, "n 4"],
    scores: Sequence[float | None],
    markup: Markup | None = None,
    mean_face: Float[np.ndarray, "points 2"] | None = None,
) -> list[Face]:
    """Turn the network's outputs `[n, ...]` into faces; the detector's scores hold where the network gives none."""
    crops = np.asarray(crops, np.float64)[:, None]
    fields: dict[str, Any] = {"box": boxes, "score": scores}
    for name, values in outputs.items():
        converted = in_pixels(name, values.astype(np.float64), crops[..., :2], crops[..., 2:])
        fields[name] = converted.tolist() if converted.ndim == 1 else converted  # one number per face: a float
    rows = zip(*fields.values(), strict=True)
    return [Face(**dict(zip(fields, row, strict=True)), markup=markup, mean_face=mean_face) for row in rows]
