"""Landmarks of all the pictures that a person names: read, predict, write, draw, and go on past broken ones."""

import collections
import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from flaxmark.boxes import Boxes
from flaxmark.config import ConfigError
from flaxmark.data.pictures import PictureError, read_picture
from flaxmark.face_writers import FaceWriter, pts_paths
from flaxmark.inference import Predictor
from flaxmark.inputs import Input
from flaxmark.painting import paint_faces
from flaxmark.plotting import draw_landmarks
from flaxmark.progress import Progress
from flaxmark.tracking import TrackConfig, Tracker
from flaxmark.video import VideoWriter, frame_rate, read_camera, read_frames


@dataclasses.dataclass
class Report:
    """How it went.

    Attributes:
        done: Pictures, or frames of a video, that were looked at.
        faces: Faces in them.
        empty: Pictures without a face.
        broken: What could not be read, one line each.
    """

    done: int = 0
    faces: int = 0
    empty: int = 0
    broken: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        """In one line."""
        empty = f", {self.empty:,} of them without a face" if self.empty else ""
        broken = f", {len(self.broken):,} broken" if self.broken else ""
        return f"{self.done:,} pictures{empty}{broken}: {self.faces:,} faces"


def drawing_paths(inputs: Sequence[Input], draw: Path | None, overwrite: bool) -> dict[str, Path]:
    """Where drawings go, checked before anything slow starts.

    Args:
        inputs: Pictures and videos.
        draw: A folder, or for a single input a picture file or .mp4; None draws nothing.
        overwrite: Files may exist.

    Returns:
        Name of a picture -> file; empty without `draw`.

    Raises:
        ConfigError: A file exists, or two pictures would be drawn into one.
    """
    if draw is None:
        return {}
    endings = {item.name: ".mp4" if item.is_video else ".png" for item in inputs}
    if draw.suffix.lower() in (".png", ".jpg", ".jpeg", ".pdf", ".svg", ".mp4"):
        if len(inputs) > 1:
            raise ConfigError(f"--draw {draw}: there are {len(inputs)} inputs; name a folder")
        if (draw.suffix.lower() == ".mp4") != inputs[0].is_video:
            raise ConfigError(f"--draw {draw}: pictures are drawn as .png, videos as .mp4")
        paths = {inputs[0].name: draw}
    else:
        paths = {name: draw / Path(name).with_suffix(ending) for name, ending in endings.items()}
    refuse_same_names(inputs)
    for path in paths.values():
        if path.exists() and not overwrite:
            raise ConfigError(f"--draw: {path} exists; give another name or --overwrite")
    return paths


def refuse_same_names(inputs: Sequence[Input]) -> None:
    """Demand that results can be called after their pictures.

    Args:
        inputs: Pictures.

    Raises:
        ConfigError: Two differ only in their folder or ending.
    """
    seen: dict[Path, Input] = {}
    for item in inputs:
        other = seen.setdefault(Path(item.name).with_suffix(""), item)
        if other is not item:
            raise ConfigError(
                f"{other.path} and {item.path}: what is written of them would have one name; name the folder above "
                "them, or look at them one after the other"
            )


def refuse_pts_files(inputs: Sequence[Input], folder: Path, overwrite: bool) -> None:
    """Look for .pts files that would be in the way, before anything slow starts.

    Args:
        inputs: Pictures.
        folder: For the files.
        overwrite: Files may exist.

    Raises:
        ConfigError: One exists, or two pictures would have the same.
    """
    refuse_same_names(inputs)
    for item in inputs:
        for path in pts_paths(folder, item.name, 1) + pts_paths(folder, item.name, 2):
            if path.exists() and not overwrite:
                raise ConfigError(f"--out: {path} exists; give another folder or --overwrite")


def predict_all(
    inputs: Sequence[Input],
    predictor: Predictor,
    boxes: Boxes | None,
    writer: FaceWriter,
    drawings: dict[str, Path],
    track: TrackConfig,
    camera: int | None = None,
) -> list[str]:
    """Look at pictures, then at videos.

    Args:
        inputs: In their order.
        predictor: Finds the faces where `boxes` is None.
        boxes: For every picture.
        writer: Gets the faces.
        drawings: From `drawing_paths`.
        track: How faces are followed in videos.
        camera: Look through it instead of reading the one input.

    Returns:
        What was broken, one line each.

    Raises:
        ConfigError: Boxes that are none, no detector, or a file that exists.
    """
    pictures, limit = [item for item in inputs if not item.is_video], predictor.network.data.max_megapixels
    broken = predict_pictures(pictures, predictor, boxes, writer, drawings, limit).broken if pictures else []
    for item in inputs:
        if item.is_video:
            frames = read_frames(item.path, limit) if camera is None else read_camera(camera)
            rate = frame_rate(item.path) if camera is None else 30.0
            draw = drawings.get(item.name)
            if draw is not None:
                draw.parent.mkdir(parents=True, exist_ok=True)
            own = predict_video(item.name, frames, Tracker(predictor, track), writer, draw, rate).broken
            if len(inputs) > 1:
                for line in own:
                    print(f"broken: {line}", file=sys.stderr)
            broken = broken + own
    return broken


