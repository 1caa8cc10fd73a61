import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageFilter

from flaxmark.drawing import FaceParameters, draw, sample_parameters
from flaxmark.drawing.pose import View
from flaxmark.drawing.shape import Head
from flaxmark.face_traits import head_yaw, sharpness


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


def test_blurred_pictures_are_less_sharp_and_contrast_does_not_count() -> None:
    picture, _ = draw(dataclasses.replace(FaceParameters(), detail_seed=3), 112)
    blurred = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1)))
    assert sharpness(blurred) < 0.5 * sharpness(picture)
    assert sharpness(0.5 * picture.astype(float) + 9) == pytest.approx(sharpness(picture), rel=1e-9)
    assert sharpness(np.zeros((8, 8, 3))) == 0
