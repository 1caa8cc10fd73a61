"""A page in the browser: drop a image, see its faces. Gradio serves it, on this machine alone."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from flaxmark.errors import ConfigError
from flaxmark.inference.files.writers import face_to_json
from flaxmark.inference.overlay import paint_faces
from flaxmark.inference.predictor import Predictor

MAX_UPLOAD = 20_000_000
SHOWN = ["download", "fullscreen"]  # and no button that shares a image

TITLE = "flaxmark: landmarks of faces"
NOTE = (
    "Images stay on this machine: they are looked at in memory, what the server keeps of them for the page lies in a "
    "temporary folder that is emptied every few minutes and removed when it ends. Terms of the model's training faces: "
)


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What the page shows of a image.

    Attributes:
        image: uint8 `[height, width, 3]` with its faces painted on; None where there is none to show.
        message: One line.
        text: JSON of all faces; empty where there are none.
    """

    image: np.ndarray | None
    message: str
    text: str = ""


def look_at(predictor: Predictor, image: Any, is_crop: bool) -> Seen:
    """Find and paint the faces of a image.

    Args:
        predictor: Ready.
        image: As `Predictor.predict` takes it, or None where nobody has chosen one yet.
        is_crop: The image is one face, cut out as in training; nothing is detected.

    Returns:
        What to show; of bad images the reason, never an exception.
    """
    if image is None:
        return Seen(None, "Choose a image first, or take one with the camera.")
    from flaxmark.data.images import read_image

    try:
        pixels = read_image(image, predictor.max_megapixels)
        faces = predictor.predict(pixels, "image" if is_crop else None)
    except ConfigError as error:
        return Seen(None, str(error))
    height, width = pixels.shape[:2]
    told = {"width": width, "height": height, "terms": predictor.metadata["terms"]}
    text = json.dumps(told | {"faces": [face_to_json(face) for face in faces]}, indent=1)
    if not faces:
        return Seen(pixels, "No face found. A face that fills the image: tick the box below.", text)
    count = "One face." if len(faces) == 1 else f"{len(faces)} faces, the largest first."
    sure = [f"{face.score:.2f}" for face in faces if face.score is not None]
    labels = [str(number) for number in range(1, len(faces) + 1)] if len(faces) > 1 else []
    return Seen(paint_faces(pixels, faces, labels), count + (f" Scores: {', '.join(sure)}." if sure else ""), text)


def make_page(predictor: Predictor) -> Any:
    """Lay out the page.

    Args:
        predictor: Ready.

    Returns:
        Gradio's Blocks.

    Raises:
        ConfigError: Gradio is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read at import
    try:
        import gradio
    except ImportError as error:
        raise ConfigError("Gradio is not installed: pip install 'flaxmark[demo]'") from error

    def show(image: Any, is_crop: bool) -> tuple[Any, str, str, str | None]:
        seen = look_at(predictor, image, is_crop)
        return seen.image, seen.message, seen.text, _save(seen.text)

    with gradio.Blocks(title=TITLE, delete_cache=(300, 300), analytics_enabled=False) as page:
        gradio.Markdown(f"# {TITLE}\n{NOTE}{predictor.metadata['terms']}.")
        with gradio.Row():
            with gradio.Column():
                given = gradio.Image(label="Image", sources=["upload", "webcam"], type="pil", height=420)
                is_crop = gradio.Checkbox(label="The image is one face, already cut out")
                button = gradio.Button("Find landmarks", variant="primary")
            with gradio.Column():
                drawn = gradio.Image(
                    label="Faces", type="numpy", height=420, interactive=False, format="png", buttons=SHOWN
                )
                message = gradio.Textbox(label="Result", lines=1, interactive=False)
                file = gradio.File(label="JSON", interactive=False)
        text = gradio.Code(label="Faces, in pixels", language="json", max_lines=12)
        button.click(show, [given, is_crop], [drawn, message, text, file], api_name="faces")
    return page


def _save(text: str) -> str | None:
    """A file for the download button, in the folder that is removed at the end."""
    if not text:
        return None
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR")))
    path = folder / "faces.json"
    path.write_text(text + "\n", encoding="utf-8")
    return str(path)


@contextmanager
def serving(predictor: Predictor, port: int) -> Iterator[Any]:
    """Serve the page on 127.0.0.1 while the context lasts; its temporary files are gone afterwards.

    Args:
        predictor: Ready.
        port: TCP port.

    Yields:
        Gradio's page, whose `block_thread` waits for Ctrl-C.

    Raises:
        ConfigError: Gradio is not installed, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="flaxmark-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = make_page(predictor)
        try:
            page.launch(
                server_name="127.0.0.1", server_port=port, share=False, quiet=True, show_error=True,
                max_file_size=MAX_UPLOAD, prevent_thread_lock=True, footer_links=[], ssr_mode=False,
            )  # fmt: skip
        except OSError as error:
            raise ConfigError(f"--port {port}: {str(error).splitlines()[0]}; give another --port") from error
        try:
            yield page
        finally:
            page.close()
