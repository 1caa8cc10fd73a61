"""Simulation of a camera: blur, tone, sensor noise and JPEG compression."""

from __future__ import annotations

from functools import cache

import numpy as np

from flaxmark.data.drawn.arrays import Array, Image


def convolve(image: Image, kernel: Array, axis: int) -> Image:
    """Convolve along an axis (0 or 1) with a kernel of odd length; the border is repeated."""
    r = len(kernel) // 2
    pad = [(0, 0)] * 3
    pad[axis] = (r, r)
    wide = np.pad(image, pad, "edge")
    length = image.shape[axis]
    total = np.zeros_like(image)
    for i, weight in enumerate(kernel):
        total += weight * (wide[i : i + length] if axis == 0 else wide[:, i : i + length])
    return total


def soften(image: Image, deviation: float, axes: tuple[int, ...] = (0, 1)) -> Image:
    """Gaussian blur with a standard deviation in pixels, along axis 0 (vertical), 1 (horizontal) or both."""
    r = max(1, int(np.ceil(2.2 * deviation)))
    kernel = np.exp(-0.5 * (np.arange(-r, r + 1) / deviation) ** 2).astype(np.float32)
    for axis in axes:
        image = convolve(image, kernel / kernel.sum(), axis)
    return image


@cache
def cosine_basis() -> Array:
    """Orthonormal basis of the discrete cosine transform of 8 samples, `[8, 8]`."""
    k, n = np.mgrid[0:8, 0:8]
    basis = np.sqrt(0.25) * np.cos(np.pi * (2 * n + 1) * k / 16)
    basis[0] = np.sqrt(0.125)
    return np.asarray(basis, np.float32)


def quantise_blocks(image: Image, step: float) -> Image:
    """Quantise the cosine coefficients of 8 x 8 blocks, as JPEG does; the side must be a multiple of 8.

    `step` is the quantisation step of the finest luma coefficient; the coarsest has a tenth of it.
    """
    n = len(image) // 8
    luma = image @ np.array([0.3, 0.59, 0.11], np.float32)
    planes = np.stack([luma, image[..., 0] - luma, image[..., 2] - luma])
    blocks = planes.reshape(3, n, 8, n, 8).transpose(0, 1, 3, 2, 4)
    basis = cosine_basis()
    steps = step * (0.1 + 0.9 * np.add.outer(np.arange(8), np.arange(8)) / 14).astype(np.float32)
    scale = np.stack([steps, 2 * steps, 2 * steps])[:, None, None]
    coefficients = np.round(basis @ blocks @ basis.T / scale) * scale
    planes = (basis.T @ coefficients @ basis).transpose(0, 1, 3, 2, 4).reshape(planes.shape)
    luma, red, blue = planes
    green = luma - (0.3 * red + 0.11 * blue) / 0.59
    return np.stack([luma + red, green, luma + blue], -1)


def photograph(image: Image, rng: np.random.Generator) -> Image:
    """Apply random blur, tone, noise and compression; the result is in [0, 1]."""
    chance = rng.random(6)
    if chance[0] < 0.75:
        image = soften(image, float(rng.choice([0.45, 0.6, 0.8, 1.1, 1.5, 2.0], p=[0.3, 0.25, 0.2, 0.13, 0.08, 0.04])))
    if chance[1] < 0.06:
        image = soften(image, rng.uniform(1, 3), (int(rng.integers(2)),))
    # A table is several times faster than a general power.
    curve = np.linspace(0, 2, 4097, dtype=np.float32) ** np.float32(np.exp(0.18 * rng.standard_normal()))
    image = curve[np.clip(image * 2048, 0, 4096).astype(np.int32)]
    image *= 1 + 0.05 * rng.standard_normal(3).astype(np.float32)
    mean = image.mean()
    image = mean + (image - mean) * np.float32(np.exp(0.18 * rng.standard_normal()))
    image += np.float32(rng.uniform(-0.04, 0.06))
    grey = image @ np.array([0.3, 0.59, 0.11], np.float32)
    if chance[2] < 0.07:
        tone = 1 + rng.uniform(0, 0.1) * np.array([1, 0.2, -1]) * (rng.random() < 0.4)
        image = grey[..., None] * tone.astype(np.float32)
    else:
        image = grey[..., None] + (image - grey[..., None]) * np.float32(np.exp(0.2 * rng.standard_normal()))
    if chance[3] < 0.7:
        noise = rng.standard_normal(image.shape, np.float32)
        if chance[4] < 0.5:
            noise = noise[..., :1] + 0.3 * noise
        image = image + np.float32(0.03 * rng.random() ** 2) * noise
    if chance[5] < 0.4 and len(image) % 8 == 0:
        image = quantise_blocks(image, rng.uniform(0.05, 0.35))
    return np.clip(image, 0, 1)
