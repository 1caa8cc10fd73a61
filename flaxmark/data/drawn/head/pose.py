"""Perspective, and the landmarks as the camera sees them."""

from __future__ import annotations

from copy import copy

import numpy as np

from flaxmark.data.drawn.arrays import Floats, Points
from flaxmark.data.drawn.head.annotation import CHIN, EARS, annotated
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.paint.curves import spline
from flaxmark.faces.head_pose import rotation

PIVOT = np.array([0.0, 0.25, 0.0])
"""The head's centre, about which it turns, face units."""


GRAZING = 0.12
"""Cosine of the angle to the surface's normal at which a brow can hardly be seen any more."""


class View:
    """A pinhole camera in front of a head.

    Attributes:
        landmarks: As the camera sees them, pixels.
        places: `[68, 3]`, where the landmarks are on the surface, before annotators' habits: x, y in pixels, and depth
            in face units, greater towards the camera.
        scale: Pixels per face unit at the head's centre.
    """

    def __init__(self, head: Head, size: int) -> None:
        """Place the camera so that the landmarks fill their share of an image of `size` pixels."""
        p = head.p
        self.matrix = rotation(p.yaw, p.pitch, p.roll)
        self.distance = p.distance
        self.scale, self.offset = 1.0, np.zeros(2)
        positions, meant = landmark_positions(head, self)
        points = self.project(self.turn(annotated(meant, head)))[:, :2]
        low, high = points.min(0), points.max(0)
        self.scale = size / 2.2 * p.zoom / float((high - low).max())
        self.offset = (size - 1) / 2 + size * np.array(p.centre) - self.scale * (low + high) / 2
        self.landmarks = self.scale * points + self.offset
        self.places = np.asarray(self.project(self.turn(positions)), np.float64)

    def magnified(self, factor: int) -> View:
        """The same view of an image with `factor` times as many pixels along each side."""
        view = copy(self)
        view.scale = factor * self.scale
        view.offset = factor * (self.offset + 0.5) - 0.5
        view.landmarks = factor * (self.landmarks + 0.5) - 0.5
        view.places = np.concatenate([factor * (self.places[:, :2] + 0.5) - 0.5, self.places[:, 2:]], -1)
        return view

    def turn(self, positions: Floats) -> Floats:
        """Camera coordinates of positions `[..., 3]`, face units: origin at the head's centre, z towards the camera."""
        return np.asarray((positions - PIVOT) @ self.matrix.T)

    def project(self, turned: Floats) -> Floats:
        """Pixels (x, y, unchanged z) of camera coordinates `[..., 3]`."""
        shrink = self.scale * self.distance / (self.distance - turned[..., 2:])
        return np.concatenate([turned[..., :2] * shrink + self.offset, turned[..., 2:]], -1)


def landmark_positions(head: Head, view: View) -> tuple[Points, Points]:
    """Positions `[68, 3]` on the surface of what looks like landmarks, and of those that annotators mean.

    They differ in the jaw: annotators begin it elsewhere where the head is bowed, and put its middle beside the chin
    where the head is turned.
    """
    positions = head.lift(head.points)
    keep_brows_in_view(positions, head, view)
    contour = visible_contour(head, view)
    yaw, pitch = np.sin(np.radians([head.p.yaw, head.p.pitch]))
    # The outermost points lie a little below the ends of the contour, and lower where the ear is hidden.
    ears = 0.02 + 0.06 * np.maximum([-yaw, yaw], 0)
    meant = positions.copy()
    positions[:17] = evenly_spaced(contour, view, ears)
    meant[:17] = evenly_spaced(contour, view, ears + EARS * pitch, CHIN * yaw)
    return positions, meant


