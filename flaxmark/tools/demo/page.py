"""Page of the demo, made and served by Gradio on this machine only.

An image and its drawing take the same place, so that both fit on a phone.
"""

import contextlib
import importlib.util
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read at import

import gradio as gr

from flaxmark.errors import ConfigError, FlaxmarkError
from flaxmark.inference.detection import MIN_SCORE
from flaxmark.inference.files.inputs import VIDEO_SUFFIXES
from flaxmark.inference.predictor import Predictor
from flaxmark.tools.demo.answers import MAX_FRAMES, Found, draw_video, find_faces, show_faces
from flaxmark.tools.demo.examples import EXAMPLES

HOST = "127.0.0.1"
MAX_UPLOAD = 200_000_000  # bytes
MAX_WAITING = 16
KEPT_SECONDS = 3600  # time after which the files of an upload are deleted
CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}, "facingMode": "user"}}
FRAME_SECONDS = 0.15  # between two images of the camera
TELL_SECONDS = 0.3  # between two lines about a video
HEIGHT = 480  # pixels

TITLE = "flaxmark: facial landmarks"
CHOOSE = "Choose, drop or paste an image, or take one of the examples."
CAMERA_OFF = "Allow the camera, then press Record. Its images stay on this machine."
CHOOSE_VIDEO = f"Choose a video: at most {MAX_FRAMES:,} frames and {MAX_UPLOAD / 1e6:.0f} MB."
NO_VIDEO = "Videos need PyAV: `pip install 'flaxmark[video]'`"
ICON = Path(__file__).parent / "icon.svg"
SCORE_INFO = "Faces with a lower score are not shown."
NOTE = "Images and videos stay on this machine; they are deleted after an hour, at the latest when the page is ended. "
NOTE += "Terms of use of the model's training faces:"


class Events:
    """Answers to the page's events."""

    def __init__(self, predictor: Predictor, folder: Path) -> None:
        """Draw the examples into a folder."""
        self.predictor, self.folder = predictor, folder
        self.examples = [folder / f"example_{index}.jpg" for index in range(len(EXAMPLES))]
        for path, example in zip(self.examples, EXAMPLES, strict=True):
            path.write_bytes(example.draw())
        self._turn = threading.Lock()  # one prediction at a time bounds the memory

    def image(self, path: str | None, min_score: float, is_crop: bool) -> list[Any]:
        """Faces of an image that was chosen, for the outputs of the image's tab."""
        if not path:
            return _no_image(CHOOSE)
        try:
            with self._turn:
                found = find_faces(self.predictor, path, is_crop)
        except FlaxmarkError as error:
            return _no_image(f"Error: {error.reason}.")
        return self.rescore(found, min_score)

    def first(self, min_score: float) -> list[Any]:
        """Faces of the first example."""
        return self.image(str(self.examples[0]), min_score, False)

    def example(self, min_score: float, chosen: gr.SelectData) -> list[Any]:
        """Faces of an example."""
        return self.image(str(self.examples[chosen.index]), min_score, False)

    def recrop(self, found: Found | None, min_score: float, is_crop: bool) -> list[Any]:
        """Faces of the image that is shown, with or without detection."""
        return self.image(str(found.image) if found else None, min_score, is_crop)

    def rescore(self, found: Found | None, min_score: float) -> list[Any]:
        """Faces of the image that is shown, for another minimum score."""
        if found is None:
            return _no_image(CHOOSE)
        try:
            shown = show_faces(self.predictor, found, min_score)
        except FlaxmarkError:
            return _no_image("The image has been deleted here; choose it again.")
        return [found, shown.image, shown.message, shown.text, gr.update(visible=bool(shown.text))]

    def frame(self, image: Any, min_score: float) -> tuple[Any, str]:
        """Faces of an image of the camera."""
        if image is None:
            return gr.skip(), ""
        try:
            with self._turn:
                shown = show_faces(self.predictor, find_faces(self.predictor, image), min_score)
        except FlaxmarkError as error:
            return gr.skip(), f"Error: {error.reason}."
        return shown.image, shown.message

    def video(self, path: str | None, min_score: float) -> Iterator[tuple[Any, Any, Any]]:
        """Progress of a video, then its drawing, with the button that stops it."""
        no_video = gr.update(value=None, visible=False)
        stop, no_stop = gr.update(visible=True), gr.update(visible=False)
        if not path:
            yield no_video, CHOOSE_VIDEO, no_stop
            return
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            drawn, told, line = Path(folder, "faces.mp4"), 0.0, ""
            try:
                for line in self._in_turn(draw_video(self.predictor, Path(path), drawn, min_score)):
                    if time.monotonic() > told + TELL_SECONDS:
                        yield no_video, line, stop
                        told = time.monotonic()
                yield gr.update(value=str(drawn), visible=True), line, no_stop
            except FlaxmarkError as error:
                yield no_video, f"Error: {error.reason}.", no_stop

    def _in_turn(self, lines: Iterator[str]) -> Iterator[str]:
        """The same, while nothing else is predicted."""
        while True:
            with self._turn:
                line = next(lines, None)
            if line is None:
                return
            yield line


def _no_image(message: str) -> list[Any]:
    """Outputs of the image's tab without an image."""
    return [None, None, message, "", gr.update(visible=False)]


def make_page(predictor: Predictor, folder: Path) -> gr.Blocks:
    """Gradio's Blocks of the page; `folder` is for its files."""
    events = Events(predictor, folder)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)) as blocks:
        gr.Markdown(f"# flaxmark\n{predictor.markup.num_points} facial landmarks, on this machine")
        with gr.Tab("Image") as image_tab:
            _image_tab(events, blocks)
        with gr.Tab("Camera") as camera_tab:
            camera = _camera_tab(events)
        with gr.Tab("Video") as video_tab:
            _video_tab(events)
        # A camera that cannot be seen is off.
        for tab in (image_tab, camera_tab, video_tab):
            tab.select(partial(gr.Image, visible=tab is camera_tab), None, camera, api_visibility="private")
        gr.Markdown(f"{NOTE} {predictor.metadata['terms']}.")
    return blocks


