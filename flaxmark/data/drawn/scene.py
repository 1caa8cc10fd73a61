"""Surroundings of the head: background and clothes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flaxmark.data.drawn.arrays import Floats, Image, Plane, Tile
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.paint.curves import TILE, noise_tile, smoothstep
from flaxmark.data.drawn.paint.raster import refine
from flaxmark.data.drawn.visibility import PaintedImage


def tile_window(tile: Tile, size: int, zoom: float, shift: NDArray[np.integer]) -> Plane:
    """Sample `size` x `size` values of a periodic tile, `zoom` tile pixels apart, from `shift` (row, column)."""
    steps = (np.arange(size) * zoom).astype(int)
    return np.asarray(tile[np.ix_((steps + shift[0]) % TILE, (steps + shift[1]) % TILE)], np.float32)


def background(p: FaceParameters, size: int, rng: np.random.Generator) -> Image:
    """Random background, partly out of focus; other people in it share the face's skin and hair colours."""
    if p.plain:
        return np.full((size, size, 3), 0.35, np.float32)
    # Backgrounds are out of focus, so half the resolution is enough.
    half = (size + 1) // 2
    y, x = np.mgrid[0:half, 0:half].astype(np.float32) / half
    base, other = rng.uniform(0.02, 0.95, (2, 3)) ** rng.uniform(0.6, 1.6)
    if rng.random() < 0.75:
        base, other = base.mean() + 0.25 * (base - base.mean()), other.mean() + 0.25 * (other - other.mean())
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.clip(0.5 + (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)) * rng.uniform(0, 1.5), 0, 1)
    image = np.asarray(base + ramp[..., None] * (other - base), np.float32)
    for _ in range(rng.integers(0, 7)):
        structure(image, x, y, rng)
    if rng.random() < 0.25:
        passer_by(image, x, y, p, rng)
    image = refine(np.pad(image, ((0, 1), (0, 1), (0, 0)), "edge"), 2, 2)[:size, :size]
    if rng.random() < 0.7:
        slope = rng.choice([0.8, 1.2, 1.7])
        strength, tinted = rng.uniform(0.0, 0.3), rng.random() < 0.1
        window = rng.uniform(0.3, 1.5), rng.integers(0, TILE, 2)
        kinds = (10, 11, 12) if tinted else (10,)
        grain = np.stack([tile_window(noise_tile(slope, kind), size, *window) for kind in kinds], -1)
        image += np.float32(strength * image.mean()) * grain
    return np.clip(image, 0, 1)


def structure(image: Image, x: Plane, y: Plane, rng: np.random.Generator) -> None:
    """Add a blob, a bar, a rectangle or stripes to the background, in place; `x` and `y` are in [0, 1]."""
    kind = rng.integers(4)
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    cx, cy = rng.uniform(0, 1, 2)
    a = np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy)
    b = np.cos(angle) * (y - cy) - np.sin(angle) * (x - cx)
    soft, wide, tall = rng.uniform(0.006, 0.08), *rng.uniform(0.03, 0.4, 2)
    if kind == 0:
        mask = smoothstep(0, soft, 1 - np.hypot(a / wide, b / tall))
    elif kind == 1:
        mask = smoothstep(0, soft, 0.25 * wide - np.abs(a))
    elif kind == 2:
        mask = smoothstep(0, soft, wide - np.abs(a)) * smoothstep(0, soft, tall - np.abs(b))
    else:
        mask = smoothstep(0, 0.5, np.sin(a * rng.uniform(20, 120))) * smoothstep(0, soft, tall - np.abs(b))
    colour = rng.uniform(0, 1, 3) if rng.random() < 0.2 else np.full(3, rng.random()) + rng.uniform(-0.05, 0.05, 3)
    image += (mask * rng.uniform(0.3, 1.0))[..., None] * (np.asarray(colour, np.float32) - image)


def passer_by(image: Image, x: Plane, y: Plane, p: FaceParameters, rng: np.random.Generator) -> None:
    """Add the blurred head of another person beside the face, in place; `x` and `y` are in [0, 1]."""
    cx = rng.choice([rng.uniform(-0.1, 0.15), rng.uniform(0.85, 1.1)])
    cy, r = rng.uniform(0.15, 0.8), rng.uniform(0.08, 0.22)
    skin = np.array(p.skin) * rng.uniform(0.5, 1.1)
    parts = [(0.0, 0.0, 1.15, 1.3, np.array(p.hair)), (0.0, 0.25, 0.95, 1.2, skin)]
    parts += [(side * 0.4, 0.05, 0.2, 0.1, 0.4 * skin) for side in (-1, 1)] + [
        (0.0, 0.8, 0.4, 0.13, skin * (0.8, 0.5, 0.5))
    ]
    parts += [(0.0, 2.9, 2.2, 1.8, rng.uniform(0, 1, 3))]
    for dx, dy, wide, tall, colour in parts:
        mask = smoothstep(0, 0.15, 1 - np.hypot((x - cx - dx * r) / (wide * r), (y - cy - dy * r) / (tall * r)))
        image += mask[..., None] * (colour.astype(np.float32) - image)


def clothes(painted: PaintedImage, neck: Floats, scale: float, p: FaceParameters, rng: np.random.Generator) -> None:
    """Add shoulders below the neck, in place.

    `neck` is (x, y) of the collar in pixels, `scale` is in pixels per face unit.
    """
    size = len(painted.image)
    first = int(np.clip(neck[1] - 0.75 * scale, 0, size - 1))
    y, x = np.mgrid[first:size, 0:size].astype(np.float32)
    a, b = (x - np.float32(neck[0])) / np.float32(scale), (y - np.float32(neck[1])) / np.float32(scale)
    slope = rng.uniform(0.15, 0.5)
    top = -0.12 + slope * np.abs(a) ** 1.3 + rng.uniform(-0.1, 0.1) * a
    mask = smoothstep(0, 0.02, b - top) * smoothstep(0, 0.1, 1.45 - np.abs(a))
    collar = rng.uniform(0.15, 0.55)
    mask = mask * smoothstep(0, 0.02, b + 0.02 - rng.uniform(0.0, 0.5) * (1 - (np.abs(a) / collar) ** 1.5).clip(0, 1))
    colour = rng.uniform(0, 1, 3) if rng.random() < 0.5 else np.full(3, rng.choice([0.05, 0.15, 0.85]))
    fold = 1 + 0.15 * tile_window(noise_tile(1.4, 3), size, 0.7, rng.integers(0, TILE, 2))[first:]
    pattern = 1 + rng.uniform(-0.4, 0.4) * (rng.random() < 0.4) * np.sign(
        np.sin(b * rng.uniform(10, 60) + a * rng.uniform(-60, 60))
    )
    shade = fold * pattern * (0.7 + 0.3 * smoothstep(0, 0.3, b - top))
    painted.below(first).paint(mask, colour * shade[..., None])
