"""Marks for points that are not there, as annotation files have them: words without a number, -1 -1, 0 0."""

import numpy as np
from jaxtyping import Bool, Float

NOTHING = frozenset({"", "nan", "na", "n/a", "none", "null", "-", "?"})


def number_or_missing(word: str) -> float:
    """The number that a word is, NaN for one of the words that stand for none; ValueError for others."""
    try:
        return float(word)
    except ValueError:
        if word.strip().lower() in NOTHING:
            return np.nan
        raise


def mark_missing(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Replace marks by NaN, NaN in points as the file has them, before any shift of their origin.

    - A point -1, -1 is always a mark.
    - A point 0, 0, or with the same negative whole number twice (-999, -999), is a mark if it lies apart from the other
      points, or if the face has it several times. Beside the others it may be a real point in the corner of the image.
    """
    x, y = points.T
    same = (x == y) & (x <= 0)
    if not same.any():
        return points
    same &= (x == np.floor(x)) & np.isfinite(x)
    certain = same & (x == -1)
    others = points[~same & np.isfinite(points).all(axis=1)]
    marks = certain | (same & (_repeated(x, same) | _apart(points, others)))
    return np.where(marks[:, None], np.nan, points)


def _repeated(values: Float[np.ndarray, " n"], among: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which of some values are there more than once."""
    kinds, counts = np.unique(values[among], return_counts=True)
    return np.isin(values, kinds[counts > 1])


def _apart(points: Float[np.ndarray, "n 2"], others: Float[np.ndarray, "m 2"]) -> Bool[np.ndarray, " n"]:
    """Which points lie outside the bounding box of others, enlarged by a quarter of its longer side each way."""
    if not len(others):
        return np.ones(len(points), bool)
    low, high = others.min(axis=0), others.max(axis=0)
    room = (high - low).max() / 4
    return np.asarray(((points < low - room) | (points > high + room)).any(axis=1))
