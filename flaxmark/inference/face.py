"""A face as predict returns it; each field says how the network's output becomes it and how files hold it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from flaxmark.faces.markup import Markup, flip_landmarks


@dataclasses.dataclass(frozen=True)
class Output:
    """Description of one field of `Face`.

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


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One face of an image.

    A further output of the network is one more field here, with the name that it has in `models.heads.Prediction`:
    predict fills it, and JSON lines, CSV and the demo page contain it.

    Attributes:
        landmarks: float64 `[num_points, 2]`, the x and y coordinates of the points in pixels of the image as it is
            displayed (after EXIF rotation). The centre of the top left pixel is (0, 0).
        box: float64 `[4]`, the bounding box from which the crop was made: left, top, right, bottom, in pixels. It is
            tight around the landmarks.
        score: Probability in [0, 1] that this is a face: the network's own if it predicts sigma, else the detector's;
            None if neither gives one.
        sigma: float64 `[num_points]`, the expected error (standard deviation) of each coordinate of a point in pixels,
            calibrated on the validation faces; None if the network does not predict it.
    """

    landmarks: np.ndarray = output(per_point=True, unit="position", columns=("x{}", "y{}"))
    box: np.ndarray = output(per_point=False, columns=("left", "top", "right", "bottom"))
    score: float | None = output(per_point=False, digits=4, columns=("score",), in_coco=True, default=None)
    sigma: np.ndarray | None = output(per_point=True, unit="length", default=None)


def outputs_of(kind: type[Face]) -> dict[str, Output]:
    """Description of each field of `Face` or a subclass, in the order in which files have them: the box first."""
    described = {f.name: f.metadata["output"] for f in dataclasses.fields(kind) if "output" in f.metadata}
    return dict(sorted(described.items(), key=lambda item: item[0] != "box"))


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
) -> list[Face]:
    """Turn the network's outputs `[n, ...]` into faces; the detector's scores hold where the network gives none."""
    crops = np.asarray(crops, np.float64)[:, None]
    fields: dict[str, Any] = {"box": boxes, "score": scores}
    for name, values in outputs.items():
        converted = in_pixels(name, values.astype(np.float64), crops[..., :2], crops[..., 2:])
        fields[name] = converted.tolist() if converted.ndim == 1 else converted  # one number per face: a float
    return [Face(**dict(zip(fields, row, strict=True))) for row in zip(*fields.values(), strict=True)]
