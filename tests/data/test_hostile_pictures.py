"""Whatever file comes under a picture's name: faces or one clear line, soon and in little memory."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.hostile_pictures import hostile_pictures
from test_memory import peak

import flaxmark
from flaxmark.data.images import PictureError, read_picture
from flaxmark.faces.crop import landmark_box

SECONDS, GROWTH = 3.0, 400e6  # 64 megapixels, decoded twice


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile")
    for name, content in hostile_pictures():
        assert not (path / name).exists()
        (path / name).write_bytes(content)
    assert len(list(path.iterdir())) >= 200
    return path


def read_all(folder: Path) -> None:
    """Run in a process of its own, whose memory is measured."""
    read_picture(np.zeros((8, 8, 3), np.uint8))
    before = peak()
    count: Counter[str] = Counter()
    for path in sorted(folder.iterdir()):
        start = time.perf_counter()
        try:
            picture = read_picture(path)
            assert picture.dtype == np.uint8
            assert picture.ndim == 3
            count["read"] += 1
        except PictureError as error:
            text = str(error)
            assert text.startswith(f"{path}: "), text
            assert "\n" not in text
            assert len(text) < len(str(path)) + 300
            count["refused"] += 1
        assert time.perf_counter() - start < SECONDS, path
    growth = peak() - before
    print(count["read"], count["refused"], growth)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_each_is_read_or_refused_soon_and_in_little_memory(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from test_hostile_pictures import read_all; read_all(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    read, refused, growth = map(int, done.stdout.split())
    assert read > 80
    assert refused > 80
    assert growth < GROWTH


def test_predict_finds_faces_or_says_why_not(folder: Path) -> None:
    predictor = flaxmark.Predictor(detector=lambda picture: np.array([[0, 0, *picture.shape[1::-1]]], float))
    for path in sorted(folder.iterdir()):
        try:
            faces = predictor.predict(path)
        except PictureError as error:
            assert "\n" not in str(error)
        else:
            assert all(np.isfinite(face.landmarks).all() for face in faces)
            assert all(np.isfinite(landmark_box(face.landmarks)).all() for face in faces)
