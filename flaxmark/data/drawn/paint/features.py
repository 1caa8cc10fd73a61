"""Brows, eyes and mouth, painted so that their outlines pass through the places of the landmarks (`View.places`)."""

from __future__ import annotations

import numpy as np

from flaxmark.data.drawn.arrays import Array, Colours, Values
from flaxmark.data.drawn.paint.canvas import SOFT, Canvas, blend, gauss
from flaxmark.data.drawn.paint.curves import interpolate, look_up, noise_tile, smoothstep, spline


def paint_brow(canvas: Canvas, side: int) -> None:
    """Paint an eyebrow; `side` is 0 for the image's left one, 1 for the other."""
    part = slice(17, 22) if side == 0 else slice(22, 27)
    at, p = canvas.within(part, 0.1), canvas.p
    knots = canvas.points[part]
    # The hairs go on beyond the landmarks, ever thinner: straight on at the temple, and down at the nose.
    first, last = 2 * knots[0] - knots[1], 2 * knots[-1] - knots[-2]
    line = spline(np.concatenate([first[None], knots, last[None]]), 6)
    x, y = canvas.x[at], canvas.y[at]
    middle = interpolate(x, np.maximum.accumulate(line[:, 0]), line[:, 1])
    along = (x - knots[0, 0]) / (knots[-1, 0] - knots[0, 0])
    inward = 1 - along if side else along
    thick = p.brow_width * (0.5 + 0.7 * np.sin(np.pi * np.clip(0.12 + 0.75 * inward, 0, 1)))
    grain = look_up(noise_tile(0.5, 5), 300 * x - 150 * y, 150 * y)
    offset = (y - middle - 0.5 * p.brow_width) / thick
    cover = smoothstep(0.35, 0.4, 1 - np.abs(offset) + (0.0 if p.plain else 0.3) * grain)
    tail = 0.04 + 0.2 * p.brow_tail
    cover *= smoothstep(-0.4 * tail, tail, inward) * smoothstep(-0.03, 0.1, 1 - inward)
    dark = np.minimum(np.array(p.hair), np.array(p.skin) * 0.75) * p.brow_tone
    blend(canvas.colour, at, dark, cover * p.brow_density)
    canvas.shine[at] *= 1 - cover


def paint_eye(canvas: Canvas, side: int) -> None:
    """Paint an eye with its lids; `side` is 0 for the image's left one, 1 for the other."""
    part = slice(36, 42) if side == 0 else slice(42, 48)
    at, p, q = canvas.within(part, 0.07), canvas.p, canvas.points[part]
    x, y = canvas.x[at], canvas.y[at]
    top, bottom = spline(q[:4], 8), spline(q[[0, 5, 4, 3]], 8)
    upper = interpolate(x, top[:, 0], top[:, 1])
    lower = interpolate(x, bottom[:, 0], bottom[:, 1])
    inside = smoothstep(0, 0.01, x - q[0, 0]) * smoothstep(0, 0.01, q[3, 0] - x)
    hole = smoothstep(0, SOFT, y - upper) * smoothstep(0, SOFT, lower - y) * inside
    ball = paint_eyeball(canvas, x, y, q, side)
    shadow = 1 - 0.45 * np.exp(-np.clip(y - upper, 0, 1) / 0.018)
    outer, inner = (q[0], q[3]) if side == 0 else (q[3], q[0])
    outward, from_nose = ((x - corner[0]) * (-1 if side == 0 else 1) for corner in (outer, inner))
    # Beyond the outer corner the lid's edge and its fold run on, down and ever fainter.
    beyond = np.clip(outward, 0, 1)
    upper = upper + np.float32(0.35) * beyond
    fold = upper - 0.018 - 0.02 * (1 - p.closure[side])
    fade = np.exp(-np.square(beyond / np.float32(0.004 + 0.05 * p.eye_line)))
    crease = np.exp(-(((y - fold) / 0.007) ** 2)) * smoothstep(0, 0.04, from_nose + 0.02) * fade
    lid = smoothstep(0, SOFT, y - fold) * smoothstep(0, SOFT, upper - y) * inside
    blend(canvas.colour, at, np.array(p.skin) * (0.55, 0.45, 0.5), 0.55 * p.makeup * lid)
    canvas.colour[at] *= (1 - 0.35 * crease)[:, None]
    blend(canvas.colour, at, ball * shadow[:, None], hole)
    ends = smoothstep(0, 0.02, x - q[0, 0] + 0.012) * smoothstep(0, 0.02, q[3, 0] - x + 0.012)
    line = np.exp(-(((y - upper + 0.003) / (0.005 + 0.004 * p.lash + 0.004 * p.makeup)) ** 2))
    lash = line * smoothstep(0, 0.02, from_nose + 0.012) * fade * (0.5 + 0.3 * p.lash + 0.2 * p.makeup)
    under = np.exp(-(((y - lower - 0.003) / 0.006) ** 2)) * ends * (0.22 + 0.4 * p.makeup)
    dark = np.minimum(np.array(p.hair), np.array(p.skin)) * 0.35
    blend(canvas.colour, at, dark, np.clip(np.maximum(lash, under), 0, 1))
    canvas.shine[at] = canvas.shine[at] * (1 - hole) + 0.5 * hole


