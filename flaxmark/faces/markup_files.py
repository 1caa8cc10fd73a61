"""Landmark schemes other than iBUG's 68 points: two built-in ones, and those of the user's files."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from flaxmark.errors import DataError
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.system.reading import reason_for_text

MAX_BYTES, MAX_POINTS = 1_000_000, 10_000
# They tell a wrong flip order from faces that look to one side. In 300-W, with one face or with the 2 % most turned to
# a side, the right order fits the mirrored face by at least 0.81, and its points are off by at most 5.9 times the
# median. The identity fits by 0.14. In the mean of all faces, two pairs that are mixed up are off by 20 times the
# median.
LEAST_FIT, FLIP_TOLERANCE, TIMES_MEDIAN = 0.7, 0.08, 6

# The points of detectors such as MTCNN and RetinaFace: centres of the eyes, tip of the nose, corners of the mouth.
FIVE_POINTS = Markup(
    name="five_points",
    num_points=5,
    flip_order=(1, 0, 2, 4, 3),
    parts={"eyes": (0, 1), "nose": (2,), "mouth": (3, 4)},
    outlines=((0, 2, 1), (3, 4)),
    interocular=(0, 1),
    eyes=((0,), (1,)),
)


def _chain(*ranges: Iterable[int]) -> tuple[int, ...]:
    return tuple(index for indices in ranges for index in indices)


# Wu et al., "Look at boundary: a boundary-aware face alignment algorithm", CVPR 2018 (WFLW).
WFLW_98 = Markup(
    name="wflw_98",
    num_points=98,
    flip_order=_chain(
        range(32, -1, -1),  # jaw
        range(46, 41, -1),  # left brow: upper edge, outer to inner end
        range(50, 46, -1),  # left brow: lower edge, back
        range(37, 32, -1),
        range(41, 37, -1),
        range(51, 55),  # nose bridge
        range(59, 54, -1),  # nostrils
        range(72, 67, -1),  # left eye: outer corner, over the top to the inner corner
        range(75, 72, -1),  # left eye: lower lid
        range(64, 59, -1),
        range(67, 64, -1),
        range(82, 75, -1),  # outer lip, upper
        range(87, 82, -1),  # outer lip, lower
        range(92, 87, -1),  # inner lip, upper
        range(95, 92, -1),  # inner lip, lower
        (97, 96),  # pupils
    ),
    parts={
        "jaw": tuple(range(33)),
        "brows": tuple(range(33, 51)),
        "nose": tuple(range(51, 60)),
        "eyes": (*range(60, 76), 96, 97),
        "mouth": tuple(range(76, 96)),
    },
    outlines=(
        tuple(range(33)),
        (*range(33, 42), 33),
        (*range(42, 51), 42),
        tuple(range(51, 55)),
        tuple(range(55, 60)),
        (*range(60, 68), 60),
        (*range(68, 76), 68),
        (*range(76, 88), 76),
        (*range(88, 96), 88),
        (96,),
        (97,),
    ),
    interocular=(60, 72),
    eyes=(tuple(range(60, 68)), tuple(range(68, 76))),
)

MARKUPS = {markup.name: markup for markup in (IBUG_68, FIVE_POINTS, WFLW_98)}


def load_markup(name: str | Path) -> Markup:
    """The landmark scheme of `MARKUPS` with a name, or that of a JSON file with the fields of `Markup`.

    A file may leave out `parts`, `outlines` and `eyes`; the eyes are then the two points of `interocular`. Raises
    DataError with the file: there is none, or a field is invalid, which the reason names.
    """
    if str(name) in MARKUPS:
        return MARKUPS[str(name)]
    path = Path(name)
    if not path.is_file():
        raise DataError(f"no such file, and no landmark scheme of flaxmark: {', '.join(MARKUPS)}", file=name)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"larger than {MAX_BYTES} bytes")
        return markup_from_json(json.loads(path.read_text(encoding="utf-8-sig")))
    except json.JSONDecodeError as error:
        raise DataError(reason_for_text(path, f"is not a JSON file: {error}"), file=path) from error
    except UnicodeDecodeError as error:
        raise DataError(reason_for_text(path, "is not a JSON file"), file=path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(str(error), file=path) from error


def is_built_in(markup: Markup) -> bool:
    """Whether a scheme is one of flaxmark's own, and not another one of the same name."""
    return MARKUPS.get(markup.name) == markup


