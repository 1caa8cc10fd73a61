"""Ears, neck, hair and hats."""

from __future__ import annotations

import numpy as np

from flaxmark.data.drawn.arrays import Array, Colours, Floats, Grid, Values
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.paint.beard import paint_beard_below
from flaxmark.data.drawn.paint.canvas import gauss
from flaxmark.data.drawn.paint.curves import look_up, noise_tile, smoothstep
from flaxmark.data.drawn.paint.skin import hairline


def ear(head: Head, side: int) -> Grid:
    """Ear, a disc at an angle to the head; `side` is -1 for the image's left one, 1 for the other.

    The surface coordinates are the place in the disc, in [-1, 1].
    """
    a, radius = np.meshgrid(np.linspace(0, -2 * side * np.pi, 33), np.linspace(0.01, 1, 8))
    across, down = radius * np.cos(a), radius * np.sin(a)
    out = (across + 1) / 2
    flare = 0.5 + 0.45 * ((head.p.detail_seed >> 3) % 7) / 7
    x = side * (0.498 + 0.1 * out * flare + 0.01 * (1 - radius))
    y = 0.1 + 0.165 * down - 0.02 * across
    z = -0.03 - 0.15 * out + 0.03 * radius**2
    return head.bend(x, y, z), np.stack([across, down], -1)


def paint_ear(head: Head, coordinates: Array) -> Colours:
    """Colour of an ear at places `[n, 2]` in its disc."""
    x, y = coordinates.T
    colour = np.empty((len(x), 3), np.float32)
    colour[:] = np.array(head.p.skin) * (1.0, 0.86, 0.82)
    hollow = 0.5 * gauss(x, y, (-0.25, 0.05), 0.35, 0.45) + 0.35 * np.exp(-(((np.hypot(x, y) - 0.72) / 0.1) ** 2)) * (
        x > -0.4
    )
    return np.asarray(colour * (1 - hollow)[:, None], np.float32)


def neck(head: Head) -> Floats:
    """Positions `[rows, columns, 3]` of the neck, in coordinates of the head above and of the body below."""
    u, t = np.meshgrid(np.linspace(-2.2, 2.2, 30), np.linspace(0, 1, 22))
    chin = head.points[8, 1]
    # It is narrower inside the head, where a wide neck would stand out behind the jaw.
    radius = (0.8 + 0.2 * smoothstep(0.12, 0.12, t)) * head.p.neck_width
    radius = radius + 0.03 * np.cos(3 * t) + 0.15 * np.clip(t - 0.55, 0, 1)
    y = 0.45 * (chin - 0.8 * head.p.mouth_open) + 1.0 * t
    # The flesh below the jaw comes forward, at most almost to the chin, the more so the fatter it is.
    flesh = head.p.under_chin * np.exp(-(((y - chin - 0.02) / (0.04 + 0.06 * head.p.under_chin)) ** 2))
    room = np.interp(chin, head.heights, head.front) - 0.05 - (0.9 * head.p.neck_width - 0.2)
    forward = 0.9 * radius * np.cos(u) + min(0.24 * head.p.depth, room) * flesh * np.cos(u).clip(0)
    return np.stack([radius * np.sin(u), y, -0.2 + forward - 0.05 * t], -1)


def paint_neck(head: Head, coordinates: Array) -> tuple[Colours, Values]:
    """Colour of the neck at positions `[n, 3]`, and the share of the direct light that the head leaves to it."""
    p, chin = head.p, head.points[8, 1]
    x, y = coordinates[:, 0], coordinates[:, 1]
    under = 1 - smoothstep(0.35, 0.3, y - 0.75 * chin)
    colour = np.empty((len(x), 3), np.float32)
    colour[:] = np.array(p.skin) * (1.0, 0.93, 0.92)
    colour *= (1 - np.float32(0.3 * p.neck_shade) * under)[:, None]
    paint_beard_below(head, colour, x, y)
    return colour, np.asarray(1 - np.float32(p.neck_shade) * under, np.float32)