def paint_eyeball(canvas: Canvas, x: Values, y: Values, q: Array, side: int) -> Colours:
    """Colour of white, iris, pupil and highlight at x, y in face units; `q` are the eye's landmarks `[6, 2]`."""
    p = canvas.p
    rest = canvas.points[[36, 39] if side == 0 else [42, 45]].mean(0)
    centre = rest + np.array([0.07 * p.gaze[0], -0.008 + 0.04 * p.gaze[1]])
    r = np.hypot(x - centre[0], y - centre[1]) / p.iris_size
    white = p.eye_white * np.array([1.0, 0.955, 0.93]) * min(1.0, 0.55 + 0.6 * max(p.skin))
    ball = np.empty((len(x), 3), np.float32)
    ball[:] = white
    ball *= (1 - 0.35 * ((x - rest[0]) / 0.09) ** 2)[:, None]
    ring = np.clip(1.15 - 0.5 * r**4, 0.3, 1.2)[:, None] * np.array(p.iris, np.float32)
    blend(ball, slice(None), ring, smoothstep(0, 0.15, 1 - r))
    blend(ball, slice(None), (0.02, 0.02, 0.02), smoothstep(0, 0.15, 0.42 - r))
    glint = np.hypot(x - centre[0] - 0.012 * np.sign(p.light[0]), y - centre[1] + 0.014)
    blend(ball, slice(None), (1.0, 1.0, 1.0), 0.9 * smoothstep(0, 0.005, 0.008 - glint))
    inner = q[3, 0] if side == 0 else q[0, 0]
    blend(ball, slice(None), (0.75, 0.45, 0.42), 0.8 * smoothstep(0, 0.012, 0.016 - np.abs(x - inner)))
    return ball


