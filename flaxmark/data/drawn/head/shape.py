"""The head as a surface: frontal landmarks and a depth over them.

In face units the ears are at x = -0.5 and 0.5, the eyes at y = 0 (y points down); z points out of the face and is 0
at the ears. A horizontal cut of the head is an ellipse (angle u, 0 at the front). Features raise its front along z
only, so that their x and y stay those of the frontal landmarks.
"""

from __future__ import annotations

import numpy as np

from flaxmark.data.drawn.arrays import Floats, Points
from flaxmark.data.drawn.head.frontal import frontal_points
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.paint.curves import smoothstep, spline

CROWN = (
    (0.0, -0.80),
    (-0.17, -0.775),
    (-0.33, -0.69),
    (-0.45, -0.53),
    (-0.503, -0.36),
    (-0.506, -0.2),
    (-0.51, -0.09),
)

# Depth of the middle line and of the jaw line over the height of a neutral face.
HEIGHTS = (-0.8, -0.72, -0.6, -0.45, -0.3, -0.12, 0.0, 0.2, 0.35, 0.47, 0.6, 0.7, 0.76, 0.79)
FRONT = (-0.15, 0.1, 0.25, 0.36, 0.418, 0.442, 0.415, 0.41, 0.415, 0.42, 0.412, 0.42, 0.4, 0.343)
SIDE = (-0.2, -0.18, -0.15, -0.12, -0.075, -0.02, 0.005, 0.0, 0.01, 0.03, 0.09, 0.182, 0.262, 0.332)
BACK = (0.0, 0.4, 0.6, 0.72, 0.78, 0.8, 0.78, 0.68, 0.6, 0.5, 0.4, 0.3, 0.15, 0.0)
LEVELS = np.array([-0.8, -0.15, 0.0, 0.338, 0.469, 0.79])


