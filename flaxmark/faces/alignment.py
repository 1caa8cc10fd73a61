"""Upright crops: the similarity transform from the points of a face to those of a mean face, and the pixels under it.

The result is a square. The centres of the mean face's eyes are level in it, at `EYES_TOP` of its height and
`EYES_APART` of its width apart, in the middle: the face is seen from the forehead to the chin.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex128, Float, Float64, UInt8

from flaxmark.faces.crop import CropDefinition, cut_region
from flaxmark.faces.crop_sampler import Affine, most_samples, sample_crop
from flaxmark.faces.markup import Markup
from flaxmark.system.forks import refuse_fork

EYES_TOP, EYES_APART = 0.4, 0.28
EYES_WEIGHT = 10.0  # of the line between the eyes for the rotation, relative to all points
# Larger faces are first shrunk to this multiple of the result, so that rotation costs no sharpness.
FINER = 2

Similarity = Float64[np.ndarray, "2 3"]
"""Maps a point (x, y) to matrix[:, :2] @ (x, y) + matrix[:, 2]."""


def upright_points(mean_face: Float[np.ndarray, "points 2"], markup: Markup) -> Float64[np.ndarray, "points 2"]:
    """The points of a mean face, in any unit, at their places in the upright crop: (0, 0) to (1, 1)."""
    z: Complex128[np.ndarray, " points"] = np.asarray(mean_face, np.float64) @ np.array([1, 1j])
    left, right = sorted((_centre(z[list(eye)]) for eye in markup.eyes), key=lambda eye: eye.real)
    z = (z - (left + right) / 2) * EYES_APART / (right - left) + complex(0.5, EYES_TOP)
    return np.stack([z.real, z.imag], axis=-1)


def fit_upright(
    points: Float[np.ndarray, "points 2"], target: Float[np.ndarray, "points 2"], markup: Markup
) -> Similarity:
    """Rotation, scale and shift from the points of a face to the upright ones of the mean face.

    Scale and shift have the least squared error for the rotation (Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", 1991; complex numbers need no decomposition, and give no reflection). The
    rotation levels the eyes: the points of a turned head alone would tilt it. Where the eyes nearly coincide, as in
    profiles, or are missing, all points decide. Missing points do not count. Raises ValueError for points without an
    extent.
    """
    z, w = (np.asarray(values, np.float64) @ np.array([1, 1j]) for values in (points, target))
    there = ~np.isnan(z) & ~np.isnan(w)
    eyes = [[_centre(np.where(there, values, np.nan)[list(eye)]) for eye in markup.eyes] for values in (z, w)]
    between = np.diff(eyes, axis=1)[:, 0]
    between = np.where(np.isnan(between), 0, between)
    z, w = z[there], w[there]
    about_z, about_w = (values - values.mean() if len(values) else values for values in (z, w))
    extent = np.vdot(about_z, about_z).real
    if not extent > 0:
        raise ValueError("two different points at least must be known")
    fit = np.vdot(about_z, about_w)
    turn = fit + EYES_WEIGHT * len(z) * between[0].conj() * between[1]
    turn /= np.abs(turn) or 1.0
    factor = (fit * turn.conj()).real / extent * turn
    shift = w.mean() - factor * z.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def _centre(points: Complex128[np.ndarray, " points"]) -> complex:
    """Mean of the points that are there; NaN without any."""
    return complex(points[~np.isnan(points)].mean()) if not np.isnan(points).all() else complex(math.nan)


def sample_similarity(
    image: UInt8[np.ndarray, "height width 3"], matrix: Similarity, size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """The square image under a similarity from pixels of the image to its own; antialiased, black outside the image."""
    refuse_fork()
    scale = math.hypot(*matrix[:, 0])
    turned = matrix[:, :2] / scale
    centre = turned.T @ ((size - 1) / 2 - matrix[:, 2]) / scale
    side = size / scale
    crop = np.array([*(centre + 0.5 - side / 2), side])
    stored = FINER * size
    try:
        region = cut_region(image, crop, CropDefinition(stored_size=stored, margin=1.5))
    except ValueError:  # the face lies outside
        return np.zeros((size, size, 3), np.uint8)
    # Of one size for all faces: one program.
    room = math.ceil(1.5 * stored) + 4
    rows, columns = region.pixels.shape[:2]
    pixels = np.zeros((room, room, 3), np.uint8)
    pixels[:rows, :columns] = region.pixels
    affine = Affine(jnp.asarray(turned.T, jnp.float32), jnp.zeros(2, jnp.float32))
    sampled = _sample(pixels, region.crop.astype(np.float32), size, most_samples(stored, size), affine)
    return np.asarray(sampled).clip(0, 255).round().astype(np.uint8)


_sample = partial(jax.jit, static_argnames=("size", "most"))(sample_crop)