def paint_mouth(canvas: Canvas) -> None:
    """Paint the lips and the inside of the mouth."""
    at, p, q = canvas.within(slice(48, 68), 0.09), canvas.p, canvas.points
    x, y = canvas.x[at], canvas.y[at]
    orders = (
        [48, 49, 50, 51, 52, 53, 54],
        [60, 61, 62, 63, 64],
        [60, 67, 66, 65, 64],
        [48, 59, 58, 57, 56, 55, 54],
    )
    curves = [spline(q[order], 8) for order in orders]
    top, inner_top, inner_bottom, bottom = (interpolate(x, np.maximum.accumulate(c[:, 0]), c[:, 1]) for c in curves)
    ends = smoothstep(0, 0.01, x - q[48, 0]) * smoothstep(0, 0.01, q[54, 0] - x)
    # Pale lips have no clear edge.
    soft = SOFT + 0.012 * max(0.0, 0.7 - p.lip)
    lips = smoothstep(0, soft, y - top) * smoothstep(0, soft, bottom - y) * ends
    gap = smoothstep(0, SOFT, y - inner_top) * smoothstep(0, SOFT, inner_bottom - y)
    gap *= (
        smoothstep(0, 0.01, x - q[60, 0])
        * smoothstep(0, 0.01, q[64, 0] - x)
        * smoothstep(0.004, 0.004, inner_bottom - inner_top)
    )
    skin = np.array(p.skin)
    red = skin * (1 - 0.12 * p.lip, 1 - 0.34 * p.lip, 1 - 0.26 * p.lip)
    if p.makeup > 0.55:
        red = 0.4 * red + 0.6 * np.array([0.62, 0.12, 0.18])
    streaks = 1 + 0.06 * look_up(noise_tile(0.6, 6), 500 * x, 60 * y) * (0 if p.plain else 1)
    middle = (inner_top + inner_bottom) / 2
    shade = 1 - 0.25 * smoothstep(0, 0.01, middle - y)
    blend(canvas.colour, at, np.clip(red, 0.03, 1) * (streaks * shade)[:, None], lips * 0.92)
    # The line between the lips runs on beyond the corners as a fold, which a smile raises and age lets down.
    beyond = np.maximum(np.maximum(q[48, 0] - x, x - q[54, 0]), 0)
    course = middle + np.float32(0.5 - 0.8 * max(p.smile, 0.0)) * beyond
    fade = np.exp(-np.square(beyond / np.float32(0.004 + 0.04 * p.mouth_line)))
    line = np.exp(-np.square((y - course) / np.float32(0.007 + 0.003 * p.mouth_line))) * fade
    sides = np.exp(-np.square((np.abs(x - q[[48, 54], 0].mean()) - np.ptp(q[[48, 54], 0]) / 2) / 0.025))
    pit = sides * np.exp(-np.square((y - course) / 0.02))
    canvas.colour[at] *= (1 - np.maximum(0.65 * line, 0.45 * p.mouth_line * pit) * (1 - gap))[:, None]
    edge = np.exp(-(((y - bottom - 0.008) / 0.012) ** 2)) * ends
    canvas.colour[at] *= (1 - 0.14 * edge)[:, None]
    blend(canvas.colour, at, paint_oral(canvas, x, y, inner_top, inner_bottom), gap)
    canvas.shine[at] = canvas.shine[at] * (1 - lips) + (0.25 + 0.5 * p.makeup) * lips * (1 - gap)


def paint_oral(canvas: Canvas, x: Values, y: Values, top: Values, bottom: Values) -> Colours:
    """Colour of teeth, tongue and the dark of the mouth at x, y in face units.

    `top` and `bottom` are the inner edges of the upper and lower lip at x.
    """
    p, q = canvas.p, canvas.points
    height = max(float(q[66, 1] - q[62, 1]), 1e-3)
    inside = np.empty((len(x), 3), np.float32)
    inside[:] = np.array([0.2, 0.07, 0.06]) * (0.6 + 0.4 * max(p.skin))
    tongue = gauss(x, y, (0, q[66, 1]), 0.09, 0.45 * height)
    blend(inside, slice(None), (0.55, 0.25, 0.24), np.clip(1.2 * tongue, 0, 1) * (height > 0.05))
    arch = 1 - 1.2 * (x / 0.17) ** 2
    length = min(0.075, 0.5 * height) if p.smile < 0.4 else 0.06
    length = length if p.detail_seed % 5 else 0.2 * length
    gaps = 1 - 0.35 * np.exp(-(((np.mod(x / 0.042 + 0.5, 1) - 0.5) / 0.09) ** 2))
    teeth = np.array([0.93, 0.9, 0.84]) * (gaps * np.clip(0.55 + 0.5 * arch, 0.3, 1))[:, None]
    blend(inside, slice(None), teeth, smoothstep(0, SOFT, top + length * np.clip(arch, 0.3, 1) - y))
    if p.detail_seed % 4 == 0:
        blend(inside, slice(None), 0.85 * teeth, smoothstep(0, SOFT, y - bottom + 0.25 * min(height, 0.1)))
    depth = np.exp(-np.clip(y - top, 0, 1) / 0.012)
    return np.asarray(inside * (1 - 0.45 * depth)[:, None], np.float32)