def predict_pictures(
    inputs: Sequence[Input],
    predictor: Predictor,
    boxes: Boxes | None,
    writer: FaceWriter,
    drawings: dict[str, Path],
    max_megapixels: float,
) -> Report:
    """Look at pictures one after another.

    Args:
        inputs: Pictures.
        predictor: Finds the faces where `boxes` is None.
        boxes: For every picture.
        writer: Gets the faces.
        drawings: From `drawing_paths`.
        max_megapixels: Larger ones are broken.

    Returns:
        Counts, and what was broken.

    Raises:
        ConfigError: Boxes that are none, no detector, or a file that exists.
    """
    report, progress = Report(), Progress(len(inputs), 0, 1)
    waiting: collections.deque[tuple[Input, tuple[int, int]]] = collections.deque()

    def pictures() -> Iterator[np.ndarray]:
        for item in inputs:
            try:
                picture = read_picture(item.path, max_megapixels)
            except PictureError as error:
                report.broken.append(str(error))
                continue
            waiting.append((item, (picture.shape[1], picture.shape[0])))
            yield picture

    start = time.perf_counter()
    found = predictor.predict_many(pictures(), boxes if isinstance(boxes, str) else _repeated(boxes))
    for faces in found:
        item, size = waiting.popleft()
        writer.write(item.name, size, faces, {})
        if item.name in drawings:
            drawings[item.name].parent.mkdir(parents=True, exist_ok=True)
            draw_landmarks(read_picture(item.path, max_megapixels), faces, drawings[item.name])
        report.done += 1
        report.faces += len(faces)
        report.empty += not faces
        rate = report.faces / (time.perf_counter() - start)
        progress.step(f"{report.done + len(report.broken):,} of {len(inputs):,}, {rate:.1f} faces/s")
    if len(inputs) > 1:
        progress.line(f"{report}")
        for line in report.broken:
            print(f"broken: {line}", file=sys.stderr)
    return report


def predict_video(
    name: str,
    frames: Iterator[tuple[float, np.ndarray]],
    tracker: Tracker,
    writer: FaceWriter,
    draw: Path | None,
    frames_per_second: float,
) -> Report:
    """Look at a video frame by frame, or at a camera until the user stops.

    Args:
        name: What results call it.
        frames: From `video.read_frames` or `video.read_camera`.
        tracker: Follows its faces.
        writer: Gets the faces of every frame, with their numbers.
        draw: A new .mp4 with the faces painted on; None paints none.
        frames_per_second: Of that.

    Returns:
        Counts, and where the video was broken.

    Raises:
        KeyboardInterrupt: What was done until then is kept.
    """
    report, start, drawn = Report(), time.perf_counter(), contextlib.ExitStack()
    video: VideoWriter | None = None
    live = sys.stderr.isatty()
    with drawn:
        try:
            for seconds, frame in frames:
                faces = tracker.update(frame, seconds)
                place = {"frame": report.done, "seconds": round(seconds, 4), "ids": [face.id for face in faces]}
                writer.write(name, (frame.shape[1], frame.shape[0]), [face.face for face in faces], place)
                if draw is not None:
                    if video is None:
                        video = drawn.enter_context(VideoWriter(draw, frame.shape[1::-1], frames_per_second))
                    video.write(paint_faces(frame, [f.face for f in faces], [str(f.id) for f in faces]))
                report.done += 1
                report.faces += len(faces)
                report.empty += not faces
                if live:
                    rate = report.done / (time.perf_counter() - start)
                    print(f"\r\x1b[K{name}: {report.done:,} frames, {rate:.1f} a second", end="", file=sys.stderr)
        except ConfigError as error:
            report.broken.append(str(error))
    clear = "\r\x1b[K" if live else ""
    print(f"{clear}{name}: {report.done:,} frames, {report.faces:,} faces in them", file=sys.stderr)
    return report


def _repeated(boxes: Boxes | None) -> Iterator[Boxes | None]:
    while True:
        yield boxes
