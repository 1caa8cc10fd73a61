"""HTTP server of the demo page, without state: each upload is answered and forgotten.

Nothing is read by path: the page's own files are in memory, uploads are the bodies of requests, and only a video
touches the disk, in a temporary folder of its own.
"""

import contextlib
import html
import importlib.util
import io
import json
import shutil
import string
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

from flaxmark.errors import ConfigError, FlaxmarkError
from flaxmark.inference.detection import MIN_SCORE
from flaxmark.inference.predictor import Predictor
from flaxmark.tools.demo.answers import Answer, Options, answer_image, answer_video
from flaxmark.tools.demo.examples import EXAMPLES

HOST = "127.0.0.1"
LIMITS = {"/image": 20_000_000, "/video": 200_000_000}  # bytes of an upload
MAX_UPLOADS, MAX_VIDEOS = 8, 2  # at the same time
SOCKET_SECONDS, UPLOAD_SECONDS = 30, 120
BLOCK = 65_536

PAGE = Path(__file__).parent / "page"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=()",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is not answered, with the status that says why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        """Store both."""
        super().__init__(message)
        self.status = status


class DemoServer(ThreadingHTTPServer):
    """Server of the page and of the faces of uploads."""

    daemon_threads = True

    def __init__(self, predictor: Predictor, port: int, folder: Path) -> None:
        """Listen on 127.0.0.1; `folder` is for videos while they are processed. OSError where the port is taken."""
        super().__init__((HOST, port), _Handler)
        self.predictor, self.folder = predictor, folder
        self.turn = threading.Lock()  # one prediction at a time bounds the memory
        self.slots = {"/image": threading.Semaphore(MAX_UPLOADS), "/video": threading.Semaphore(MAX_VIDEOS)}
        self.files = _page_files(predictor)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Visitors who leave or wait too long are no errors."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _page_files(predictor: Predictor) -> dict[str, tuple[str, bytes]]:
    """Path -> content type and content of everything that the page consists of."""
    files = {
        f"/{path.name}": (TYPES[path.suffix], path.read_bytes()) for path in PAGE.iterdir() if path.suffix in TYPES
    }
    files |= {f"/examples/{index}.jpg": ("image/jpeg", example.draw()) for index, example in enumerate(EXAMPLES)}
    button = '<li><button type="button"><img src="examples/{}.jpg" alt="{}"></button></li>'
    buttons = [button.format(index, html.escape(example.description)) for index, example in enumerate(EXAMPLES)]
    page = string.Template((PAGE / "index.html").read_text(encoding="utf-8")).substitute(
        points=predictor.markup.num_points,
        score=MIN_SCORE,
        examples="\n".join(buttons),
        terms=html.escape(predictor.metadata["terms"]),
        image_limit=LIMITS["/image"],
        video_limit=LIMITS["/video"],
        has_video="yes" if importlib.util.find_spec("av") else "no",
    )
    return files | {"/": ("text/html; charset=utf-8", page.encode())}


class _Handler(BaseHTTPRequestHandler):
    """One request; an answer ends with the connection."""

    server: DemoServer
    timeout = SOCKET_SECONDS
    _started = False

    def do_GET(self) -> None:
        """Send a file of the page."""
        found = self.server.files.get(urlsplit(self.path).path)
        if found is None:
            return self._send(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
        self._send(HTTPStatus.OK, *found)

    def do_POST(self) -> None:
        """Answer an upload: lines of JSON, the last of which has the size of the file that follows."""
        try:
            path, length, options = self._checked()
            with self._slot(path):
                (self._image if path == "/image" else self._video)(length, options)
        except FlaxmarkError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, error.reason)
        except Refused as refused:
            self._refuse(refused.status, str(refused))

    def _checked(self) -> tuple[str, int, Options]:
        """Path, length and options of an upload, before any of it is read."""
        url = urlsplit(self.path)
        if url.path not in LIMITS:
            raise Refused(HTTPStatus.NOT_FOUND, "not found")
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused(HTTPStatus.FORBIDDEN, "another web page must not use this one")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "the request has no Content-Length")
        if int(length) > LIMITS[url.path]:
            limit = f"{LIMITS[url.path] / 1e6:.0f} MB"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the file is larger than {limit}")
        return url.path, int(length), _options(parse_qs(url.query))

    @contextlib.contextmanager
    def _slot(self, path: str) -> Iterator[None]:
        """One of the few places for uploads of a kind."""
        slots = self.server.slots[path]
        if not slots.acquire(blocking=False):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy with other uploads; try again in a moment")
        try:
            yield
        finally:
            slots.release()

    def _image(self, length: int, options: Options) -> None:
        """Read an image into memory and send its faces."""
        data = b"".join(self._body(length))
        with self.server.turn:
            answer, drawn = answer_image(self.server.predictor, data, options)
        self._finish(answer, io.BytesIO(drawn), len(drawn))

    def _video(self, length: int, options: Options) -> None:
        """Store a video in a folder that is removed at the end, and send its progress and its drawing."""
        with tempfile.TemporaryDirectory(dir=self.server.folder) as name:
            video, drawn = Path(name, "video"), Path(name, "faces.mp4")
            with video.open("wb") as file:
                for block in self._body(length):
                    file.write(block)
            answer = answer_video(self.server.predictor, video, drawn, options, self.server.turn, self._tell)
            with drawn.open("rb") as file:
                self._finish(answer, file, drawn.stat().st_size)

    def _body(self, length: int) -> Iterator[bytes]:
        """The upload in blocks."""
        end = time.monotonic() + UPLOAD_SECONDS
        while length:
            block = self.rfile.read1(min(length, BLOCK))
            if not block or time.monotonic() > end:
                raise TimeoutError("the upload stopped or is too slow")
            length -= len(block)
            yield block

    def _tell(self, line: dict[str, Any]) -> None:
        """Send one line of JSON, the first one with the head of the answer."""
        if not self._started:
            self._head(HTTPStatus.OK, "application/octet-stream")
            self._started = True
        self.wfile.write(json.dumps(line).encode() + b"\n")

    def _finish(self, answer: Answer, file: IO[bytes], size: int) -> None:
        """Send the last line and the file."""
        self._tell({"message": answer.message, "result": answer.result, "type": answer.type, "bytes": size})
        shutil.copyfileobj(file, self.wfile, BLOCK)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Send the reason why there is no answer, or that it ends here."""
        if self._started:
            self._tell({"error": message})
        else:
            self._send(status, "application/json", json.dumps({"error": message}).encode() + b"\n")

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        """Send a whole answer."""
        self._head(status, kind, len(content))
        self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str, length: int | None = None) -> None:
        """Send the status and the headers that every answer has."""
        self.send_response_only(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Visits are not recorded."""


def _options(query: dict[str, list[str]]) -> Options:
    """Options in the query of a request's URL."""
    try:
        score = float(query.get("min_score", [str(MIN_SCORE)])[0])
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise Refused(HTTPStatus.BAD_REQUEST, "min_score must lie in [0, 1]")
    return Options(score, query.get("crop") == ["yes"])


@contextlib.contextmanager
def serving(predictor: Predictor, port: int) -> Iterator[DemoServer]:
    """Server of the page, ready for `serve_forever`; its temporary files are removed at the end.

    Raises ConfigError if the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="flaxmark-demo-", ignore_cleanup_errors=True) as folder:
        try:
            server = DemoServer(predictor, port, Path(folder))
        except OSError as error:
            reason = f"{error.strerror or error}; choose another port"
            raise ConfigError(reason, field="port", value=port) from error
        with server:
            yield server
