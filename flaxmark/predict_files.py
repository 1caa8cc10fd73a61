"""Landmarks of all the pictures that a person names: read, predict, write, draw, and go on past broken ones."""

import collections
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
from flaxmark.plotting import draw_landmarks
from flaxmark.progress import Progress


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
        inputs: Pictures.
        draw: A folder, or for a single picture a picture file; None draws nothing.
        overwrite: Files may exist.

    Returns:
        Name of a picture -> file; empty without `draw`.

    Raises:
        ConfigError: A file exists, or two pictures would be drawn into one.
    """
    if draw is None:
        return {}
    if draw.suffix.lower() in (".png", ".jpg", ".jpeg", ".pdf", ".svg"):
        if len(inputs) > 1:
            raise ConfigError(f"--draw {draw}: there are {len(inputs)} pictures; name a folder")
        paths = {inputs[0].name: draw}
    else:
        paths = {item.name: draw / Path(item.name).with_suffix(".png") for item in inputs}
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


def _repeated(boxes: Boxes | None) -> Iterator[Boxes | None]:
    while True:
        yield boxes
