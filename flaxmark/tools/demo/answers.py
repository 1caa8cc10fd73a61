"""Faces of an uploaded image or video, drawn, and described in words and as JSON."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from flaxmark.data.images import ImageSource, read_image
from flaxmark.errors import ImageError
from flaxmark.inference.face import Face
from flaxmark.inference.overlay import draw
from flaxmark.inference.predictor import Predictor
from flaxmark.inference.video.frames import read_frames, video_format
from flaxmark.inference.video.tracking import TrackConfig, Tracker
from flaxmark.inference.video.writing import VideoWriter

MAX_SHOWN = 1600  # longest side in pixels of the image that is shown
MAX_FRAMES, MAX_MINUTES = 1800, 10
MAX_FRAME_MEGAPIXELS = 9.0  # 4K


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """All faces of an image, from which those above any minimum score are shown.

    Attributes:
        image: The image in any form that `Predictor.predict` takes.
        faces: Its faces, also those with low scores.
        is_crop: The image is one face, cropped as in training; nothing was detected.
    """

    image: ImageSource
    faces: tuple[Face, ...]
    is_crop: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What the page shows for an image: its drawing, one line, and JSON, which is empty where there are no faces."""

    image: Image.Image
    message: str
    text: str


def find_faces(predictor: Predictor, image: ImageSource, is_crop: bool = False) -> Found:
    """Find all faces of an image; raises as `Predictor.predict` does."""
    return Found(image, tuple(predictor.predict(image, "image" if is_crop else None)), is_crop)


def show_faces(predictor: Predictor, found: Found, min_score: float) -> Shown:
    """Draw the faces that reach a score, without running the network; raises ImageError if the image is gone."""
    pixels = read_image(found.image, predictor.max_megapixels)
    faces = [face for face in found.faces if found.is_crop or face.score is None or face.score >= min_score]
    image = Image.fromarray(draw(pixels, faces))
    image.thumbnail((MAX_SHOWN, MAX_SHOWN))
    height, width = pixels.shape[:2]
    about = {"width": width, "height": height, "terms": predictor.metadata["terms"]}
    text = json.dumps(about | {"faces": [face.to_dict() for face in faces]}, indent=1) if faces else ""
    return Shown(image, _count(len(faces), len(found.faces) - len(faces)), text)


def _count(shown: int, hidden: int) -> str:
    """One line about the number of faces."""
    more = f" {hidden} more below the minimum score." if hidden else ""
    if shown:
        return ("One face." if shown == 1 else f"{shown} faces, numbered from the largest.") + more
    if hidden:
        return f"No face that reaches the minimum score, {hidden} below it."
    return "No face found. If one face fills the image, tick the box for cropped faces."


def draw_video(predictor: Predictor, video: Path, drawn: Path, min_score: float) -> Iterator[str]:
    """Track the faces of a video and draw them into a new .mp4 file, which exists at the end.

    Yields one line about all so far after each frame. Raises ImageError if no frame can be read, and
    MissingPackageError without PyAV.
    """
    tracker = Tracker(predictor, TrackConfig(min_score=min_score))
    frames, faces, notes = 0, 0, []
    end = time.monotonic() + 60 * MAX_MINUTES
    writer: VideoWriter | None = None
    with contextlib.ExitStack() as complete:
        try:
            for seconds, frame in read_frames(video, MAX_FRAME_MEGAPIXELS):
                if frames == MAX_FRAMES or time.monotonic() > end:
                    notes.append(f"Stopped after {MAX_FRAMES:,} frames or {MAX_MINUTES} minutes.")
                    break
                tracked = tracker.update(frame, seconds)
                writer = writer or complete.enter_context(VideoWriter(drawn, frame.shape[1::-1], video_format(video)))
                numbers = [str(each.id) for each in tracked]
                writer.write(draw(frame, [each.face for each in tracked], labels=numbers), seconds)
                frames, faces = frames + 1, faces + len(tracked)
                yield f"{frames:,} frames …"
        except ImageError as error:
            if not frames:
                raise
            notes.append(f"{error.reason}.")
    if writer is None:
        raise ImageError("the video has no frames")
    yield " ".join([f"{frames:,} frames with {faces:,} faces.", *notes, writer.note]).strip()
