"""The model that comes with the package: what docs/model_card.md promises."""

import os
from pathlib import Path

import numpy as np
import pytest

import flaxmark
from flaxmark.config import DataConfig
from flaxmark.data.pictures import read_picture
from flaxmark.data.readers import read_listing
from flaxmark.data.sources import find_data_dir
from flaxmark.drawing import draw_face
from flaxmark.geometry import landmark_box
from flaxmark.metrics import nme
from flaxmark.network import SHIPPED

SEEDS = range(2_000_000_000, 2_000_000_024)  # test faces: never trained on
MOUTH = slice(48, 68)


@pytest.fixture(scope="module")
def predictor() -> flaxmark.Predictor:
    return flaxmark.Predictor()


@pytest.fixture(scope="module")
def drawn() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw_face(seed) for seed in SEEDS]


def seen(predictor: flaxmark.Predictor, faces: list[tuple[np.ndarray, np.ndarray]]) -> list[flaxmark.Face]:
    pictures, boxes = [picture for picture, _ in faces], [landmark_box(points) for _, points in faces]
    return [face for (face,) in predictor.predict_many(pictures, boxes)]


def test_it_is_small_and_says_where_it_comes_from(predictor: flaxmark.Predictor) -> None:
    assert SHIPPED.stat().st_size < 25e6
    assert predictor.network.config.data.name == "drawn_faces"
    assert predictor.markup.name == "ibug_68"


def test_no_checkpoint_need_be_named(drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    picture, points = drawn[0]
    (face,) = flaxmark.predict(picture, landmark_box(points))
    assert face.landmarks.shape == (68, 2)
    (many,) = flaxmark.predict_many([picture], [landmark_box(points)])
    np.testing.assert_allclose(many[0].landmarks, face.landmarks, atol=1e-3)


def test_drawn_faces(predictor: flaxmark.Predictor, drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = np.stack([face.landmarks for face in seen(predictor, drawn)])
    assert nme(found, np.stack([points for _, points in drawn])).mean() < 7


def test_it_is_less_sure_of_points_that_are_covered(
    predictor: flaxmark.Predictor, drawn: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    hidden = []
    for picture, points in drawn:
        (left, top), (right, bottom) = points[MOUTH].min(0).astype(int) - 3, points[MOUTH].max(0).astype(int) + 4
        covered = picture.copy()
        covered[top:bottom, left:right] = 110
        hidden.append((covered, points))
    before, after = (np.stack([face.sigma for face in seen(predictor, faces)]) for faces in (drawn, hidden))  # type: ignore[arg-type]
    ratio = np.median(after / before, axis=0)
    assert ratio[MOUTH].mean() > 1.3
    assert ratio[36:48].mean() < ratio[MOUTH].mean()


def test_it_tells_faces_from_none(predictor: flaxmark.Predictor, drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    rng = np.random.default_rng(0)
    noise = [(rng.integers(0, 256, picture.shape, dtype=np.uint8), points) for picture, points in drawn]
    faces, others = ([face.score or 0.0 for face in seen(predictor, kind)] for kind in (drawn, noise))
    assert np.mean(faces) > 0.8
    assert np.mean(others) < 0.2


@pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")
def test_real_photographs(predictor: flaxmark.Predictor) -> None:
    config = DataConfig(train_list="train.txt", validation_list="val.txt")
    root: Path = find_data_dir(config)
    entries = [entry for entry in read_listing(config, root).entries if entry.split == "validation"]
    faces = [(read_picture(root / entry.file, orient=False), entry.landmarks_px) for entry in entries]
    found = np.stack([face.landmarks for face in seen(predictor, faces)])
    error = nme(found, np.stack([points for _, points in faces])).mean()
    assert error < 9.0
