"""The model that comes with the package: what docs/results/model_card.md promises."""

import os
from pathlib import Path

import numpy as np
import pytest

import flaxmark
from flaxmark.data.config import DataConfig
from flaxmark.data.drawn import draw_face
from flaxmark.data.images import read_image
from flaxmark.data.prepare.sources import find_data_dir
from flaxmark.data.readers.listing import read_listing
from flaxmark.evaluation.metrics import nme
from flaxmark.faces.crop import landmark_box
from flaxmark.inference.network import SHIPPED

SEEDS = range(2_000_000_000, 2_000_000_024)  # test faces: never trained on
MOUTH = slice(48, 68)


@pytest.fixture(scope="module")
def predictor() -> flaxmark.Predictor:
    return flaxmark.Predictor()


@pytest.fixture(scope="module")
def drawn() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw_face(seed) for seed in SEEDS]


def seen(predictor: flaxmark.Predictor, faces: list[tuple[np.ndarray, np.ndarray]]) -> list[flaxmark.Face]:
    images, boxes = [image for image, _ in faces], [landmark_box(points) for _, points in faces]
    return [face for (face,) in predictor.predict_many(images, boxes)]


def test_it_is_small_and_says_where_it_comes_from(predictor: flaxmark.Predictor) -> None:
    assert SHIPPED.stat().st_size < 15e6
    assert predictor.network.config.data.name == "drawn_faces"
    assert predictor.markup.name == "ibug_68"


def test_no_checkpoint_need_be_named(drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    image, points = drawn[0]
    (face,) = flaxmark.predict(image, landmark_box(points))
    assert face.landmarks.shape == (68, 2)
    (many,) = flaxmark.predict_many([image], [landmark_box(points)])
    np.testing.assert_allclose(many[0].landmarks, face.landmarks, atol=1e-3)


def test_drawn_faces(predictor: flaxmark.Predictor, drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = np.stack([face.landmarks for face in seen(predictor, drawn)])
    assert nme(found, np.stack([points for _, points in drawn])).mean() < 5


# Seed, side in pixels and columns cut off -> chin, nose, outer eye corners and corners of the mouth, as found when the
# weights were made. One face reaches over the border, and one is shrunk first.
GOLDEN_POINTS = [8, 30, 36, 45, 48, 54]
GOLDEN = {
    (SEEDS[0], 60, 0): "34.47 43.37 35.18 29.16 27.08 22.28 41.33 22.15 29.83 34.58 38.22 34.11",
    (SEEDS[1], 180, 0): "76.06 132.59 78.11 89.64 58.14 68.15 107.89 73.03 61.74 104.55 95.97 109.52",
    (SEEDS[2], 220, 70): "59.59 154.76 66.76 112.13 23.40 91.32 74.11 81.65 39.99 134.15 72.99 125.84",
    (SEEDS[3], 480, 0): "262.03 328.81 253.48 229.98 180.30 192.74 299.11 173.47 207.64 267.77 295.51 251.06",
}


@pytest.mark.parametrize("face", GOLDEN)
def test_landmarks_stay_what_they_were(predictor: flaxmark.Predictor, face: tuple[int, int, int]) -> None:
    seed, side, cut = face
    image, points = draw_face(seed, side)
    (found,) = predictor.predict(image[:, cut:], landmark_box(points - [cut, 0]))
    expected = np.fromstring(GOLDEN[face], sep=" ").reshape(-1, 2)
    np.testing.assert_allclose(found.landmarks[GOLDEN_POINTS], expected, atol=0.02)


def test_it_is_less_sure_of_points_that_are_covered(
    predictor: flaxmark.Predictor, drawn: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    hidden = []
    for image, points in drawn:
        (left, top), (right, bottom) = points[MOUTH].min(0).astype(int) - 3, points[MOUTH].max(0).astype(int) + 4
        covered = image.copy()
        covered[top:bottom, left:right] = 110
        hidden.append((covered, points))
    before, after = (np.stack([face.sigma for face in seen(predictor, faces)]) for faces in (drawn, hidden))  # type: ignore[arg-type]
    ratio = np.median(after / before, axis=0)
    assert ratio[MOUTH].mean() > 1.3
    assert ratio[36:48].mean() < ratio[MOUTH].mean()


def test_it_tells_faces_from_none(predictor: flaxmark.Predictor, drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    rng = np.random.default_rng(0)
    noise = [(rng.integers(0, 256, image.shape, dtype=np.uint8), points) for image, points in drawn]
    faces, others = ([face.score or 0.0 for face in seen(predictor, kind)] for kind in (drawn, noise))
    assert np.mean(faces) > 0.8
    assert np.mean(others) < 0.2


@pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")
def test_real_photographs(predictor: flaxmark.Predictor) -> None:
    config = DataConfig(train_list="train.txt", validation_list="val.txt")
    root: Path = find_data_dir(config)
    entries = [entry for entry in read_listing(config, root).entries if entry.split == "validation"]
    faces = [(read_image(root / entry.file, orient=False), entry.landmarks_px) for entry in entries]
    found = np.stack([face.landmarks for face in seen(predictor, faces)])
    error = nme(found, np.stack([points for _, points in faces])).mean()
    assert error < 5.0
