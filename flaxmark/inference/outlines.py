"""Smooth lines through the points of a face, as drawings show them."""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from flaxmark.faces.markup import Markup
from flaxmark.faces.missing import present

Line = Float[np.ndarray, "n 2"]


def smooth_line(points: Line, closed: bool, samples: int = 8) -> Line:
    """Centripetal Catmull-Rom curve through points, `samples` pieces from each to the next.

    Centripetal ones (Yuksel, Schaefer, Keyser, "On the parameterization of Catmull-Rom curves", 2009) have no loops
    where points lie close together. Fewer than four points are joined by straight lines.
    """
    points = np.asarray(points, np.float64)
    if len(points) < 4:
        return np.concatenate([points, points[:1]]) if closed else points
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    # Square roots of the distances; a point that is there twice must not divide by 0.
    steps = np.sqrt(np.linalg.norm(np.diff(padded, axis=0), axis=1))[:, None] + 1e-6
    slopes = np.diff(padded, axis=0) / steps
    wide = (padded[2:] - padded[:-2]) / (steps[1:] + steps[:-1])
    tangents = slopes[:-1] - wide + slopes[1:]
    start, end, step = padded[1:-2, None], padded[2:-1, None], steps[1:-1, None]
    leave, arrive = tangents[:-1, None] * step, tangents[1:, None] * step
    t = (np.arange(samples) / samples)[None, :, None]
    curve = start + t * (
        leave + t * (3 * (end - start) - 2 * leave - arrive + t * (2 * (start - end) + leave + arrive))
    )
    return np.concatenate([curve.reshape(-1, 2), padded[-2:-1]])


def part_lines(landmarks: Float[np.ndarray, "points 2"], markup: Markup) -> dict[str, list[Line]]:
    """Smooth lines of each part of a mark-up, interrupted at missing points; "" is the part of other lines."""
    there = present(landmarks)
    lines: dict[str, list[Line]] = {}
    for outline in markup.outlines:
        part = next((name for name, points in markup.parts.items() if outline[0] in points), "")
        lines.setdefault(part, []).extend(_unbroken(landmarks, there, outline))
    return lines


def _unbroken(landmarks: np.ndarray, there: np.ndarray, outline: tuple[int, ...]) -> Iterator[Line]:
    """Smooth lines through the points of an outline that follow each other without a missing one between."""
    closed = len(outline) > 2 and outline[0] == outline[-1]
    points = list(outline[:-1] if closed else outline)
    gaps = [place for place, point in enumerate(points) if not there[point]]
    if closed and not gaps:
        yield smooth_line(landmarks[points], closed=True)
        return
    if closed:  # begins behind a gap
        points = points[gaps[0] :] + points[: gaps[0]]
        gaps = [place for place, point in enumerate(points) if not there[point]]
    for first, last in itertools.pairwise([-1, *gaps, len(points)]):
        if last - first > 2:
            yield smooth_line(landmarks[points[first + 1 : last]], closed=False)
