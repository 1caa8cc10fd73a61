"""Prediction for many images and videos: read, predict, write and draw; unreadable ones are skipped and reported."""

import collections
import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from flaxmark.data.images import read_image
from flaxmark.errors import ImageError
from flaxmark.faces.boxes import Boxes
from flaxmark.inference import overlay
from flaxmark.inference.face import Face
from flaxmark.inference.files.inputs import Input
from flaxmark.inference.files.writers import FaceWriter
from flaxmark.inference.predictor import Predictor
from flaxmark.inference.video.frames import VideoFormat, read_camera, read_frames, video_format
from flaxmark.inference.video.tracking import TrackConfig, TrackedFace, Tracker
from flaxmark.inference.video.writing import VideoWriter
from flaxmark.system.progress import Progress


@dataclasses.dataclass
class Report:
    """Counts of a run of prediction.

    Attributes:
        done: Images, or frames of a video, that were processed.
        faces: Faces in them.
        empty: Images without a face.
        left_out: Faces dropped because of a low score.
        broken: One line for each file that could not be read.
    """

    done: int = 0
    faces: int = 0
    empty: int = 0
    left_out: int = 0
    broken: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        """Summary in one line."""
        empty = f", {self.empty:,} of them without a face" if self.empty and self.done > 1 else ""
        faces = "no face" if self.done == 1 and not self.faces else _count(self.faces, "face")
        broken = f", {len(self.broken):,} broken" if self.broken else ""
        low = f", {self.left_out:,} more with a score below --min-score" if self.left_out else ""
        return f"{_count(self.done, 'image')}{empty}{broken}: {faces}{low}"


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
) -> list[str]:
    """Process images, then videos; one line for each file that could not be read.

    `boxes` are those of every image, None runs the detector. `drawings` come from `drawing_paths`. With `camera`, its
    frames take the place of the only input's.
    """
    images, limit = [item for item in inputs if not item.is_video], predictor.max_megapixels
    broken = predict_images(images, predictor, boxes, writer, drawings).broken if images else []
    _print_broken(broken, inputs)
    for item in inputs:
        if item.is_video:
            frames = read_frames(item.path, limit) if camera is None else read_camera(camera)
            draw, form = drawings.get(item.name), VideoFormat()
            if draw is not None:
                form = video_format(item.path) if camera is None else form
                draw.parent.mkdir(parents=True, exist_ok=True)
            own = predict_video(item, frames, Tracker(predictor, track), writer, draw, form).broken
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
        if item.name in drawings:
            _draw(read_image(item.path, predictor.max_megapixels), faces, drawings[item.name])
        writer.write(item, size, faces, {})  # last, because --resume skips images that are written
        report.done += 1
        report.faces += len(faces)
        report.empty += not faces
        report.left_out = predictor.left_out - before
        show()
    if len(inputs) > 1 or not report.broken:
        progress.line(f"{report}")
    return report


def _draw(image: UInt8[np.ndarray, "height width 3"], faces: Sequence[Face], path: Path) -> None:
    """Draw an image with its faces, their numbers and scores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    overlay.save_image(overlay.draw(image, faces), path)


def predict_video(
    item: Input,
    frames: Iterator[tuple[float, np.ndarray]],
    tracker: Tracker,
    writer: FaceWriter,
    draw: Path | None,
    form: VideoFormat,
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
                    video.write(_drawn(frame, faces), seconds)
                report.done += 1
                report.faces += len(faces)
                report.empty += not faces
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


def _drawn(frame: UInt8[np.ndarray, "height width 3"], faces: Sequence[TrackedFace]) -> np.ndarray:
    """A frame with its faces and their numbers."""
    return overlay.draw(frame, [tracked.face for tracked in faces], labels=[str(tracked.id) for tracked in faces])


def _repeated(boxes: Boxes | None) -> Iterator[Boxes | None]:
    while True:
        yield boxes
