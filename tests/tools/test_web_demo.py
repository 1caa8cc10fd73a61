import http.client
import io
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.images import draw
from helpers.ports import free_port
from PIL import Image

from flaxmark.data.config import DataConfig
from flaxmark.errors import ConfigError, DetectorError, ImageError
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.predictor import Face
from flaxmark.tools.demo import server as demo
from flaxmark.tools.demo.answers import MAX_SHOWN, Options, answer_image
from flaxmark.tools.demo.examples import EXAMPLES
from flaxmark.tools.demo.server import LIMITS, DemoServer, serving

POINTS = np.random.default_rng(0).uniform(12, 38, (68, 2))


class FakePredictor:
    """As many faces as the image's red says, with scores 0.9, 0.8 and so on; a crop has one."""

    metadata = {"terms": "free <b>"}  # noqa: RUF012
    max_megapixels = DataConfig().max_megapixels
    markup = IBUG_68

    def predict(self, image: np.ndarray, boxes: Any = None) -> list[Face]:
        if image[0, 0, 1] == 99:
            raise DetectorError("no face detector is installed", field="detector")
        box = np.array([10.0, 10, 40, 40])
        if isinstance(boxes, np.ndarray):
            return [Face(POINTS, box, 0.9, np.ones(68)) for _ in boxes]
        count = 1 if boxes is not None else int(image[0, 0, 0])
        scores = [0.3] if boxes is not None else [round(0.9 - 0.1 * index, 1) for index in range(count)]
        return [Face(POINTS, box, score, np.ones(68)) for score in scores]

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, list[float]]:
        return np.array([[10.0, 10, 40, 40]]), [0.9]


def image(faces: int, green: int = 0) -> np.ndarray:
    image = np.zeros((60, 80, 3), np.uint8)
    image[0, 0] = faces, green, 0
    return image


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def answer(pixels: Any, min_score: float = 0.5, is_crop: bool = False) -> Any:
    predictor: Any = FakePredictor()
    return answer_image(predictor, pixels, Options(min_score, is_crop))


def test_faces_are_drawn_counted_and_listed() -> None:
    seen, file = answer(image(2))
    assert seen.message.startswith("2 faces")
    assert (seen.result["width"], seen.result["height"], seen.result["terms"]) == (80, 60, "free <b>")
    assert [face["score"] for face in seen.result["faces"]] == [0.9, 0.8]
    with Image.open(io.BytesIO(file)) as drawn:
        assert (drawn.format, drawn.size) == ("JPEG", (80, 60))
        assert np.asarray(drawn).max() > 100
    assert answer(image(1))[0].message == "One face."
    assert answer(image(0))[0].message.startswith("No face found")
    assert answer(image(0))[0].result["faces"] == []
    with Image.open(io.BytesIO(answer(np.zeros((10, 3000, 3), np.uint8))[1])) as reduced:
        assert reduced.width == MAX_SHOWN


def test_the_minimum_score_hides_faces_and_says_so() -> None:
    seen, _ = answer(image(3), 0.75)
    assert [face["score"] for face in seen.result["faces"]] == [0.9, 0.8]
    assert "1 more" in seen.message
    none, drawn = answer(image(3), 1.0)
    assert "3 below" in none.message
    assert none.result["faces"] == []
    assert np.asarray(Image.open(io.BytesIO(drawn))).max() < 30  # nothing is drawn
    assert answer(image(10), 0.05)[0].message.startswith("9 faces")  # the last one's score is 0
    assert len(answer(image(0), 0.9, is_crop=True)[0].result["faces"]) == 1  # the user says that it is one
    assert len(answer(image(3), 0.0)[0].result["faces"]) == 3


def test_images_that_cannot_be_used() -> None:
    with pytest.raises(ImageError):
        answer(b"no image")
    with pytest.raises(ImageError):
        answer(np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (20_000, 20_000, 3)))


