"""A z-buffer for meshes on rectangular grids, filled with dense samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flaxmark.data.drawn.arrays import Array, Floats, Mask

ID_BITS = 24
"""Low bits of the z-buffer, which hold the number of a sample; the depth is above them."""

FARTHEST, DEPTH_STEPS = -8, 65536
"""Depth of the z-buffer's zero, face units, and steps in a face unit."""


@dataclass
class Patch:
    """A grid of surface points in camera coordinates.

    Attributes:
        positions: `[rows, columns, 3]`, face units, z towards the camera.
        coordinates: `[rows, columns, k]`, surface coordinates by which the patch is painted.
        normals: `[rows, columns, 3]`, unit vectors, computed from the positions.
    """

    positions: Floats
    coordinates: Floats

    def __post_init__(self) -> None:
        """Compute the normals."""
        ax, ay, az = np.moveaxis(np.gradient(self.positions, axis=1), -1, 0)
        bx, by, bz = np.moveaxis(np.gradient(self.positions, axis=0), -1, 0)
        normals = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)
        self.normals = normals / (np.sqrt((normals**2).sum(-1, keepdims=True)) + 1e-9)


@dataclass
class Fragments:
    """The pixels in which a patch is visible.

    Attributes:
        pixels: `[n]`, indices into the flattened image.
        coordinates: `[n, k]`, surface coordinates of the patch.
        normals: `[n, 3]`, unit vectors.
        depths: `[n]`, face units, greater towards the camera.
    """

    pixels: NDArray[np.int64]
    coordinates: Array
    normals: Array
    depths: Array


def refine(grid: Floats, rows: int, columns: int) -> Array:
    """Interpolate a grid `[r, c, k]` bilinearly, with `rows` and `columns` new points per interval.

    The result is `[(r - 1) * rows, (c - 1) * columns, k]`.
    """
    grid = np.asarray(grid, np.float32)
    t = (np.arange(columns, dtype=np.float32) / columns)[None, None, :, None]
    wide = grid[:, :-1, None] + t * np.diff(grid, axis=1)[:, :, None]
    wide = wide.reshape(grid.shape[0], -1, grid.shape[2])
    t = (np.arange(rows, dtype=np.float32) / rows)[None, :, None, None]
    tall = wide[:-1, None] + t * np.diff(wide, axis=0)[:, None]
    return np.asarray(tall.reshape(-1, wide.shape[1], grid.shape[2]), np.float32)


def rasterise(
    patches: Sequence[Patch], screens: Sequence[Floats], keeps: Sequence[Mask | None], size: int
) -> list[Fragments]:
    """Find the pixels of a square image in which each patch is visible.

    `screens` are the patches in pixels and depth, `[rows, columns, 3]`. A mask in `keeps` selects the points of the
    refined grid at which its surface exists; None selects all. `size` is in pixels.
    """
    keys = np.zeros((size + 2) * (size + 2), np.int64)
    start, dense = 1, []
    for screen, keep in zip(screens, keeps, strict=True):
        steps = refinement(screen)
        fine = refine(screen, *steps)
        shape = fine.shape[:2]
        number = np.arange(start, start + shape[0] * shape[1])
        fine = fine.reshape(-1, 3)
        if keep is not None:
            number, fine = number[keep.ravel()], fine[keep.ravel()]
        column, line = (np.clip(fine[:, k] + np.float32(1.5), 0, size + 1).astype(np.int32) for k in (0, 1))
        depth = ((fine[:, 2] - FARTHEST) * DEPTH_STEPS).astype(np.int64)
        np.maximum.at(keys, line * (size + 2) + column, (depth << ID_BITS) + number)
        dense.append((start, steps, shape))
        start += shape[0] * shape[1]
    grid = keys.reshape(size + 2, size + 2)
    grid[[0, -1]] = 0
    grid[:, [0, -1]] = 0
    # Closing by one pixel, twice: a crack between two samples takes the farther neighbour.
    for _ in range(2):
        grid[:, 1:-1] = np.maximum(grid[:, 1:-1], np.minimum(grid[:, :-2], grid[:, 2:]))
        grid[1:-1] = np.maximum(grid[1:-1], np.minimum(grid[:-2], grid[2:]))
    nearest = grid[1:-1, 1:-1].ravel()
    numbers = nearest & ((1 << ID_BITS) - 1)
    return [gather(patch, nearest, numbers, *info) for patch, info in zip(patches, dense, strict=True)]


def refinement(screen: Floats) -> tuple[int, int]:
    """Samples per interval of rows and of columns that leave no pixel of a patch empty.

    `screen` is the patch in pixels and depth, `[rows, columns, 3]`.
    """
    steps = []
    for axis in (0, 1):
        right, down = (np.abs(np.diff(screen[..., k], axis=axis)) for k in (0, 1))
        stride = np.maximum(right, down)
        # The closing bridges one missing pixel, so that samples may be almost two pixels apart.
        widest = min(stride.max(), stride.mean() + 3 * stride.std())
        steps.append(int(np.clip(np.ceil(0.55 * widest), 1, 12)))
    return steps[0], steps[1]


def gather(
    patch: Patch,
    nearest: NDArray[np.int64],
    numbers: NDArray[np.int64],
    start: int,
    steps: tuple[int, int],
    shape: tuple[int, int],
) -> Fragments:
    """Coordinates, normals and depths of a patch in the pixels where it is nearest to the camera.

    `nearest` `[pixels]` is the z-buffer. `numbers` `[pixels]` holds the number of the nearest sample, `start` is that
    of the patch's first one; `steps` and `shape` are the refinement of its grid and the size of the refined grid.
    """
    pixels = np.flatnonzero((numbers >= start) & (numbers < start + shape[0] * shape[1]))
    row, column = np.divmod(numbers[pixels] - start, shape[1])
    row, down = np.divmod(row, steps[0])
    column, right = np.divmod(column, steps[1])
    values = np.concatenate([patch.coordinates, patch.normals], -1).astype(np.float32)
    flat, width = values.reshape(-1, values.shape[-1]), values.shape[1]
    corner = row * width + column
    s = (down / steps[0]).astype(np.float32)[:, None]
    t = (right / steps[1]).astype(np.float32)[:, None]
    mixed = flat.take(corner, 0)
    step_right = (flat.take(corner + 1, 0) - mixed) * t
    step_down = (flat.take(corner + width, 0) - mixed) * s
    mixed += step_right
    mixed += step_down
    k = patch.coordinates.shape[-1]
    depths = (nearest[pixels] >> ID_BITS) / np.float32(DEPTH_STEPS) + np.float32(FARTHEST)
    return Fragments(pixels, mixed[:, :k], mixed[:, k:], depths.astype(np.float32))
