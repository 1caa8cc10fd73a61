"""Glasses, and the shadow that they throw on the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flaxmark.data.drawn.arrays import Array, Colours, Floats, Values
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.paint.canvas import blend
from flaxmark.data.drawn.paint.curves import smoothstep


@dataclass(frozen=True)
class Glasses:
    """Shape of a pair of glasses, in the plane before the eyes; lengths in face units.

    Attributes:
        eye: Distance of the lenses' centres from the middle.
        level: Height of the centres.
        half_width: Of a lens.
        half_height: Of a lens.
        power: Roundness of the lenses: 2 is an ellipse, more is squarer.
        thick: Half of the frame's thickness.
    """

    eye: float
    level: float
    half_width: float
    half_height: float
    power: float
    thick: float

    @classmethod
    def of(cls, head: Head) -> Glasses:
        """The glasses of a face that wears some."""
        p, q = head.p, head.points
        rng = np.random.default_rng([p.detail_seed, 1])
        eye = (q[42:48].mean(0)[0] - q[36:42].mean(0)[0]) / 2 + 0.01
        return cls(
            eye=eye,
            level=q[36:48, 1].mean() + 0.02,
            half_width=min(rng.uniform(0.13, 0.19), eye - 0.03),
            half_height=rng.uniform(0.07, 0.14) + 0.03 * (p.glasses == "dark"),
            power=rng.uniform(2, 5),
            thick=float(rng.choice([0.006, 0.01, 0.02])),
        )

    def distance(self, x: Values, y: Values) -> Values:
        """Distance of places from the edge of the nearer lens, negative inside."""
        across = np.abs((np.abs(x) - self.eye) / self.half_width) ** self.power
        r = (across + np.abs((y - self.level) / self.half_height) ** self.power) ** (1 / self.power)
        return np.asarray((r - 1) * min(self.half_width, self.half_height), np.float32)

    def frame(self, x: Values, y: Values) -> Values:
        """Opacity of rims, bridge and arms."""
        near, thick = np.abs(x), self.thick
        rim = smoothstep(0, 0.008, thick - np.abs(self.distance(x, y)))
        bridge = smoothstep(0, 0.008, thick - np.abs(y - self.level + 0.02 + 0.5 * x**2))
        arms = smoothstep(0, 0.008, thick - np.abs(y - self.level + 0.03)) * (near < 0.5)
        bridge, arms = bridge * (near < self.eye - self.half_width), arms * (near > self.eye + self.half_width)
        return np.maximum(np.maximum(rim, bridge), arms)


def shadow_of_glasses(head: Head, light: Floats, x: Values, y: Values) -> Values:
    """Share of the direct light that glasses leave to the face at x and y; `light` is in the frame of the head."""
    worn = Glasses.of(head)
    gap = 0.06 / max(float(light[2]), 0.3)
    x, y = (x + np.float32(gap * light[0]), y + np.float32(gap * light[1]))
    shade = 0.7 * worn.frame(x, y)
    if head.p.glasses == "dark":
        shade = np.maximum(shade, 0.6 * smoothstep(0, 0.02, -worn.distance(x, y)))
    return np.asarray(1 - shade, np.float32)


def paint_glasses(head: Head, plane: Array, rng: np.random.Generator) -> tuple[Colours, Values]:
    """Colour and opacity of glasses where the pixels meet the plane before the eyes.

    `plane` holds the frontal coordinates of those places, `[n, 2]`, in face units.
    """
    worn, dark = Glasses.of(head), head.p.glasses == "dark"
    x, y = np.ascontiguousarray(plane.T)
    frame = worn.frame(x, y) * rng.uniform(0.6, 1.0)
    lens = smoothstep(0, 0.008, -worn.distance(x, y))
    glare = smoothstep(0, 0.06, np.sin(14 * (x + 0.6 * y) + rng.uniform(0, 6)) - 0.8) * rng.uniform(0, 0.7)
    tint = rng.uniform(0.75, 1.0) if dark else rng.uniform(0, 0.12)
    colour = np.empty((len(x), 3), np.float32)
    colour[:] = np.array([0.05, 0.05, 0.06]) + rng.uniform(0, 0.1, 3) * dark
    colour += np.float32(0.12 * dark) * np.clip((y - worn.level) / 0.2, -0.3, 1)[:, None]
    blend(colour, slice(None), (0.9, 0.93, 0.97), glare)
    share = np.maximum(tint * lens, glare * lens)
    metal = rng.choice([0.06, 0.08, 0.5]) * np.array([1.0, rng.uniform(0.7, 1), rng.uniform(0.6, 1)])
    blend(colour, slice(None), metal, frame)
    return colour, np.maximum(share, frame)
