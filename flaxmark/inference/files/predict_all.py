"""Prediction for many images and videos: read, predict, write and draw; unreadable ones are skipped and reported."""

import collections
import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from flaxmark.data.images import read_image
from flaxmark.errors import ImageError
from flaxmark.faces.boxes import Boxes
from flaxmark.inference import overlay
from flaxmark.inference.files.aligned_files import AlignedFiles
from flaxmark.inference.files.image_files import save_image
from flaxmark.inference.files.inputs import Input
from flaxmark.inference.files.writers import FaceWriter
from flaxmark.inference.predictor import Predictor
from flaxmark.inference.video.frames import VideoFormat, read_camera, read_frames, video_format
from flaxmark.inference.video.tracking import TrackConfig, TrackedFace, Tracker
from flaxmark.inference.video.writing import VideoWriter
from flaxmark.system.progress import Progress

NAMED = 10  # images without a face

Painter = Callable[..., overlay.Pixels]
"""`overlay.draw`, perhaps with some of its arguments bound."""


@dataclasses.dataclass
class Report:
    """Counts of a run of prediction.

    Attributes:
        done: Images, or frames of a video, that were processed.
        faces: Faces in them.
        empty: Images without a face.
        named: The first of them.
        left_out: Faces dropped because of a low score.
        broken: One line for each file that could not be read.
    """

    done: int = 0
    faces: int = 0
    empty: int = 0
    named: list[str] = dataclasses.field(default_factory=list)
    left_out: int = 0
    broken: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        """Summary in one line."""
        empty = f", {self.empty:,} of them without a face" if self.empty and self.done > 1 else ""
        faces = "no face" if self.done == 1 and not self.faces else _count(self.faces, "face")
        broken = f", {len(self.broken):,} broken" if self.broken else ""
        low = f", {self.left_out:,} more with a score below --min-score" if self.left_out else ""
        return f"{_count(self.done, 'image')}{empty}{broken}: {faces}{low}"

    def add(self, faces: Sequence[object]) -> None:
        """Count an image, or frame, with these faces."""
        self.done += 1
        self.faces += len(faces)
        self.empty += not faces

    def without_a_face(self) -> str:
        """Names of images without a face, as many as can be read."""
        more = f" and {self.empty - len(self.named):,} more" if self.empty > len(self.named) else ""
        return f"without a face: {', '.join(self.named)}{more}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def predict_all(
    inputs: Sequence[Input],
    predictor: Predictor,
    boxes: Boxes | None,
    writer: FaceWriter,
    drawings: dict[str, Path],
    track: TrackConfig,
    camera: int | None = None,
    paint: Painter = overlay.draw,
    aligned: AlignedFiles | None = None,
) -> list[str]:
    """Process images, then videos; one line for each file that could not be read.

    `boxes` are those of every image, None runs the detector. `drawings` come from `drawing_paths`; `paint` makes them,
    and takes the arguments of `overlay.draw`. With `camera`, its frames take the place of the only input's.
    """
    images, limit = [item for item in inputs if not item.is_video], predictor.max_megapixels
    broken = predict_images(images, predictor, boxes, writer, drawings, paint, aligned).broken if images else []
    _print_broken(broken, inputs)
    for item in inputs:
        if item.is_video:
            frames = read_frames(item.path, limit) if camera is None else read_camera(camera)
            draw, form = drawings.get(item.name), VideoFormat()
            if draw is not None:
                form = video_format(item.path) if camera is None else form
                draw.parent.mkdir(parents=True, exist_ok=True)
            own = predict_video(item, frames, Tracker(predictor, track), writer, draw, form, paint).broken
            _print_broken(own, inputs)
            broken = broken + own
    return broken


def _print_broken(broken: Sequence[str], inputs: Sequence[Input]) -> None:
    """Print the files that could not be read; the only input is the command's own error."""
    for line in broken if len(inputs) > 1 else ():
        print(f"broken: {line}", file=sys.stderr)


