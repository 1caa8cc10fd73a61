"""Sharpness of an image, which makes a face easy or hard."""

import jax.numpy as jnp
from jaxtyping import Array, Float

TRAIT_SIZE = 112
"""Side in pixels at which sharpness is measured, the same for all runs so that it can be compared."""


def sharpness(image: Float[Array, "height width 3"]) -> Float[Array, ""]:
    """Sharpness of an image: the variance of its Laplacian over that of its brightness; 0 for an even image.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000; divided by the variance of the
    brightness so that contrast does not count as sharpness. Only images of the same size can be compared.
    """
    grey = image.mean(axis=-1)
    grey = grey - grey.mean()  # small numbers are more precise in float32
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    spread = inner.var()
    return jnp.where(spread > 0, laplacian.var() / jnp.where(spread > 0, spread, 1.0), 0.0)