def markup_to_json(markup: Markup) -> str | dict[str, Any]:
    """The form in configs: the name of a built-in scheme, all fields of another."""
    return markup.name if is_built_in(markup) else dataclasses.asdict(markup)


def markup_from_json(value: Any) -> Markup:
    """The inverse of `markup_to_json`; DataError names the field that is invalid."""
    if isinstance(value, str):
        return load_markup(value) if value in MARKUPS else _refuse(f"no landmark scheme is called {value!r}")
    if not isinstance(value, dict):
        return _refuse("not an object with the fields of a landmark scheme")
    known = [field.name for field in dataclasses.fields(Markup)]
    if unknown := sorted(set(value) - set(known)):
        return _refuse(f"field {unknown[0]!r} is none of {', '.join(known)}")
    if missing := [name for name in ("name", "num_points", "interocular") if name not in value]:
        return _refuse(f"field {missing[0]!r} is missing")
    count, parts, lines = value["num_points"], value.get("parts", {}), value.get("outlines", [])
    if type(count) is not int or not 2 <= count <= MAX_POINTS:
        return _refuse(f"num_points {count}: must be an integer from 2 to {MAX_POINTS}")
    if not isinstance(parts, dict) or not isinstance(lines, list):
        return _refuse("parts must be an object, outlines a list")
    pair = _indices(value["interocular"], "interocular")
    eyes = [_indices(eye, "eyes") for eye in value.get("eyes", [[i] for i in pair])]
    if len(pair) != 2 or len(eyes) != 2:
        return _refuse("interocular must be two points, eyes two lists of points")
    order = value.get("flip_order")
    return Markup(
        name=str(value["name"]),
        num_points=count,
        flip_order=None if order is None else _indices(order, "flip_order"),
        parts={str(name): _indices(points, f"parts.{name}") for name, points in parts.items()},
        outlines=tuple(_indices(line, f"outlines[{i}]") for i, line in enumerate(lines)),
        interocular=(pair[0], pair[1]),
        eyes=(eyes[0], eyes[1]),
    )


def _indices(values: Any, field: str) -> tuple[int, ...]:
    if not isinstance(values, list | tuple) or not all(type(value) is int for value in values):
        raise DataError(f"{field} must be a list of integers")
    return tuple(values)


def _refuse(reason: str) -> Markup:
    raise DataError(reason)


def check_flip_order(markup: Markup, mean_face: Float[np.ndarray, "points 2"]) -> None:
    """Raise DataError for a flip order that does not map the mirrored mean face (in any unit) onto itself.

    The reason names a point, and the point that its mirror image falls on.
    """
    if markup.flip_order is None:
        return
    order = list(markup.flip_order)
    face = np.asarray(mean_face, np.float64) @ [1, 1j]
    face -= face.mean()
    mirrored = -face.conj()
    # Rotated and scaled onto the face: heads of a data set may lean to one side.
    fit = np.vdot(mirrored, face[order]) / np.vdot(mirrored, mirrored)
    mirrored *= fit
    distances = np.abs(mirrored[:, None] - face[None, :])
    own, nearest = distances[np.arange(len(face)), order], distances.argmin(axis=1)
    # Faces that mostly look to one side shift all points; a wrong index moves one to another's place.
    tolerance = max(FLIP_TOLERANCE * np.abs(face).max(), TIMES_MEDIAN * np.median(own)) if abs(fit) > LEAST_FIT else 0
    wrong = np.flatnonzero((nearest != order) & (own > tolerance) & (own > 3 * distances.min(axis=1)))
    if wrong.size:
        point = int(wrong[np.argmax(own[wrong])])
        raise DataError(
            f"landmark scheme {markup.name}: flip_order[{point}] is {order[point]}, but point {point} of the mean "
            f"face, mirrored, falls on point {nearest[point]}; correct flip_order, or leave it out to mirror no faces"
        )
