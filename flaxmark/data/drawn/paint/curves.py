"""Curves through control points and cached noise tiles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
TILE = 256


def spline(knots: NDArray[np.floating], samples: int) -> NDArray[np.float64]:
    """Catmull-Rom curve through every knot.

    Args:
        knots: [n, k], the points to pass through.
        samples: number of points per interval between two knots.

    Returns:
        float64 [(n - 1) * samples + 1, k]; every `samples`-th row is a knot.
    """
    knots = np.asarray(knots, np.float64)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = (np.arange(samples) / samples)[None, :, None]
    before, start, end, after = (padded[i : i + len(knots) - 1, None] for i in range(4))
    curve = start + 0.5 * t * (
        end - before + t * (2 * before - 5 * start + 4 * end - after + t * (3 * (start - end) + after - before))
    )
    return np.concatenate([curve.reshape(-1, knots.shape[1]), knots[-1:]])


def smoothstep(edge: float, width: float, value: NDArray[np.floating]) -> Array:
    """Soft step from 0 to 1.

    Args:
        edge: where the step is at one half.
        width: distance from the edge at which it saturates.
        value: any shape, same unit as edge.

    Returns:
        float32, shape of value, in [0, 1].
    """
    t = np.clip((value - (edge - width)) * (0.5 / width), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def interpolate(
    x: NDArray[np.floating],
    knots: Sequence[float] | NDArray[np.floating],
    values: Sequence[float] | NDArray[np.floating],
) -> Array:
    """Piecewise linear function, in single precision.

    Args:
        x: where to evaluate, any shape.
        knots: [k], increasing.
        values: [k].

    Returns:
        float32, shape of x.
    """
    return np.asarray(np.interp(x, knots, values), np.float32)


@cache
def noise_tile(slope: float, kind: int = 0) -> Array:
    """Periodic 1/f^slope noise.

    Args:
        slope: 0 for white noise, 1 and above for clouds.
        kind: chooses among different tiles of the same slope.

    Returns:
        float32 [256, 256], mean 0, deviation 1.
    """
    rng = np.random.default_rng(1000 * kind + int(100 * slope))
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE))) / np.maximum(frequency, 1 / TILE) ** slope
    tile = np.fft.irfft2(spectrum, (TILE, TILE))
    return np.asarray((tile - tile.mean()) / tile.std(), np.float32)


def look_up(tile: Array, x: NDArray[np.floating], y: NDArray[np.floating]) -> Array:
    """Nearest values of a periodic tile.

    Args:
        tile: float32 [256, 256].
        x: column coordinates in tile pixels, any shape.
        y: row coordinates, same shape.

    Returns:
        float32, shape of x.
    """
    columns = x.astype(np.int32) & (TILE - 1)
    rows = y.astype(np.int32) & (TILE - 1)
    return tile.ravel()[rows * TILE + columns]
