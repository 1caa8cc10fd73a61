import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flaxmark.evaluation.plots import plot_faces, plot_systems
from flaxmark.faces.markup import IBUG_68


def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    """`$_$` would be bad mathematics, and a name of any bytes no text."""
    odd = "a$_$b " + os.fsdecode(b"caf\xe9")
    plot_systems({odd: np.array([3.0, 5.0, np.nan])}, odd, tmp_path / "systems.png")
    points = np.full((1, 68, 2), 0.5)
    face = np.zeros((32, 32, 3), np.uint8)
    plot_faces([face], points, points, IBUG_68, [odd], odd, tmp_path / "faces.png")
    for name in ("systems.png", "faces.png"):
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 200


@pytest.mark.parametrize(
    ("asked", "first", "kept"),
    [("nowhere", "", "agg"), ("svg", "", "svg"), ("svg", "import matplotlib; matplotlib.use('pdf')", "pdf")],
)
def test_the_backend_that_a_notebook_asks_for_is_neither_needed_nor_changed(asked: str, first: str, kept: str) -> None:
    code = f"""
{first}
import flaxmark.evaluation.plots, os, sys
assert "matplotlib.pyplot" not in sys.modules
import matplotlib
print(matplotlib.get_backend(), os.environ["MPLBACKEND"])
"""
    environment = os.environ | {"MPLBACKEND": asked}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100)
    assert found.stdout.split() == [kept, asked], found.stderr


def test_keras_loads_matplotlib_without_the_backend_that_a_notebook_asks_for(tmp_path: Path) -> None:
    code = "import flaxmark.data.tensorflow_setup, os; print(os.environ['MPLBACKEND'])"
    environment = os.environ | {"MPLBACKEND": "nowhere", "HOME": "", "XDG_CACHE_HOME": str(tmp_path)}
    line = [sys.executable, "-c", code]
    found = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=100)
    assert (found.stdout, found.stderr) == ("nowhere\n", "")