def test_examples_are_drawn_faces() -> None:
    for example in EXAMPLES:
        assert example.description
    with Image.open(io.BytesIO(EXAMPLES[0].draw())) as drawn:
        assert drawn.format == "JPEG"
        assert 200 < drawn.width == drawn.height


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoServer]:
    monkeypatch.setattr(demo, "EXAMPLES", EXAMPLES[:1])
    predictor: Any = FakePredictor()
    with serving(predictor, free_port()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
    assert not server.folder.exists()


def ask(
    server: DemoServer, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def parts(content: bytes) -> tuple[list[dict], bytes]:
    """Lines of JSON, and the file after the last of them."""
    lines = []
    while True:
        line, _, content = content.partition(b"\n")
        lines.append(json.loads(line))
        if "type" in lines[-1] or "error" in lines[-1]:
            return lines, content


def test_the_first_screen_has_examples_and_settings_but_no_json(server: DemoServer) -> None:
    status, headers, content = ask(server, "GET", "/")
    page = content.decode()
    assert status == 200
    assert "free &lt;b&gt;" in page
    assert '<meta name="viewport" content="width=device-width' in page
    assert "<title>flaxmark" in page
    assert '<input type="range" id="score" min="0" max="1"' in page
    assert re.search(r'<details id="details" hidden>', page)
    assert page.count('role="tab"') == page.count('role="tabpanel"') == 3
    for tag in re.findall(r"<img[^>]*>", page):
        assert " alt=" in tag
    # Everything that it loads comes from here.
    assert "//" not in re.sub(r"<!.*?>", "", page)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for name in re.findall(r'(?:src|href)="([^"]+)"', page):
        status, _, content = ask(server, "GET", f"/{name}")
        assert status == 200, name
        assert b"http://" not in content.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in content
    _, _, example = ask(server, "GET", "/examples/0.jpg")
    assert example[:2] == b"\xff\xd8"


def test_an_upload_is_answered_at_once(server: DemoServer) -> None:
    status, _, content = ask(server, "POST", "/image?min_score=0.85&crop=no", png(image(2)))
    (line,), file = parts(content)
    assert status == 200
    assert [face["score"] for face in line["result"]["faces"]] == [0.9]
    assert (line["type"], line["bytes"]) == ("image/jpeg", len(file))
    _, _, content = ask(server, "POST", "/image?crop=yes", png(image(0)))
    assert len(parts(content)[0][0]["result"]["faces"]) == 1
    for body, reason in ((b"no image", "image"), (png(image(1, 99)), "detector")):
        status, _, content = ask(server, "POST", "/image", body)
        assert status == 422
        assert reason in json.loads(content)["error"]


def test_files_of_the_machine_and_requests_of_others_are_refused(server: DemoServer) -> None:
    for path in ("/../pyproject.toml", "/etc/passwd", "/file=/etc/passwd", "/index.html", "/page/index.html"):
        assert ask(server, "GET", path)[0] == 404
    assert ask(server, "POST", "/elsewhere", b"x")[0] == 404
    assert ask(server, "POST", "/image", png(image(1)), {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert ask(server, "POST", "/image", png(image(1)), {"Sec-Fetch-Site": "same-origin"})[0] == 200
    for score in ("2", "-1", "nan", "x"):
        assert ask(server, "POST", f"/image?min_score={score}", png(image(1)))[0] == 400
    for path, limit in LIMITS.items():
        assert ask(server, "POST", path, None, {"Content-Length": str(limit + 1)})[0] == 413
        assert ask(server, "POST", path, None, {"Content-Length": "x"})[0] == 411


def test_slow_and_too_many_uploads_are_ended(server: DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "UPLOAD_SECONDS", 0.2)
    with socket.create_connection(server.server_address[:2], 10) as slow:  # type: ignore[arg-type]
        slow.sendall(b"POST /video HTTP/1.0\r\nContent-Length: 100\r\n\r\n")
        for _ in range(2):
            slow.sendall(b"x")
            time.sleep(0.25)
        assert slow.recv(1) == b""
    for _ in range(demo.MAX_UPLOADS):
        assert server.slots["/image"].acquire(blocking=False)
    assert ask(server, "POST", "/image", png(image(1)))[0] == 503
    for _ in range(demo.MAX_UPLOADS):
        server.slots["/image"].release()
    assert ask(server, "POST", "/image", png(image(1)))[0] == 200
    assert not list(server.folder.iterdir())


def test_a_video_is_tracked_with_progress_and_leaves_nothing(server: DemoServer, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "film.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for seed in range(4):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(draw(seed, 64)[0], format="rgb24")))
        film.mux(stream.encode())
    status, _, content = ask(server, "POST", "/video", (tmp_path / "film.mp4").read_bytes())
    lines, file = parts(content)
    assert status == 200
    assert [line.get("frames") for line in lines] == [1, 2, 3, 4, None]
    assert (lines[-1]["type"], lines[-1]["bytes"]) == ("video/mp4", len(file))
    with av.open(io.BytesIO(file)) as drawn:
        assert sum(1 for _ in drawn.decode(video=0)) == 4
    status, _, content = ask(server, "POST", "/video", b"no video")
    assert status == 422
    assert str(server.folder) not in json.loads(content)["error"]
    assert not list(server.folder.iterdir())


def test_a_visitor_who_leaves_ends_the_video(server: DemoServer, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "film.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(500):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        film.mux(stream.encode())
    body = (tmp_path / "film.mp4").read_bytes()
    with socket.create_connection(server.server_address[:2], 10) as visitor:  # type: ignore[arg-type]
        visitor.sendall(b"POST /video HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert visitor.recv(8) == b"HTTP/1.0"
    end = time.monotonic() + 10
    while list(server.folder.iterdir()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not list(server.folder.iterdir())
    assert server.slots["/video"].acquire(blocking=False)
    server.slots["/video"].release()


def test_only_this_machine_and_one_server_a_port(server: DemoServer) -> None:
    host, port = server.server_address[:2]
    assert host == "127.0.0.1"
    predictor: Any = FakePredictor()
    with pytest.raises(ConfigError) as caught, serving(predictor, port):
        pass
    assert (caught.value.field, caught.value.value) == ("port", port)
    # A server on all interfaces would answer here, too.
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 5):
        pass
