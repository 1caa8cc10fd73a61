"""Light on the head."""

from __future__ import annotations

import numpy as np

from flaxmark.data.drawn.arrays import Array, Colours, Floats, Values
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.head.pose import View
from flaxmark.data.drawn.head.shape import Head

CELLS = 40
EXTENT = (-0.62, 0.62, -0.85, 1.15)
"""Left, right, top and bottom of the shadow map, face units."""


def cast_shadow(head: Head, view: View) -> Array:
    """Shadows of the head on itself over the frontal plane: 1 in the light and 0 in shadow, `[40, 40]` over EXTENT."""
    x, y = np.meshgrid(np.linspace(*EXTENT[:2], CELLS), np.linspace(*EXTENT[2:], CELLS))
    z = head.lift(np.stack([x, y], -1))[..., 2]
    light = np.asarray(head.p.light) @ view.matrix
    flat = max(float(np.hypot(light[0], light[1])), 1e-3)
    slope = max(float(light[2]), 0.08) / flat
    cell = (EXTENT[1] - EXTENT[0]) / CELLS
    above = np.zeros_like(z)
    for step in (1, 2, 3, 4, 5, 7):
        right, down = round(step * light[0] / flat), round(step * light[1] / flat * 0.62)
        shifted = np.roll(np.pad(z, 12, "edge"), (-down, -right), (0, 1))[12:-12, 12:-12]
        above = np.maximum(above, shifted - z - slope * step * cell)
    lit = 1 - np.clip(above / 0.03 - 0.3, 0, 1)
    padded = np.pad(lit, 1, "edge")
    blurred = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return np.asarray((blurred[:, :-2] + 2 * blurred[:, 1:-1] + blurred[:, 2:]) / 4, np.float32)


def sample_map(grid: Array, x: Values, y: Values) -> Values:
    """Bilinear values of a map `[40, 40]` over EXTENT at x, y in face units."""
    column = np.clip((x - EXTENT[0]) * ((CELLS - 1) / (EXTENT[1] - EXTENT[0])), 0, CELLS - 1.01)
    row = np.clip((y - EXTENT[2]) * ((CELLS - 1) / (EXTENT[3] - EXTENT[2])), 0, CELLS - 1.01)
    i, j = row.astype(np.int32), column.astype(np.int32)
    s, t = row - i, column - j
    flat, at = grid.ravel(), i * CELLS + j
    top = flat[at] * (1 - t) + flat[at + 1] * t
    return np.asarray(top * (1 - s) + (flat[at + CELLS] * (1 - t) + flat[at + CELLS + 1] * t) * s, np.float32)


def illuminate(
    p: FaceParameters, colour: Colours, normals: Array, shine: Values | float, lit: Values | float
) -> Colours:
    """Linear light that reaches the camera, where 1 is white, from surface colours in [0, 1].

    `normals` are unit vectors `[n, 3]` in camera coordinates, `shine` is the strength of the gloss in [0, 1], and `lit`
    the share of the direct light that arrives.
    """
    light = np.asarray(p.light, np.float32)
    cosine = normals @ light
    wrap = 0.35 * (1 - p.harsh)
    diffuse = np.clip((cosine + wrap) / (1 + wrap), 0, 1) * lit
    half = light + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half) + 1e-6
    # The 24th power by squaring is several times faster than a general power.
    eighth = np.square(np.square(np.square(np.clip(normals @ half, 0, 1))))
    gloss = np.square(eighth) * eighth * shine * lit * 0.5
    sky = p.ambient * (0.75 - 0.35 * normals[:, 1]) * (0.6 + 0.4 * np.clip(normals[:, 2], 0, 1))
    rim = max(0.0, ((p.detail_seed >> 5) % 10 - 5) / 5) * 0.8
    edge = rim * np.clip(normals[:, 0] * (1 if p.detail_seed & 1 else -1) - 0.45, 0, 1) if not p.plain else 0.0
    direct = (diffuse * (1 + 0.5 * p.harsh))[:, None] * np.asarray(p.light_colour, np.float32)
    # Light that has passed through skin returns red where the surface turns into shade.
    warm = np.array([0.1, 0.02, 0.0], np.float32) * (1 - np.abs(2 * diffuse - 0.7))[:, None].clip(0, 1)
    total = direct + warm + (sky + edge)[:, None]
    # Every surface returns some of the light as it is, which is why dark skin is not as red as its pigment.
    return np.asarray((colour * colour + np.float32(0.025)) * total + gloss[:, None], np.float32)


def expose(p: FaceParameters, linear: Colours, reference: Floats) -> Colours:
    """Convert linear light to the display scale, with the face (`reference`) at the wanted brightness; may exceed 1."""
    level = float(np.mean(reference)) if len(reference) else 0.3
    # Dark skin must stay darker, so the exposure is corrected only in part.
    target = p.exposure**2 * (level / 0.3) ** 0.4
    return np.asarray(np.sqrt(np.maximum(linear * np.float32(target / max(level, 1e-3)), 0)), np.float32)