class Head:
    """The surface of one head.

    Attributes:
        points: Frontal landmarks, face units.
        rows: `[n, 2]`, the left outline from crown to chin as (half width, y), face units.
    """

    def __init__(self, p: FaceParameters) -> None:
        """Build the outline and the depth profiles of a face."""
        self.p = p
        self.points = q = frontal_points(p)
        jaw = np.stack([(q[16:7:-1, 0] - q[:9, 0]) / 2, (q[16:7:-1, 1] + q[:9, 1]) / 2], 1)
        crown = np.abs(np.array(CROWN)) * (1, -1)
        self.rows = spline(np.concatenate([crown, jaw]), 8)
        self.rows[:, 0] = np.maximum(self.rows[:, 0], 1e-3)
        self.rows[:, 1] = np.maximum.accumulate(self.rows[:, 1])
        levels = [LEVELS[0], LEVELS[1], 0.0, q[33, 1], q[[62, 66], 1].mean(), q[8, 1]]
        neutral = np.linspace(-0.82, 0.82, 165)
        self.heights = np.interp(neutral, LEVELS, levels, left=-0.82, right=levels[-1] + 0.02)
        kernel = np.hanning(9)
        kernel /= kernel.sum()
        tables = (np.pad(np.interp(neutral, HEIGHTS, table), 4, "edge") for table in (FRONT, SIDE, BACK))
        front, side, self.back = (p.depth * np.convolve(table, kernel, "valid") for table in tables)
        # Both meet at the chin, where all rows of the surface end in one point. The tables hold down to 0.7.
        apart, middle = (front - side) / 2 * (1 - smoothstep(0.75, 0.045, neutral)), (front + side) / 2
        self.front, self.side = middle + apart, middle - apart
        nose = q[[27, 30, 33], 1]
        at = [
            nose[0] - 0.15,
            nose[0],
            (nose[0] + nose[1]) / 2,
            nose[1] - 0.015,
            nose[1] + 0.025,
            (nose[1] + 0.025 + nose[2]) / 2,
            nose[2] - 0.005,
            nose[2] + 0.03,
        ]
        y = np.linspace(-0.3, 0.6, 181)
        ridge = np.interp(y, at, np.array([0, 0.055, 0.122, 0.208, 0.2, 0.13, 0.05, 0.0]) * p.nose_height)
        self.ridge = y, np.convolve(np.pad(ridge, 4, "edge"), kernel, "valid")

    def relief(self, x: Floats, y: Floats) -> Floats:
        """Depth in face units that the features add to the ellipse at the frontal coordinates x and y."""
        q, p = self.points, self.p
        near = np.abs(x)

        def bump(cx: float, cy: float, sx: float, sy: float) -> Floats:
            return np.asarray(np.exp(-(((near - cx) / sx) ** 2) - ((y - cy) / sy) ** 2))

        wing, tip, base = q[35, 0], q[30, 1], q[33, 1]
        # The bridge is narrow and the tip is round, with a wing on either side.
        width = 0.06 + (0.62 * wing - 0.06 + 0.012 * (p.nose_tip - 0.5)) * smoothstep((tip + 0.05) / 2, 0.12, y)
        flank = 0.6 * np.exp(-((near / width) ** 2)) + 0.4 * np.exp(-((near / (1.15 * wing)) ** 2))
        total = np.interp(y, *self.ridge) * flank
        total = total + 0.02 * p.nose_tip * bump(0, tip + 0.01, 0.04 + 0.02 * p.nose_tip, 0.04)
        total = total + 0.075 * p.nose_height * bump(0.74 * wing, (tip + 2 * base) / 3 - 0.012, 0.32 * wing, 0.036)
        eye = (q[42:48].mean(0) - q[36:42].mean(0))[0] / 2
        level = q[36:48, 1].mean()
        total = total - 0.055 * bump(eye - 0.02, level - 0.01, 0.1, 0.06) + 0.035 * bump(eye, level, 0.075, 0.05)
        total = total - 0.015 * bump(0.62 * eye, level, 0.05, 0.04)
        brow = q[17:27, 1].mean() + 0.02
        # The rim of the eye socket stands out where the ellipse already turns back.
        total = total + 0.037 * bump(eye, brow, 0.16, 0.05) + 0.085 * bump(0.41, brow + 0.025, 0.13, 0.095)
        total = total + 0.085 * p.cheek * bump(0.41, 0.2, 0.12, 0.17)
        upper, lower, chin = q[51, 1], q[57, 1], q[8, 1]
        middle_top, middle_bottom = (upper + q[62, 1]) / 2, (q[66, 1] + lower) / 2
        mouth = np.abs(q[54, 0] - q[48, 0]) / 2
        total = total + 0.054 * bump(0, middle_top, 0.75 * mouth, 0.045)
        total = total + 0.058 * bump(0, middle_bottom, 0.65 * mouth, 0.04)
        total = total - 0.02 * bump(0, lower + 0.03, 0.1, 0.025) + 0.03 * bump(0, chin - 0.09, 0.11, 0.06)
        return np.asarray(
            total
            - 0.03 * bump(mouth + 0.02, q[48, 1], 0.04, 0.05)
            + 0.012 * bump(0, (base + upper) / 2, 0.1, 0.04)
            + 0.042 * bump(0, base - 0.015, 0.16, 0.05)
        )

    def bend(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Positions `[..., 3]` of points in a slightly asymmetric head, from frontal coordinates x, y and depth z."""
        lean = self.p.asymmetry
        return np.stack([x + lean * (y - 0.2) ** 2, y + 0.6 * lean * x, z], -1)

    def surface(self, u: Floats, row: Floats) -> tuple[Floats, Floats]:
        """Frontal coordinates `[..., 2]` and positions `[..., 3]` of points of the surface, face units.

        `u` is the angle around the head in radians, 0 at the front and positive to the image's right; `row` is 0 at the
        crown and 1 at the chin. They are broadcast.
        """
        u, row = np.broadcast_arrays(u, row)
        place = np.linspace(0, 1, len(self.rows))
        w, y = np.interp(row, place, self.rows[:, 0]), np.interp(row, place, self.rows[:, 1])
        front, side, back = (np.interp(y, self.heights, table) for table in (self.front, self.side, self.back))
        x = w * np.sin(u)
        cosine = np.cos(u)
        z = side + np.where(cosine > 0, front - side, back) * cosine
        z = z + 0.87 * self.p.depth * self.relief(x, y) * smoothstep(0.25, 0.25, cosine)
        return np.stack([x, y], -1), self.bend(x, y, z)

    def angles(self, points: Points) -> tuple[Floats, Floats]:
        """Angle around the head and row, as `surface` takes them, of points with the frontal coordinates `[..., 2]`."""
        y = np.clip(points[..., 1], self.rows[0, 1], self.rows[-1, 1])
        # Beside the chin the last rows are level; the first of them is the widest.
        levels, first = np.unique(self.rows[:, 1], return_index=True)
        row = np.interp(y, levels, first / (len(self.rows) - 1))
        w = np.interp(y, levels, self.rows[first, 0])
        return np.arcsin(np.clip(points[..., 0] / w, -1, 1)), row

    def lift(self, points: Points) -> Points:
        """Positions `[..., 3]` on the surface of points with the frontal coordinates `[..., 2]`."""
        return np.asarray(self.surface(*self.angles(points))[1], np.float64)
