"""A predictor and other processes: forks are refused, and it travels to others by pickling."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flaxmark.errors import CheckpointError
from flaxmark.inference.predictor import Predictor

BOX = [20.0, 20, 90, 90]
POOLS = """
import multiprocessing, sys, warnings
import numpy as np
import flaxmark
from flaxmark.errors import DeviceError, FlaxmarkError

IMAGE = np.arange(120 * 120 * 3, dtype=np.uint32).astype(np.uint8).reshape(120, 120, 3)

def kind_of_error(_):
    try:
        flaxmark.predict(IMAGE, [20, 20, 90, 90])
    except FlaxmarkError as error:
        return type(error).__name__, str(error)

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # JAX warns of the fork
    predictor = flaxmark.Predictor()
    (face,) = predictor.predict(IMAGE, [20, 20, 90, 90])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        name, text = pool.apply_async(kind_of_error, (0,)).get(60)
        assert name == "DeviceError" and "spawn" in text, (name, text)
        try:
            pool.apply_async(predictor.predict, (IMAGE,)).get(60)
        except DeviceError:
            pass
        else:
            raise AssertionError
        try:
            pool.apply_async(face.aligned, (IMAGE,)).get(60)
        except DeviceError:
            pass
        else:
            raise AssertionError
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        ((other,),) = pool.starmap_async(predictor.predict, [(IMAGE, [20, 20, 90, 90])]).get(200)
    np.testing.assert_array_equal(face.landmarks, other.landmarks)
    print("same")
"""


def test_pools_of_processes(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "pools.py").write_text(POOLS)
    done = subprocess.run(
        [sys.executable, tmp_path / "pools.py"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "same\n", done.stderr


def faces_of(image: np.ndarray) -> np.ndarray:
    return np.array([BOX])


def test_a_pickled_predictor_is_its_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("flaxmark.inference.network._compile_forward", lambda *_: None)
    original = Predictor(detector=faces_of, min_score=0.25)
    content = pickle.dumps(original)
    assert len(content) < 2000
    copy = pickle.loads(content)
    assert pickle.loads(content) is copy  # a pool that sends it with each task loads it once
    assert copy is not original
    assert "network" not in copy.__dict__  # yet
    boxes, _ = copy.detect(np.zeros((120, 120, 3), np.uint8))
    np.testing.assert_array_equal(boxes, [BOX])
    assert copy._min_score == 0.25
    assert copy.markup == original.markup
    assert pickle.loads(pickle.dumps(copy)).max_megapixels == original.max_megapixels
    with pytest.raises(AttributeError):
        copy.nothing  # noqa: B018
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(Predictor(detector=lambda image: image))


def test_a_model_that_has_gone_is_missed_at_the_first_use(tmp_path: Path) -> None:
    copy = Predictor.__new__(Predictor)
    copy._settings = {"checkpoint": tmp_path / "gone.safetensors"}
    for _ in range(2):
        with pytest.raises(CheckpointError):
            copy.predict(np.zeros((9, 9, 3), np.uint8), BOX)