def shell(head: Head, thickness: float, length: float) -> Grid:
    """Surface around the skull that hangs down at the sides and behind; its coordinates are angle and height.

    `thickness` is its distance from the skull, `length` the height of its lower end, in face units.
    """
    centre = -np.radians(head.p.yaw) * 0.85
    # Long hair is also seen from inside, behind the neck.
    reach, cells = (2.2, 52) if length < 0.5 else (3.0, 70)
    above = head.rows[head.rows[:, 1] < 0][::3] * (1, 1.0)
    lengths = np.linspace(0, max(length, 0.1), 4 + int(16 * max(length, 0)))
    outline = np.concatenate([above, np.stack([np.full(len(lengths), above[-1, 0]), lengths], 1)])
    u, row = np.meshgrid(np.linspace(centre - reach, centre + reach, cells), np.arange(len(outline)))
    w, y = outline[row, 0], outline[row, 1]
    lift = thickness * (1 + 0.25 * np.sin(3 * u + head.p.detail_seed % 6) * np.sin(4 * y))
    front, side, back = (
        np.interp(np.minimum(y, 0), head.heights, table) for table in (head.front, head.side, head.back)
    )
    cosine = np.cos(u)
    wide = w + lift * np.clip(w / 0.2, 0, 1) + 0.05 * np.clip(y, 0, 1)
    z = side + np.where(cosine > 0, front - side + 0.7 * lift, back + lift) * cosine
    top = y - lift * np.clip(1 - w / 0.5, 0, 1)
    return head.bend(wide * np.sin(u), top, z), np.stack([u, y], -1)


def hair_edge(head: Head, u: Values) -> Values:
    """Height of the hair's lower edge at the angles u around the head, face units."""
    p = head.p
    shifted = u - 0.35 * p.parting
    noise = look_up(noise_tile(1.0, 7), 40 * u + p.detail_seed % 199, np.zeros_like(u))
    if p.hairstyle == "short":
        return hairline(shifted, p.hairline, p.hair_length * 0.12) + 0.035 * noise
    end = 0.12 if p.hair_length < 0.45 and p.hairstyle == "fringe" else p.hair_length
    low = p.hairline + 0.28 if p.hairstyle == "fringe" else p.hairline - 0.02
    middle = low + (0.03 if p.hairstyle == "fringe" else 0.12)
    side = np.interp(
        np.abs(shifted),
        [0, 0.5, p.hair_side - 0.25, p.hair_side - 0.05, p.hair_side + 0.12],
        [low, low + 0.02, middle, 0.0, end],
    )
    return np.asarray(side + (0.05 if p.hairstyle == "fringe" else 0.03) * noise, np.float32)


def paint_hair(head: Head, coordinates: Array) -> Colours:
    """Colour of hair, in strands, at coordinates `[n, 2]`: angle and height."""
    u, y = coordinates.T
    seed = head.p.detail_seed
    wave = 6 * np.sin(5 * y + seed % 5) * (seed % 3)
    strands = look_up(noise_tile(0.7, 8), 75 * u + wave + seed % 251, 9 * y + 30)
    locks = look_up(noise_tile(1.2, 9), 60 * u + wave, 25 * y + seed % 101)
    colour = np.array(head.p.hair, np.float32) * np.clip(1 + 0.22 * strands + 0.22 * locks, 0.15, 2)[:, None]
    return np.asarray(colour, np.float32)


def brim(head: Head) -> Grid:
    """Peak of a cap."""
    u, t = np.meshgrid(np.linspace(-1.1, 1.1, 20), np.linspace(0, 1, 10))
    out = 0.1 + 0.42 * t * np.cos(u) ** 0.7
    return head.bend(
        (0.5 + 0.1 * t) * np.sin(u), -0.3 + 0.06 * t - 0.1 * np.cos(u) * (1 - t), 0.36 * np.cos(u) + out
    ), np.stack([u, t], -1)


def hat_edge(head: Head, u: Values) -> Values:
    """Height of a hat's lower edge at the angles u around the head, face units."""
    front = -0.34 + 0.12 * ((head.p.detail_seed >> 7) % 8) / 8
    return np.asarray(front + (0.1 if head.p.hat == "cap" else 0.2) * (1 - np.cos(u)), np.float32)


def paint_hat(head: Head, coordinates: Array) -> Colours:
    """Colour of a hat at coordinates `[n, 2]`: angle and height."""
    u, y = coordinates.T
    rng = np.random.default_rng(head.p.detail_seed)
    base = rng.uniform(0.03, 0.9, 3) if rng.random() < 0.5 else np.full(3, rng.choice([0.06, 0.2, 0.85]))
    grain = look_up(noise_tile(0.6, 3), 90 * u, 90 * y)
    knit = np.sin(rng.uniform(30, 80) * (u if rng.random() < 0.5 else y)) * (head.p.hat == "beanie")
    return np.asarray(base.astype(np.float32) * np.clip(1 + 0.08 * grain + 0.15 * knit, 0.2, 2)[:, None], np.float32)
