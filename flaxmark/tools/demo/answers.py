"""Faces of an uploaded image or video, drawn, and described in words and as JSON."""

import dataclasses
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from flaxmark.data.images import read_image
from flaxmark.errors import ImageError
from flaxmark.inference.face import Face
from flaxmark.inference.files.inputs import Input
from flaxmark.inference.files.predict_all import predict_video
from flaxmark.inference.files.writers import face_to_json
from flaxmark.inference.overlay import draw
from flaxmark.inference.predictor import Predictor
from flaxmark.inference.video.frames import read_frames, video_format
from flaxmark.inference.video.tracking import TrackConfig, Tracker

MAX_SHOWN = 2048  # longest side in pixels of the image that is sent back
MAX_FRAMES, MAX_MINUTES = 1800, 10
MAX_FRAME_MEGAPIXELS = 9.0  # 4K

Tell = Callable[[dict[str, Any]], None]


@dataclasses.dataclass(frozen=True)
class Options:
    """What the page's controls are set to.

    Attributes:
        min_score: Detected faces with a lower score are not shown, in [0, 1].
        is_crop: The image is one face, cropped as in training; nothing is detected.
    """

    min_score: float
    is_crop: bool = False


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the page shows: one line, the faces as JSON, and the type of the file that goes with them."""

    message: str
    result: dict[str, Any]
    type: str


def answer_image(predictor: Predictor, image: Any, options: Options) -> tuple[Answer, bytes]:
    """Find and draw the faces of an image in any form that `Predictor.predict` takes; raises as it does."""
    pixels = read_image(image, predictor.max_megapixels)
    found = predictor.predict(pixels, "image" if options.is_crop else None)
    shown = [face for face in found if face.score is None or face.score >= options.min_score]
    faces = found if options.is_crop else shown
    height, width = pixels.shape[:2]
    about = {"width": width, "height": height, "terms": predictor.metadata["terms"]}
    result = about | {"faces": [face_to_json(face) for face in faces]}
    drawn = draw(pixels, faces)
    return Answer(_count(len(faces), len(found) - len(faces)), result, "image/jpeg"), _jpeg(drawn)


def _count(shown: int, hidden: int) -> str:
    """One line about the number of faces."""
    more = f" {hidden} more below the minimum score." if hidden else ""
    if shown:
        return ("One face." if shown == 1 else f"{shown} faces, numbered from the largest.") + more
    if hidden:
        return f"No face that reaches the minimum score, {hidden} below it."
    return "No face found. If one face fills the image, tick the box below."


def _jpeg(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """JPEG file of an image, reduced where it is larger than any screen."""
    shown = Image.fromarray(image)
    shown.thumbnail((MAX_SHOWN, MAX_SHOWN))
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=92, subsampling=0)  # chroma at full resolution, for thin coloured lines
    return file.getvalue()


def answer_video(
    predictor: Predictor, video: Path, drawn: Path, options: Options, turn: threading.Lock, tell: Tell
) -> Answer:
    """Track the faces of a video and draw them into a new .mp4 file.

    `turn` is held while the predictor works, frame by frame, and `tell` gets the progress after each. Raises ImageError
    if no frame can be read, MissingPackageError without PyAV, and what `tell` raises.
    """
    frames = _Limited(read_frames(video, MAX_FRAME_MEGAPIXELS), turn)
    tracker = Tracker(predictor, TrackConfig(min_score=options.min_score))
    report = predict_video(Input(video, video.name), iter(frames), tracker, _Progress(tell), drawn, video_format(video))
    problems = [line.replace(f"{video}: ", "") for line in report.broken]
    if not report.done:
        raise ImageError(problems[0] if problems else "the video has no frames")
    limits = [f"Stopped after {MAX_FRAMES:,} frames or {MAX_MINUTES} minutes."] if frames.cut else []
    message = " ".join([f"{report.done:,} frames with {report.faces:,} faces.", *problems, *limits])
    return Answer(message, {}, "video/mp4")


@dataclasses.dataclass
class _Limited:
    """Frames up to the limits of count and time; `turn` is held while one is in use."""

    frames: Iterator[tuple[float, np.ndarray]]
    turn: threading.Lock
    cut: bool = False

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """The frames; `cut` is set where there were more."""
        end = time.monotonic() + 60 * MAX_MINUTES
        for count, frame in enumerate(self.frames):
            if count == MAX_FRAMES or time.monotonic() > end:
                self.cut = True
                return
            with self.turn:
                yield frame


@dataclasses.dataclass(frozen=True)
class _Progress:
    """Takes the faces of each frame and tells how far it is."""

    tell: Tell

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """Tell the number of frames, and the time in seconds that they have reached."""
        self.tell({"frames": where["frame"] + 1, "seconds": where["seconds"]})

    def close(self) -> None:
        """Nothing is open."""
