import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.ndimage import convolve

from flaxmark.data.drawn import FaceParameters, draw, sample_parameters
from flaxmark.data.drawn.head.pose import View
from flaxmark.data.drawn.head.shape import Head
from flaxmark.evaluation.face_traits import head_yaw, sharpness


def points_of(parameters: FaceParameters) -> np.ndarray:
    return View(Head(parameters), 160).landmarks


@pytest.mark.parametrize("yaw", [-50, -20, 0, 10, 35])
def test_yaw_of_the_mean_head_is_found(yaw: float) -> None:
    assert head_yaw(points_of(FaceParameters(yaw=yaw, distance=1000))) == pytest.approx(yaw, abs=0.5)


def test_yaw_of_other_people_is_found_nearly() -> None:
    faces = [sample_parameters(np.random.default_rng(seed)) for seed in range(60)]
    found = head_yaw(np.stack([points_of(face) for face in faces]))
    assert np.abs(found - [face.yaw for face in faces]).mean() < 5


def test_mirrored_faces_look_the_other_way() -> None:
    points = points_of(FaceParameters(yaw=25))
    mirrored = points_of(FaceParameters(yaw=-25))
    assert head_yaw(points) == pytest.approx(-head_yaw(mirrored), abs=1e-6)


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


def test_yaw_is_found_from_the_points_that_are_there() -> None:
    points = np.stack([points_of(FaceParameters(yaw=yaw, distance=1000)) for yaw in (-30, 20, 20)])
    points[1, 17:68][np.random.default_rng(0).uniform(size=51) < 0.4] = np.nan
    points[2, 20:] = np.nan
    points[0, 3] = np.nan  # of the jaw, which is not used
    yaw = head_yaw(points)
    assert yaw[:2] == pytest.approx([-30, 20], abs=0.5)
    assert np.isnan(yaw[2])
    assert np.isnan(head_yaw(points[2]))