def predict_images(
    inputs: Sequence[Input],
    predictor: Predictor,
    boxes: Boxes | None,
    writer: FaceWriter,
    drawings: dict[str, Path],
    paint: Painter = overlay.draw,
    aligned: AlignedFiles | None = None,
) -> Report:
    """Process images in batches; the arguments are those of `predict_all`."""
    report, progress, before = Report(), Progress(len(inputs), 0, 1), predictor.left_out
    waiting: collections.deque[tuple[Input, tuple[int, int]]] = collections.deque()
    start = time.perf_counter()

    def show() -> None:
        rate = report.faces / (time.perf_counter() - start)
        progress.step(f"{report.done + len(report.broken):,} of {len(inputs):,}, {rate:.1f} faces/s")

    def images() -> Iterator[np.ndarray]:
        for item in inputs:
            try:
                image = read_image(item.path, predictor.max_megapixels)
            except ImageError as error:
                report.broken.append(str(error))
                show()
                continue
            waiting.append((item, (image.shape[1], image.shape[0])))
            yield image

    found = predictor.predict_many(images(), boxes if isinstance(boxes, str) else _repeated(boxes))
    for faces in found:
        item, size = waiting.popleft()
        if item.name in drawings or (aligned and faces):
            image = read_image(item.path, predictor.max_megapixels)
            if item.name in drawings:
                drawings[item.name].parent.mkdir(parents=True, exist_ok=True)
                save_image(paint(image, faces), drawings[item.name], like=item.path)
            if aligned:
                aligned.write(item, image, faces)
        writer.write(item, size, faces, {})  # last, because --resume skips images that are written
        report.add(faces)
        if not faces and len(report.named) < NAMED:
            report.named.append(item.path.as_posix())
        report.left_out = predictor.left_out - before
        show()
    if len(inputs) > 1 or not report.broken:
        cut = f", {_count(aligned.count, 'upright crop')} in {aligned.folder}" if aligned else ""
        progress.line(f"{report}{cut}")
    if report.named and len(inputs) > 1:
        print(report.without_a_face(), file=sys.stderr)
    return report


def predict_video(
    item: Input,
    frames: Iterator[tuple[float, np.ndarray]],
    tracker: Tracker,
    writer: FaceWriter,
    draw: Path | None,
    form: VideoFormat,
    paint: Painter = overlay.draw,
) -> Report:
    """Process the frames of a video up to a damaged one, or of a camera until KeyboardInterrupt.

    `draw` is a new .mp4 with drawings of the faces in the `form` of the source, or None.
    """
    report, start, drawn = Report(), time.perf_counter(), contextlib.ExitStack()
    video: VideoWriter | None = None
    live = sys.stderr.isatty()
    with drawn:
        try:
            for seconds, frame in frames:
                faces = tracker.update(frame, seconds)
                place = {"frame": report.done, "seconds": round(seconds, 4), "ids": [face.id for face in faces]}
                writer.write(item, (frame.shape[1], frame.shape[0]), [face.face for face in faces], place)
                if draw is not None:
                    if video is None:
                        video = drawn.enter_context(VideoWriter(draw, frame.shape[1::-1], form))
                    video.write(_drawn(frame, faces, paint), seconds)
                report.add(faces)
                if live:
                    rate = report.done / (time.perf_counter() - start)
                    print(f"\r\x1b[K{item.path}: {report.done:,} frames, {rate:.1f} a second", end="", file=sys.stderr)
        except ImageError as error:
            report.broken.append(str(error))
    clear = "\r\x1b[K" if live else ""
    if report.done or not report.broken:  # else it is not a video
        print(f"{clear}{item.path}: {_count(report.done, 'frame')}, {report.faces:,} faces in them", file=sys.stderr)
    if video is not None and video.note:
        print(video.note, file=sys.stderr)
    return report


def _drawn(frame: UInt8[np.ndarray, "height width 3"], faces: Sequence[TrackedFace], paint: Painter) -> np.ndarray:
    """A frame with its faces and their numbers."""
    numbers = [str(tracked.id) for tracked in faces]
    return paint(frame, [tracked.face for tracked in faces], labels=numbers)


def _repeated(boxes: Boxes | None) -> Iterator[Boxes | None]:
    while True:
        yield boxes
