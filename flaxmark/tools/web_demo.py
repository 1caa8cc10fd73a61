"""A web page that shows the faces of an image, served by Gradio on this machine only."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from flaxmark.errors import ConfigError, FlaxmarkError, MissingPackageError
from flaxmark.inference.files.writers import face_to_json
from flaxmark.inference.overlay import paint_faces
from flaxmark.inference.predictor import Predictor

MAX_UPLOAD = 20_000_000
BUTTONS = ["download", "fullscreen"]  # and no button that shares an image

TITLE = "flaxmark: facial landmarks"
NOTE = (
    "Images stay on this machine. They are processed in memory; the page keeps its copies in a temporary folder, which "
    "is emptied every few minutes and removed at the end. Terms of use of the model's training faces: "
)


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What the page shows for an image.

    Attributes:
        image: The image with its faces drawn on it; None where there is none to show.
        message: One line for the user.
        text: JSON of all faces; empty where there are none.
    """

    image: UInt8[np.ndarray, "height width 3"] | None
    message: str
    text: str = ""


def find_landmarks(predictor: Predictor, image: Any, is_crop: bool) -> Shown:
    """Find and draw the faces of an image in any form that `Predictor.predict` takes, or None before one is chosen.

    With `is_crop` the image is one face, cropped as in training, and nothing is detected. For an image that cannot be
    used the reason is shown; nothing is raised.
    """
    if image is None:
        return Shown(None, "Choose an image first, or take one with the camera.")
    from flaxmark.data.images import read_image

    try:
        pixels = read_image(image, predictor.max_megapixels)
        faces = predictor.predict(pixels, "image" if is_crop else None)
    except FlaxmarkError as error:
        return Shown(None, str(error))
    height, width = pixels.shape[:2]
    about = {"width": width, "height": height, "terms": predictor.metadata["terms"]}
    text = json.dumps(about | {"faces": [face_to_json(face) for face in faces]}, indent=1)
    if not faces:
        return Shown(pixels, "No face found. If one face fills the image, tick the box below.", text)
    count = "One face." if len(faces) == 1 else f"{len(faces)} faces, largest first."
    scores = [f"{face.score:.2f}" for face in faces if face.score is not None]
    labels = [str(number) for number in range(1, len(faces) + 1)] if len(faces) > 1 else []
    return Shown(paint_faces(pixels, faces, labels), count + (f" Scores: {', '.join(scores)}." if scores else ""), text)


def make_page(predictor: Predictor) -> Any:
    """Gradio's Blocks of the page; MissingPackageError if Gradio is not installed."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read at import
    try:
        import gradio
    except ImportError as error:
        raise MissingPackageError("Gradio is not installed: pip install 'flaxmark[demo]'") from error

    def show(image: Any, is_crop: bool) -> tuple[Any, str, str, str | None]:
        shown = find_landmarks(predictor, image, is_crop)
        return shown.image, shown.message, shown.text, _save(shown.text)

    with gradio.Blocks(title=TITLE, delete_cache=(300, 300), analytics_enabled=False) as page:
        gradio.Markdown(f"# {TITLE}\n{NOTE}{predictor.metadata['terms']}.")
        with gradio.Row():
            with gradio.Column():
                given = gradio.Image(label="Image", sources=["upload", "webcam"], type="pil", height=420)
                is_crop = gradio.Checkbox(label="The image is a single face, already cropped")
                button = gradio.Button("Find landmarks", variant="primary")
            with gradio.Column():
                drawn = gradio.Image(
                    label="Faces", type="numpy", height=420, interactive=False, format="png", buttons=BUTTONS
                )
                message = gradio.Textbox(label="Result", lines=1, interactive=False)
                file = gradio.File(label="JSON", interactive=False)
        text = gradio.Code(label="Faces (coordinates in pixels)", language="json", max_lines=12)
        button.click(show, [given, is_crop], [drawn, message, text, file], api_name="faces")
    return page


def _save(text: str) -> str | None:
    """File for the download button, in the folder that is removed at the end."""
    if not text:
        return None
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR")))
    path = folder / "faces.json"
    path.write_text(text + "\n", encoding="utf-8")
    return str(path)


@contextmanager
def serving(predictor: Predictor, port: int) -> Iterator[Any]:
    """Serve the page on 127.0.0.1 within the context, then remove its temporary files; yields Gradio's page.

    Raises MissingPackageError if Gradio is not installed, ConfigError if the port is taken.
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
            reason = f"{str(error).splitlines()[0]}; choose another port"
            raise ConfigError(reason, field="port", value=port) from error
        try:
            yield page
        finally:
            page.close()