def evenly_spaced(outline: Points, view: View, starts: Floats, middle: float = 0.0) -> Points:
    """Positions `[17, 3]` along an outline `[n, 3]` from ear to ear, at even distances in the image on either side.

    300-W is annotated so: in 1,836 of its training faces the steps from either ear to the chin are 1/8 of their path in
    the image to about a hundredth, from the front as well as at 30 to 45 degrees. `starts [2]` are the distances of the
    outermost positions from the outline's ends, negative beyond them, and `middle` is that of the one in the middle
    from the chin, to the right; face units in the image.
    """
    # Beyond its ends the outline goes on straight by two of its steps.
    line = np.concatenate([[3 * outline[0] - 2 * outline[1]], outline, [3 * outline[-1] - 2 * outline[-2]]])
    image = view.project(view.turn(line))[:, :2] / view.scale
    path = np.concatenate([[0], np.linalg.norm(np.diff(image, axis=0), axis=1).cumsum()])
    chin = path[len(path) // 2] + middle
    left, right = path[1] + starts[0], path[-2] - starts[1]
    steps = np.concatenate([np.linspace(left, chin, 9), np.linspace(chin, right, 9)[1:]])
    return np.stack([np.interp(steps, path, values) for values in line.T], -1)


def keep_brows_in_view(positions: Points, head: Head, view: View) -> None:
    """Move the points of a brow whose tail turns away, in place: they divide the part before that.

    Annotators place them so: where faces of 300-W are turned by more than 20 degrees, the outer end of the far brow is
    higher than its tail, at the outline.
    """
    for part in (slice(17, 22), slice(26, 21, -1)):
        line = spline(head.points[part][::-1], 8)  # from the nose outwards
        spots, facing = facing_camera(head, view, line)
        seen = np.flatnonzero(facing >= GRAZING)
        last = max(int(seen[-1]), 8) if len(seen) else 8
        if last < len(line) - 1:
            steps = np.linspace(last, 0, 5)
            positions[part] = np.stack([np.interp(steps, np.arange(len(line)), values) for values in spots.T], -1)


def facing_camera(head: Head, view: View, frontal: Points) -> tuple[Points, Floats]:
    """Positions `[..., 3]` on the surface, and the cosine of the angle between its normal and the camera's direction.

    `frontal` are frontal coordinates `[..., 2]`.
    """
    u, row = head.angles(frontal)
    row = np.minimum(row, 0.997)
    spots = np.asarray(head.surface(u, row)[1], np.float64)
    du = head.surface(u + 0.005, row)[1] - head.surface(u - 0.005, row)[1]
    dv = spots - head.surface(u, row - 0.004)[1]
    normal = np.cross(du, dv) @ view.matrix.T
    ray = np.array([0, 0, view.distance]) - view.turn(spots)
    lengths = np.linalg.norm(normal, axis=-1) * np.linalg.norm(ray, axis=-1)
    return spots, np.sum(normal * ray, -1) / np.maximum(lengths, 1e-12)


def visible_contour(head: Head, view: View) -> Points:
    """Positions `[65, 3]` along the lower outline of the face from ear to ear, the chin in the middle.

    The outline is the line from ear to chin where that line is visible. Elsewhere it is where the surface turns away
    from the camera, on a path from the middle of the face to the jaw line.
    """
    jaw, centre = spline(head.points[:17], 4), head.points[[51, 57], 1].mean()
    # Paths run across at the ears and down at the chin, denser towards the jaw, where the surface turns.
    upright = np.interp(np.abs(np.arange(len(jaw)) / 4 - 8), [0, 1, 2, 3, 4], [1, 0.9, 0.65, 0.3, 0])
    start = np.stack([jaw[:, 0] * upright, np.minimum(jaw[:, 1], centre)], 1)
    along = np.sin(np.linspace(0.3, np.pi / 2, 36))
    frontal = start[:, None] + (jaw - start)[:, None] * along[:, None]
    spots, facing = facing_camera(head, view, frontal)
    contour = np.empty((len(jaw), 3))
    for i in range(len(jaw)):
        inside = np.flatnonzero(facing[i] > 0)
        last = inside[-1] if len(inside) else 0
        if last == len(along) - 1:
            contour[i] = spots[i, -1]
            continue
        t = facing[i, last] / (facing[i, last] - facing[i, last + 1])
        contour[i] = spots[i, last] + np.clip(t, 0, 1) * (spots[i, last + 1] - spots[i, last])
    return contour
