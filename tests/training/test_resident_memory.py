"""Resident memory of long work."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT, TESTS, Environment
from helpers.fixture_300w import format_pts
from helpers.images import draw, encode
from helpers.resident_memory import STATUS, resident
from helpers.runs import LINE, steps
from PIL import Image

pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(not STATUS.exists(), reason="needs Linux"),
]


def test_training_holds_no_more_after_500_steps(environment: Environment, tmp_path: Path) -> None:
    changed = {"--data.drawn-train": "800", "--train.epochs": "5", "--train.save-every": "50"}
    line = [*LINE, "--workdir", str(tmp_path / "run")]
    for flag, value in changed.items():
        line[line.index(flag) + 1] = value
    peaks: dict[int, int] = {}  # of each epoch: saves come and go
    with subprocess.Popen(line, cwd=ROOT, env=environment, text=True, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (done := steps(tmp_path / "run")) < 500:
            peaks[done // 100] = max(resident(process.pid), peaks.get(done // 100, 0))
            time.sleep(0.05)
    assert process.returncode == 0
    print([f"{size / 1e6:.0f} MB" for size in peaks.values()])
    assert list(peaks) == [0, 1, 2, 3, 4]
    assert max(peaks[3], peaks[4]) < 1.02 * max(peaks[1], peaks[2])


def test_images_of_12_megapixels_are_prepared_in_2_gb(environment: Environment, tmp_path: Path) -> None:
    for seed in range(40):
        image, points = draw(seed, 300)
        large = Image.fromarray(image).resize((4000, 3000))
        scale = np.array([4000, 3000]) / np.array(image.shape[1::-1])
        (tmp_path / f"{seed}.jpg").write_bytes(encode(large, "JPEG"))
        (tmp_path / f"{seed}.pts").write_bytes(format_pts(points * scale, 0))
    code = (
        "import sys; from helpers.resident_memory import peak; from flaxmark.data.config import DataConfig; "
        "from flaxmark.data.prepare.prepare import prepare; "
        "print(sum(prepare(DataConfig('pts', dir=sys.argv[1], prepared_dir=sys.argv[1] + '/p')).counts.values()), "
        "peak())"
    )
    line = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(line, cwd=TESTS, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    faces, size = map(int, done.stdout.split())
    print(f"{size / 1e9:.2f} GB")
    assert faces == 40
    assert size < 2e9
