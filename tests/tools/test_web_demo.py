import asyncio
import contextlib
import gc
import io
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.images import draw
from helpers.ports import free_port
from PIL import Image

from flaxmark.data.config import DataConfig
from flaxmark.errors import USER_ERROR, ConfigError, DetectorError, ImageError, explain
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.predictor import Face
from flaxmark.tools.demo import answers
from flaxmark.tools.demo.answers import MAX_SHOWN, Shown, draw_video, find_faces, show_faces
from flaxmark.tools.demo.examples import EXAMPLES

POINTS = np.random.default_rng(0).uniform(12, 38, (68, 2))


class FakePredictor:
    """As many faces as the image's red says, with scores 0.9, 0.8 and so on; a crop has one."""

    metadata = {"terms": "free <b>"}  # noqa: RUF012
    max_megapixels = DataConfig().max_megapixels
    markup = IBUG_68
    calls = 0

    def predict(self, image: Any, boxes: Any = None) -> list[Face]:
        self.calls += 1
        pixels = answers.read_image(image, self.max_megapixels)
        if pixels[0, 0, 1] == 99:
            raise DetectorError("no face detector is installed", field="detector")
        box = np.array([10.0, 10, 40, 40])
        if isinstance(boxes, np.ndarray):
            return [Face(POINTS, box, 0.9, np.ones(68)) for _ in boxes]
        count = 1 if boxes is not None else min(int(pixels[0, 0, 0]), 10)
        scores = [0.3] if boxes is not None else [round(0.9 - 0.1 * index, 1) for index in range(count)]
        return [Face(POINTS, box, score, np.ones(68)) for score in scores]

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, list[float]]:
        return np.array([[10.0, 10, 40, 40]]), [0.9]


@pytest.fixture
def predictor() -> Any:
    return FakePredictor()


def image(faces: int, green: int = 0) -> np.ndarray:
    image = np.zeros((60, 80, 3), np.uint8)
    image[0, 0] = faces, green, 0
    return image


def show(predictor: Any, pixels: Any, min_score: float = 0.5, is_crop: bool = False) -> Shown:
    return show_faces(predictor, find_faces(predictor, pixels, is_crop), min_score)


def scores(text: str) -> list[float]:
    return [face["score"] for face in json.loads(text)["faces"]]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "film.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for seed in range(4):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(draw(seed, 64)[0], format="rgb24")))
        film.mux(stream.encode())
    return tmp_path / "film.mp4"


def count_frames(path: Path) -> int:
    av = pytest.importorskip("av")
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_faces_are_drawn_counted_and_listed(predictor: Any) -> None:
    shown = show(predictor, image(2))
    about = json.loads(shown.text)
    assert shown.message.startswith("2 faces")
    assert (about["width"], about["height"], about["terms"]) == (80, 60, "free <b>")
    assert scores(shown.text) == [0.9, 0.8]
    assert shown.image.size == (80, 60)
    assert np.asarray(shown.image).max() > 100
    assert show(predictor, image(1)).message == "One face."
    none = show(predictor, image(0))
    assert none.message.startswith("No face found")
    assert none.text == ""
    assert show(predictor, np.zeros((10, 3000, 3), np.uint8)).image.width == MAX_SHOWN


def test_the_minimum_score_hides_faces_without_another_prediction(predictor: Any) -> None:
    found = find_faces(predictor, image(3))
    some, none = show_faces(predictor, found, 0.75), show_faces(predictor, found, 1.0)
    assert predictor.calls == 1
    assert scores(some.text) == [0.9, 0.8]
    assert "1 more" in some.message
    assert "3 below" in none.message
    assert none.text == ""
    assert np.asarray(none.image).max() < 30  # nothing is drawn
    assert len(scores(show_faces(predictor, found, 0.0).text)) == 3
    assert len(scores(show(predictor, image(0), 0.9, is_crop=True).text)) == 1  # the user says that it is one


def test_images_that_cannot_be_used(predictor: Any) -> None:
    with pytest.raises(ImageError):
        show(predictor, b"no image")
    with pytest.raises(ImageError):
        show(predictor, np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (20_000, 20_000, 3)))


def test_examples_are_drawn_faces() -> None:
    assert len({example.name for example in EXAMPLES}) == len(EXAMPLES)
    with Image.open(io.BytesIO(EXAMPLES[0].draw())) as drawn:
        assert drawn.format == "JPEG"
        assert 200 < drawn.width == drawn.height


def test_a_video_is_tracked_up_to_the_limit(
    predictor: Any, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *lines, last = draw_video(predictor, film, tmp_path / "faces.mp4", 0.5)
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert last == "4 frames with 4 faces."
    assert count_frames(tmp_path / "faces.mp4") == 4
    monkeypatch.setattr(answers, "MAX_FRAMES", 2)
    *lines, last = draw_video(predictor, film, tmp_path / "short.mp4", 0.5)
    assert len(lines) == 2
    assert "Stopped after 2 frames" in last
    assert count_frames(tmp_path / "short.mp4") == 2
    (tmp_path / "none.mp4").write_bytes(b"no video")
    with pytest.raises(ImageError):
        list(draw_video(predictor, tmp_path / "none.mp4", tmp_path / "x.mp4", 0.5))


def test_a_video_that_is_stopped_leaves_nothing(predictor: Any, film: Path, tmp_path: Path) -> None:
    lines: Any = draw_video(predictor, film, tmp_path / "faces.mp4", 0.5)
    next(lines)
    lines.close()
    assert list(tmp_path.iterdir()) == [film]


def test_without_gradio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "flaxmark.tools.demo.page", raising=False)
    with pytest.raises(ModuleNotFoundError) as caught:
        import flaxmark.tools.demo.page  # noqa: F401
    assert explain(caught.value) == USER_ERROR
    assert "flaxmark[demo]" in capsys.readouterr().err


