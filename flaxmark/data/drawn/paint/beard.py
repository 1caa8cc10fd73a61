"""Beards, on the face and on the flesh below the chin, and moustaches."""

from __future__ import annotations

import numpy as np

from flaxmark.data.drawn.arrays import Colours, Floats, Values
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.paint.canvas import Canvas, blend
from flaxmark.data.drawn.paint.curves import interpolate, look_up, noise_tile, smoothstep


def paint_beard(canvas: Canvas) -> None:
    """Paint stubble or a beard below a line from ear to mouth."""
    p, q, y = canvas.p, canvas.points, canvas.y
    if p.beard <= 0:
        return
    near, grain = np.abs(canvas.x), hairs(220 * canvas.u, 120 * y)
    edge = interpolate(
        near,
        [0, 0.12, 0.3, 0.5],
        [q[57, 1] + 0.03, q[57, 1] - 0.01, q[54, 1] - 0.1 + 0.25 * p.beard_line, 0.05],
    )
    lower = smoothstep(0, 0.04, y - edge + 0.012 * grain)
    grow_on_face(canvas, lower * width_of_beard(p, near) * p.beard, grain)


def paint_moustache(canvas: Canvas) -> None:
    """Paint a moustache, which may hang over the upper lip and down beside the mouth."""
    p, q, y = canvas.p, canvas.points, canvas.y
    if p.moustache <= 0:
        return
    inward = np.minimum(canvas.x - q[48, 0], q[54, 0] - canvas.x)  # from the nearer corner of the mouth
    grain = hairs(220 * canvas.u, 120 * y)
    cover = smoothstep(0, 0.02, y - q[33, 1] - 0.015) * smoothstep(0, 0.03, inward + 0.02)
    cover = cover * smoothstep(0, 0.05, q[54, 1] + (0.3 if p.beard_line > 0.25 else 0.0) - y)
    # Between the corners of the mouth it ends above the lip, or as far down as the middle of the mouth.
    upper = interpolate(canvas.x, q[48:55, 0], q[48:55, 1])
    end = upper + p.overhang * np.maximum(q[62, 1] - upper, 0) + np.float32(0.008 * (2 * p.overhang - 1))
    cover = cover * (1 - smoothstep(0, 0.03, inward - 0.015) * smoothstep(0, 0.012, y - end + 0.01 * grain))
    grow_on_face(canvas, cover * p.moustache, grain)


def paint_beard_below(head: Head, colour: Colours, x: Values, y: Values) -> None:
    """Paint the beard on the flesh below the chin and on the neck, in place, at x and y in face units."""
    p = head.p
    if p.beard <= 0:
        return
    grain = hairs(110 * x, 110 * y)
    cover = smoothstep(0, 0.05, head.points[8, 1] + 0.15 * p.beard_length - y + 0.01 * grain)
    grow(colour, p, cover * width_of_beard(p, np.abs(x)) * p.beard, grain)


def width_of_beard(p: FaceParameters, near: Values) -> Values | float:
    """Where a beard grows across the face: everywhere, or only on the chin; `near` is the distance from its middle."""
    return 1.0 if p.beard_line < 0.33 else smoothstep(0, 0.04, 0.2 - near)


def hairs(across: Floats, along: Floats) -> Values:
    """Variation of colour and density from hair to hair, at places in pixels of a tile of noise."""
    return look_up(noise_tile(0.6, 4), across, along)


def grow_on_face(canvas: Canvas, cover: Values, grain: Values) -> None:
    """Cover the face's skin with hair, in place, but not behind the ears; `cover` is in [0, 1]."""
    shown = grow(canvas.colour, canvas.p, cover * smoothstep(0, 0.05, 1.62 - np.abs(canvas.u)), grain)
    canvas.shine *= 1 - 0.8 * shown


def grow(colour: Colours, p: FaceParameters, cover: Values, grain: Values) -> Values:
    """Blend hair into colours, in place; returns its opacity."""
    shown = np.clip(cover * (1.0 + 0.25 * grain), 0, 1)
    blend(colour, slice(None), np.array(p.hair, np.float32) * (1 + 0.25 * grain)[:, None], 0.92 * shown)
    return np.asarray(shown, np.float32)
