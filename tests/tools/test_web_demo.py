import json
import os
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.images import draw
from helpers.ports import free_port

from flaxmark.data.config import DataConfig
from flaxmark.errors import ConfigError, DetectorError, MissingPackageError
from flaxmark.inference.predictor import Face
from flaxmark.tools.web_demo import find_landmarks, make_page, serving


class FakePredictor:
    """As many faces as the image's red says; 0 faces of a crop are one."""

    metadata = {"terms": "free"}  # noqa: RUF012

    max_megapixels = DataConfig().max_megapixels

    def predict(self, image: np.ndarray, boxes: str | None) -> list[Face]:
        if image[0, 0, 1] == 99:
            raise DetectorError("no face detector is installed")
        count = 1 if boxes == "image" else int(image[0, 0, 0])
        box = np.array([10.0, 10, 40, 40])
        return [Face(np.full((5, 2), 20.0), box, 0.875, np.full(5, 2.0)) for _ in range(count)]


def image(faces: int, green: int = 0) -> np.ndarray:
    image = np.zeros((60, 80, 3), np.uint8)
    image[0, 0] = faces, green, 0
    return image


def see(image: Any, is_crop: bool = False) -> Any:
    predictor: Any = FakePredictor()
    return find_landmarks(predictor, image, is_crop)


def test_faces_are_painted_counted_and_listed() -> None:
    seen = see(image(2))
    assert seen.message == "2 faces, largest first. Scores: 0.88, 0.88."
    about = json.loads(seen.text)
    assert (about["width"], about["height"], about["terms"], len(about["faces"])) == (80, 60, "free", 2)
    assert about["faces"][0]["sigma"] == [2.0] * 5
    assert seen.image.shape == (60, 80, 3)
    assert (seen.image[40, 10:41] != 0).any(axis=-1).all()  # the box's lower edge
    assert not image(2)[40, 10:41].any()
    assert see(image(1)).message.startswith("One face.")
    assert see(image(0), is_crop=True).message.startswith("One face.")


def test_whatever_is_wrong_is_one_line() -> None:
    assert "Choose an image" in see(None).message
    assert see(image(0)).message.startswith("No face found")
    assert "image" in see(b"no image").message
    seen = see(image(1, 99))
    assert (seen.message, seen.image, seen.text) == ("no face detector is installed", None, "")
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (20_000, 20_000, 3))
    assert "megapixels" in see(huge).message


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    predictor: Any = FakePredictor()
    with pytest.raises(MissingPackageError, match=r"pip install 'flaxmark\[demo\]'"):
        make_page(predictor)


@pytest.mark.filterwarnings("ignore")  # of Gradio's own
def test_the_page_is_served_on_this_machine_alone_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    client = pytest.importorskip("gradio_client")
    port = free_port()
    from PIL import Image

    Image.fromarray(draw(0, 64)[0]).save(tmp_path / "x.png")
    predictor: Any = FakePredictor()
    with serving(predictor, port) as page:
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert b"flaxmark" in answer.read()
        caller = client.Client(f"http://127.0.0.1:{port}", verbose=False, download_files=str(tmp_path))
        _, message, text, _ = caller.predict(client.handle_file(tmp_path / "x.png"), True, api_name="/faces")
        assert message.startswith("One face.")
        assert json.loads(text)["width"] == 64
        assert page.share is False
        with pytest.raises(ConfigError) as caught, serving(predictor, port):
            pass
        assert (caught.value.field, caught.value.value) == ("port", port)
        # A server on all interfaces would answer here, too.
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 5):
            pass
    assert not folder.exists()
