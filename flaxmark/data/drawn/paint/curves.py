"""Curves through control points, soft steps, and cached tiles of noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from flaxmark.data.drawn.arrays import Array, Floats, Tile

TILE = 256
"""Side of the tiles of noise."""


def spline(knots: Floats, samples: int) -> NDArray[np.float64]:
    """Catmull-Rom curve `[(n - 1) * samples + 1, k]` through all knots `[n, k]`; every `samples`-th point is a knot."""
    knots = np.asarray(knots, np.float64)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = (np.arange(samples) / samples)[None, :, None]
    before, start, end, after = (padded[i : i + len(knots) - 1, None] for i in range(4))
    curve = start + 0.5 * t * (
        end - before + t * (2 * before - 5 * start + 4 * end - after + t * (3 * (start - end) + after - before))
    )
    return np.concatenate([curve.reshape(-1, knots.shape[1]), knots[-1:]])


def smoothstep(edge: float, width: float, value: Floats) -> Array:
    """Soft step from 0 to 1, which is one half at `edge` and saturates at the distance `width` from it."""
    t = np.clip((value - (edge - width)) * (0.5 / width), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def interpolate(x: Floats, knots: Sequence[float] | Floats, values: Sequence[float] | Floats) -> Array:
    """Piecewise linear function of x through (knots, values), in single precision; knots must increase."""
    return np.asarray(np.interp(x, knots, values), np.float32)


@cache
def noise_tile(slope: float, kind: int = 0) -> Tile:
    """Periodic 1/f^slope noise: 0 is white, 1 and above are clouds; each `kind` is another tile."""
    rng = np.random.default_rng(1000 * kind + int(100 * slope))
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE))) / np.maximum(frequency, 1 / TILE) ** slope
    tile = np.fft.irfft2(spectrum, (TILE, TILE))
    return np.asarray((tile - tile.mean()) / tile.std(), np.float32)


def look_up(tile: Tile, x: Floats, y: Floats) -> Array:
    """Nearest values of a periodic tile; x (column) and y (row) are in tile pixels."""
    columns = x.astype(np.int32) & (TILE - 1)
    rows = y.astype(np.int32) & (TILE - 1)
    return tile.ravel()[rows * TILE + columns]