@contextlib.contextmanager
def served(predictor: Any) -> Iterator[tuple[Any, Any, int]]:
    """Gradio's blocks, a client of the page, and its port; when it ends its files are gone."""
    pytest.importorskip("gradio")
    client = pytest.importorskip("gradio_client")
    from flaxmark.tools.demo.page import serving

    port = free_port()
    with serving(predictor, port) as blocks:
        folder = Path(os.environ["GRADIO_TEMP_DIR"]).parent
        caller = client.Client(f"http://127.0.0.1:{port}", verbose=False, download_files=False)
        yield blocks, caller, port
        assert list(folder.iterdir())
        caller.close()
    assert not folder.exists()
    asyncio.set_event_loop(None)  # Gradio leaves one, unclosed
    gc.collect()


@pytest.mark.filterwarnings("ignore")  # of Gradio's own
def test_faces_of_the_camera(predictor: Any, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    from flaxmark.tools.demo.page import Events

    events = Events(predictor, tmp_path)
    drawn, message = events.frame(image(3), 0.75)
    assert drawn.size == (80, 60)
    assert message.startswith("2 faces")
    assert events.frame(image(1, 99), 0.5)[1].startswith("Error: ")
    assert events.frame(None, 0.5)[1] == ""


@pytest.mark.filterwarnings("ignore")  # of Gradio's own
def test_the_page(predictor: Any, film: Path, tmp_path: Path) -> None:
    with served(predictor) as (blocks, client, port):
        _images_and_videos(client, film, tmp_path)
        _only_this_machine(blocks, predictor, port, tmp_path)


def _images_and_videos(client: Any, film: Path, tmp_path: Path) -> None:
    from gradio_client import handle_file

    Image.fromarray(image(3)).save(tmp_path / "three.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "three.png").read_bytes()[:50])
    drawn, message, text = client.predict(handle_file(tmp_path / "three.png"), 0.75, False, api_name="/image")
    assert drawn["path"]
    assert message.startswith("2 faces")
    assert scores(text) == [0.9, 0.8]
    *_, text = client.predict(0.0, api_name="/score")  # the slider, for the image that is shown
    assert scores(text) == [0.9, 0.8, 0.7]
    *_, text = client.predict(0.5, True, api_name="/crop")
    assert scores(text) == [0.3]
    drawn, message, text = client.predict(handle_file(tmp_path / "broken.png"), 0.5, False, api_name="/image")
    assert (drawn, text) == (None, "")
    assert message.startswith("Error: ")
    assert str(tmp_path) not in message
    assert "\n" not in message
    drawn, message, *_ = client.predict(0.5, api_name="/first")
    assert drawn["path"]
    assert "faces" in message
    drawn, message = client.predict(handle_file(film), 0.5, api_name="/video")
    assert message == "4 frames with 4 faces."
    assert drawn["visible"] is True
    assert drawn["value"]["path"].endswith(".mp4")
    (tmp_path / "broken.mp4").write_bytes(film.read_bytes()[:100])
    drawn, message = client.predict(handle_file(tmp_path / "broken.mp4"), 0.5, api_name="/video")
    assert drawn["visible"] is False
    assert message.startswith("Error: ")


def _only_this_machine(blocks: Any, predictor: Any, port: int, tmp_path: Path) -> None:
    from flaxmark.tools.demo.page import serving

    address = f"http://127.0.0.1:{port}"
    with urllib.request.urlopen(address) as answer:
        assert b"flaxmark: facial landmarks" in answer.read()
    with urllib.request.urlopen(f"{address}/favicon.ico") as answer:
        assert answer.headers["Content-Type"] == "image/svg+xml"
    assert blocks.share is False
    assert blocks.analytics_enabled is False
    for path in (__file__, "/etc/passwd"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/gradio_api/file={path}")
        refused.value.close()
        assert refused.value.code == 403
    # A request that names a file of the machine instead of uploading one.
    (tmp_path / "secret.png").write_bytes((tmp_path / "three.png").read_bytes())
    secret = {"path": str(tmp_path / "secret.png"), "meta": {"_type": "gradio.FileData"}}
    asked = urllib.request.Request(
        f"{address}/gradio_api/call/image",
        json.dumps({"data": [secret, 0.5, False]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/call/image/{event}") as answer:
        assert answer.read().startswith(b"event: error")
    # A server on all interfaces would answer here, too.
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 5):
        pass
    with pytest.raises(ConfigError) as caught, serving(predictor, port):
        pass
    assert (caught.value.field, caught.value.value) == ("port", port)