def _image_tab(events: Events, blocks: gr.Blocks) -> None:
    """Image and examples; all events wait for one another, so that the last one decides what is shown."""
    with gr.Row():
        with gr.Column(scale=3):
            message = gr.Markdown(CHOOSE)
            image = gr.Image(
                str(events.examples[0]), sources=["upload", "clipboard"], type="filepath", format="png", height=HEIGHT,
                show_label=False, buttons=["download", "fullscreen"], interactive=True,
            )  # fmt: skip
            # The file as it is: Gradio would read it, and explain in its own words what is wrong with it.
            image.preprocess = lambda payload: payload and payload.path
            examples = gr.Gallery(
                list(zip(events.examples, [example.name for example in EXAMPLES], strict=True)),
                label="Examples", show_label=False, container=False, columns=8, fit_columns=False, rows=1, height=130,
                object_fit="cover", allow_preview=False, buttons=[], interactive=False,
            )  # fmt: skip
        with gr.Column(scale=1, min_width=280):
            score = _score()
            is_crop = gr.Checkbox(label="The image is one cropped face")
            with gr.Accordion("Coordinates in pixels", open=False, visible=False) as details:
                text = gr.Code(language="json", show_label=False, max_lines=20, interactive=False)
    found = gr.State()
    common: dict[str, Any] = dict(
        outputs=[found, image, message, text, details], concurrency_id="image", concurrency_limit=1,
        api_visibility="undocumented", show_progress_on=message,
    )  # fmt: skip
    image.upload(events.image, [image, score, is_crop], api_name="image", **common)
    image.clear(partial(_no_image, CHOOSE), None, api_name="clear", **common)
    examples.select(events.example, [score], api_name="example", **common)
    blocks.load(events.first, [score], api_name="first", **common)
    score.input(events.rescore, [found, score], api_name="score", trigger_mode="always_last", **common)
    is_crop.input(events.recrop, [found, score, is_crop], api_name="crop", trigger_mode="always_last", **common)


def _camera_tab(events: Events) -> Any:
    """Camera, with the drawing in the place of its image; returns the camera."""
    with gr.Row():
        with gr.Column(scale=3):
            message = gr.Markdown(CAMERA_OFF)
            camera = gr.Image(
                sources=["webcam"], streaming=True, type="numpy", format="jpeg", height=HEIGHT, show_label=False,
                buttons=["fullscreen"], webcam_options=gr.WebcamOptions(constraints=CAMERA),
            )  # fmt: skip
        with gr.Column(scale=1, min_width=280):
            score = _score()
    camera.stream(
        events.frame, [camera, score], [camera, message], stream_every=FRAME_SECONDS, concurrency_limit=1,
        show_progress="hidden", api_visibility="undocumented", api_name="frame",
    )  # fmt: skip
    return camera


def _video_tab(events: Events) -> None:
    """Video, and its drawing at the end; Gradio's player is for the drawing only, because it edits others."""
    if not importlib.util.find_spec("av"):
        gr.Markdown(NO_VIDEO)
        return
    with gr.Row():
        with gr.Column(scale=3):
            message = gr.Markdown(CHOOSE_VIDEO)
            video = gr.File(label="Video", file_types=["video", *sorted(VIDEO_SUFFIXES)], height=140)
            stop = gr.Button("Stop", visible=False)
            drawn = gr.Video(
                visible=False, height=HEIGHT, show_label=False, buttons=["download"], loop=True, autoplay=True,
                interactive=False,
            )  # fmt: skip
        with gr.Column(scale=1, min_width=280):
            score = _score()
    running = video.change(
        events.video, [video, score], [drawn, message, stop], concurrency_limit=1, api_name="video",
        api_visibility="undocumented", show_progress_on=message,
    )  # fmt: skip
    stop.click(
        lambda: ("Stopped.", gr.update(visible=False)), None, [message, stop], cancels=[running],
        api_visibility="private",
    )  # fmt: skip


def _score() -> gr.Slider:
    """Slider for the minimum score."""
    return gr.Slider(0, 1, MIN_SCORE, step=0.01, label="Minimum score", info=SCORE_INFO, buttons=[])


@contextlib.contextmanager
def serving(predictor: Predictor, port: int) -> Iterator[gr.Blocks]:
    """Serve the page on 127.0.0.1 within the context; all its files are removed at the end.

    Raises ConfigError if the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="flaxmark-demo-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder, "gradio"))
        direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")  # Gradio asks its own page whether it is up
        os.environ["no_proxy"] = f"{direct},{HOST}" if direct else HOST
        blocks = make_page(predictor, Path(folder)).queue(max_size=MAX_WAITING)
        try:
            blocks.launch(
                server_name=HOST, server_port=port, share=False, quiet=True, show_error=True, max_file_size=MAX_UPLOAD,
                prevent_thread_lock=True, footer_links=[], ssr_mode=False, favicon_path=ICON, theme=_theme(),
                state_session_capacity=MAX_WAITING, enable_monitoring=False,
            )  # fmt: skip
        except OSError as error:
            reason = "taken by another program, or not allowed; choose another port"
            raise ConfigError(reason, field="port", value=port) from error
        try:
            yield blocks
        finally:
            blocks.close(verbose=False)


def _theme() -> gr.themes.Base:
    """Colours, and fonts that every machine has."""
    return gr.themes.Default(
        primary_hue="teal", neutral_hue="slate", font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )  # fmt: skip
