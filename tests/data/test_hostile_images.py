"""Whatever file comes under a image's name: faces or one clear line, soon and in little memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import TESTS
from helpers.hostile_images import hostile_images
from helpers.resident_memory import STATUS

import flaxmark
from flaxmark.data.images import ImageError
from flaxmark.faces.crop import landmark_box

GROWTH = 400e6  # 64 megapixels, decoded twice


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile")
    for name, content in hostile_images():
        assert not (path / name).exists()
        (path / name).write_bytes(content)
    assert len(list(path.iterdir())) >= 200
    return path


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux")
def test_each_is_read_or_refused_soon_and_in_little_memory(folder: Path) -> None:
    line = [sys.executable, "-m", "helpers.read_hostile_images", str(folder)]
    done = subprocess.run(line, cwd=TESTS, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    read, refused, growth = map(int, done.stdout.split())
    assert read > 80
    assert refused > 80
    assert growth < GROWTH


def test_predict_finds_faces_or_says_why_not(folder: Path) -> None:
    predictor = flaxmark.Predictor(detector=lambda image: np.array([[0, 0, *image.shape[1::-1]]], float))
    for path in sorted(folder.iterdir()):
        try:
            faces = predictor.predict(path)
        except ImageError as error:
            assert "\n" not in str(error)
        else:
            assert all(np.isfinite(face.landmarks).all() for face in faces)
            assert all(np.isfinite(landmark_box(face.landmarks)).all() for face in faces)
