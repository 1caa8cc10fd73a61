"""Skin: its colour, folds, nostrils and shaved scalp."""

from __future__ import annotations

import numpy as np

from flaxmark.data.drawn.arrays import Values
from flaxmark.data.drawn.paint.canvas import Canvas, blend, gauss
from flaxmark.data.drawn.paint.curves import interpolate, look_up, noise_tile, smoothstep


def paint_complexion(canvas: Canvas) -> None:
    """Paint coarse and fine variation of the skin, red cheeks and nose, and gloss."""
    p, x, y = canvas.p, canvas.x, canvas.y
    shift = canvas.rng.integers(0, 256, 4)
    clouds = look_up(noise_tile(1.4), 110 * canvas.u + shift[0], 110 * y + shift[1])
    pores = look_up(noise_tile(0.4, 1), 260 * canvas.u + shift[2], 260 * y + shift[3])
    amount = 0.0 if p.plain else 1.0
    canvas.colour *= (1 + amount * (p.blotch * 0.05 * clouds + (0.01 + 0.025 * p.blotch) * pores))[:, None]
    near = np.abs(x)
    red = gauss(near, y, (0.27, 0.22), 0.14, 0.12) + gauss(near, y, (0.0, 0.27), 0.09, 0.07)
    red = red + 0.4 * gauss(near, y, (0.0, 0.72), 0.2, 0.08)
    red = p.blush * (red + amount * 0.25 * clouds * red)
    canvas.colour *= 1 + red[:, None] * np.array([0.02, -0.16, -0.14], np.float32)
    spots = look_up(noise_tile(0.9, 2), 200 * canvas.u + shift[1], 200 * y + shift[2]) - 2.2
    canvas.colour *= (1 - amount * p.blotch * np.clip(spots, 0, 0.5))[:, None]
    canvas.shine *= 0.4 + 0.8 * gauss(x, y, (0, -0.25), 0.3, 0.15) + gauss(near, y, (0, 0.22), 0.05, 0.12) + 0.4 * red


def paint_creases(canvas: Canvas) -> None:
    """Paint nasolabial folds, lines on the forehead and under the eyes, and shaded hollows."""
    p, q, y = canvas.p, canvas.points, canvas.y
    near = np.abs(canvas.x)
    wing, corner = q[35], q[54]
    strength = p.wrinkle + 0.6 * max(p.smile, 0)
    t = np.clip((y - wing[1] + 0.05) / (corner[1] - wing[1] + 0.08), 0, 1)
    fold = wing[0] + 0.02 + (corner[0] - wing[0] + 0.035) * t * (0.8 + 0.2 * t)
    line = np.exp(-(((near - fold) / 0.013) ** 2)) * np.sin(np.pi * t) * 0.4 * strength
    lines = np.sin(95 * (y + 0.25 * canvas.x**2) + canvas.rng.uniform(0, 6)) - 0.3
    forehead = (
        np.clip(lines, 0, 1)
        * gauss(canvas.x, y, (0, -0.32), 0.28, 0.1)
        * 0.3
        * max(0.0, p.wrinkle + 12 * p.brow_raise - 0.2)
    )
    eye = q[42:48].mean(0)
    bag = gauss(near, y, (eye[0] - 0.02, eye[1] + 0.075), 0.09, 0.022) * (0.08 + 0.3 * p.wrinkle)
    socket = 0.16 * gauss(near, y, (eye[0] - 0.06, eye[1] - 0.03), 0.09, 0.06)
    chin = 0.16 * gauss(canvas.x, y, (0, q[57, 1] + 0.025), 0.1, 0.022)
    outer, brow = q[45], float(q[[21, 22], 1].mean())
    rays = np.sin(13 * np.arctan2(y - outer[1], near - outer[0] + 0.03) + canvas.rng.uniform(0, 6)) - 0.2
    feet = np.clip(rays, 0, 1) * gauss(near, y, (outer[0] + 0.05, outer[1]), 0.04, 0.05) * (0.5 * strength - 0.1)
    between = gauss(near, y, (0.022, brow), 0.008, 0.045) * (0.4 * p.wrinkle + 8 * p.frown)
    down = gauss(near, y, (corner[0] + 0.012, corner[1] + 0.07), 0.014, 0.06) * 0.35 * (p.wrinkle - 0.2)
    shade = line + forehead + bag + socket + chin + np.maximum(feet, 0) + np.maximum(between, 0) + np.maximum(down, 0)
    canvas.colour *= (1 - np.clip(shade, 0, 0.7) * canvas.front)[:, None]


def paint_nose(canvas: Canvas) -> None:
    """Paint the nostrils, the creases around the wings, the shade below the nose and the philtrum."""
    q, p = canvas.points, canvas.p
    at = canvas.within(slice(27, 36), 0.13)
    x, y, near = canvas.x[at], canvas.y[at], np.abs(canvas.x[at])
    wing, base, lip = q[35], q[33], q[51]
    # The landmarks have their places on the lower edge of the nose, the nostrils above it and open to the sides.
    lean = 0.35 * (near - 0.5 * wing[0])
    hole = gauss(near, y + lean, (0.5 * wing[0], wing[1] - 0.004), 0.3 * wing[0], 0.007 + 0.008 * p.nostril)
    blend(canvas.colour, at, np.array(p.skin) * (0.28, 0.2, 0.18), np.clip(1.3 * hole - 0.1, 0, 0.92))
    # A crease runs from below the wing around it and up to the side of the tip.
    right, up = (near - 0.7 * wing[0]) / (0.36 * wing[0]), (wing[1] - 0.026 - y) / 0.042
    radius = np.hypot(right, up)
    outside = smoothstep(0.35, 0.45, (0.85 * right + 0.53 * up) / (radius + 1e-3))
    crease = np.exp(-np.square((radius - 1.05) / 0.3)) * outside
    under = gauss(x, y, (0, base[1] + 0.006), 0.85 * wing[0], 0.014)
    height = max(float(lip[1] - base[1]), 0.02)
    middle = base[1] + 0.55 * height
    groove = gauss(x, y, (0, middle), 0.016, 0.45 * height)
    ridges = gauss(near, y, (0.03, middle), 0.012, 0.4 * height)
    shade = 0.3 * crease + 0.25 * under + (0.05 + 0.12 * p.nostril) * groove - 0.05 * ridges
    canvas.colour[at] *= (1 - shade)[:, None]


def paint_scalp(canvas: Canvas) -> None:
    """Paint shaved or thin hair on the skull."""
    p = canvas.p
    if p.hairstyle == "bald" and p.detail_seed % 3 == 0:
        return
    edge = hairline(canvas.u, p.hairline, 0.06 if p.hairstyle != "bald" else -0.02)
    edge = edge + 0.02 * look_up(noise_tile(0.8, 3), 90 * canvas.u, 90 * canvas.y)
    amount = {"bald": 0.35, "buzz": 0.9}.get(p.hairstyle, 0.95)
    blend(canvas.colour, slice(None), p.hair, amount * smoothstep(0, 0.025, edge - canvas.y))


def hairline(u: Values, top: float, temple: float) -> Values:
    """Height of the hair's edge on the forehead and before the ears at the angles u around the head, face units.

    `top` is its height in the middle, `temple` how far below the eyes it ends at the sides.
    """
    knots = [0.0, 0.5, 0.85, 1.05, 1.3, 1.45, 1.75, 3.2]
    values = [top, top - 0.01, top + 0.1, -0.22, temple - 0.1, temple, 0.1, 0.45]
    return interpolate(np.abs(u), knots, values)
