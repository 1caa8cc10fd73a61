import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.ndimage import convolve

from flaxmark.data.drawn import FaceParameters, draw
from flaxmark.evaluation.sharpness import sharpness


def laplacian_ratio(image: np.ndarray) -> float:
    """The definition, in NumPy and float64."""
    grey = image.astype(np.float64).mean(axis=-1)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    return float(convolve(grey, kernel)[1:-1, 1:-1].var() / grey[1:-1, 1:-1].var())


def test_sharpness_is_that_of_the_paper_and_contrast_does_not_count() -> None:
    image, _ = draw(dataclasses.replace(FaceParameters(), detail_seed=3), 112)
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1)))
    sharp, dull = (float(sharpness(jnp.asarray(pixels, jnp.float32))) for pixels in (image, blurred))
    assert sharp == pytest.approx(laplacian_ratio(image), rel=1e-4)
    assert dull == pytest.approx(laplacian_ratio(blurred), rel=1e-4)
    assert dull < 0.5 * sharp
    assert float(sharpness(jnp.asarray(0.5 * image + 9, jnp.float32))) == pytest.approx(sharp, rel=1e-4)
    assert float(sharpness(jnp.zeros((8, 8, 3)))) == 0
