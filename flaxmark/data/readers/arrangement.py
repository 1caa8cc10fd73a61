"""A first look at a data set: whether its points are arranged as those of a face, in the order of the scheme."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Complex128, Float, Float64

from flaxmark.data.drawn.head.frontal import neutral_points
from flaxmark.data.drawn.other_markups import convert_landmarks
from flaxmark.errors import DataError
from flaxmark.faces.markup import Markup
from flaxmark.faces.markup_files import is_built_in

MOST_FACES = 1000
# Misfit is 0 for the shape of the reference face and 1 for points without any likeness to it. It is 0.15 in the median
# of 300-W's training faces, of YouTube Faces and of drawn ones, and at most 0.44 for one of them; 0.62 for a drawn
# profile. With five points it is at most 0.65, and 0.76. Mirrored faces have 0.93, and 0.86.
GOOD, BAD, CLEARLY_LESS = 0.4, 0.85, 0.5

Points = Float[np.ndarray, "faces points 2"]


def reference_face(markup: Markup) -> Float64[np.ndarray, "points 2"] | None:
    """The points of a neutral frontal face in any unit, y downwards; None for a scheme that is not flaxmark's own."""
    return convert_landmarks(neutral_points(), markup.name) if is_built_in(markup) else None


def misfits(
    points: Points, reference: Float[np.ndarray, "points 2"]
) -> tuple[Float64[np.ndarray, " faces"], Complex128[np.ndarray, " faces"]]:
    """Residual of each face after the best shift, rotation and scale from the reference, and that similarity.

    The residual is relative to the face's size, in [0, 1]; the similarity's angle is the face's rotation. Only points
    that are not missing (NaN) count.
    """
    z = points @ np.array([1, 1j])
    there = np.isfinite(z)
    faces, other = (
        np.where(there, values, 0) for values in (z, np.broadcast_to(reference @ np.array([1, 1j]), z.shape))
    )
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    faces, other = (np.where(there, values - values.sum(axis=1, keepdims=True) / count, 0) for values in (faces, other))
    norms = (np.sqrt(np.square(np.abs(values)).sum(axis=1)) for values in (faces, other))
    alike = (faces * other.conj()).sum(axis=1) / np.maximum(np.prod(list(norms), axis=0), 1e-12)
    return np.sqrt(np.maximum(0, 1 - np.abs(alike) ** 2)), alike


def check_arrangement(faces: Sequence[Float[np.ndarray, "points 2"]], markup: Markup, root: Path) -> None:
    """Raise DataError where the faces of a data set are certainly not as the landmark scheme has them.

    The reason names the likely cause: coordinates in another order, swapped or mirrored axes, another order of points.
    The median over the faces counts, so that single odd faces, turned heads and profiles do not. Schemes of the user's
    own are not checked: there is no reference face.
    """
    reference = reference_face(markup)
    if reference is None or not faces:
        return
    chosen = np.unique(np.linspace(0, len(faces) - 1, min(len(faces), MOST_FACES)).astype(int))
    points = np.stack([faces[i] for i in chosen])
    misfit = float(np.median(misfits(points, reference)[0]))
    if misfit <= GOOD:
        return
    for undo, cause in _CAUSES:
        undone, alike = misfits(undo(points), reference)
        if np.median(undone) < CLEARLY_LESS * misfit:
            cause = cause or _reflection(alike)
            raise DataError(f"its points are not in order: {cause}", field="data.dir", value=root)
    if misfit > BAD:
        reason = (
            f"its points do not look like faces in the order of {markup.name}; give them in that order, or describe "
            "yours in a file for --data.markup"
        )
        raise DataError(reason, field="data.dir", value=root)


def _reflection(alike: Complex128[np.ndarray, " faces"]) -> str:
    """Which reflection makes faces whose y has been negated look as they should, from their rotation then."""
    angle = abs(float(np.degrees(np.angle((alike / np.maximum(np.abs(alike), 1e-12)).sum()))))
    if angle < 45:
        return "y points upwards; pixels count downwards from the top: write height - 1 - y"
    if angle > 135:
        return (
            "they are mirrored, or left and right are exchanged; the points on the left of the image come first, so "
            "that a mirrored face needs its points renamed"
        )
    return "x and y are swapped"


def _columns_to_pairs(points: Points) -> Points:
    """Coordinates x_0 .. x_n, y_0 .. y_n that were read as pairs."""
    return np.stack(np.split(points.reshape(len(points), -1), 2, axis=1), axis=-1)


_CAUSES: tuple[tuple[Callable[[Points], Points], str], ...] = (
    (lambda points: points * np.array([1, -1]), ""),
    (
        _columns_to_pairs,
        "they look like x_0 .. x_n, y_0 .. y_n read as pairs x, y; in CSV files name the columns in a header",
    ),
    (
        lambda points: _columns_to_pairs(points)[..., ::-1],
        "they look like y_0 .. y_n, x_0 .. x_n read as pairs x, y; in CSV files name the columns in a header",
    ),
    (lambda points: np.roll(points, -1, axis=1), "they are shifted by one: the last point comes first"),
    (lambda points: np.roll(points, 1, axis=1), "they are shifted by one: the first point comes last"),
    (lambda points: points[:, ::-1], "they are in reverse order"),
)
