"""Faces as files that other programs read: JSON lines, CSV, .pts and COCO keypoints."""

import contextlib
import csv
import io
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from flaxmark.errors import ConfigError
from flaxmark.faces.markup import Markup
from flaxmark.inference.files.inputs import Input
from flaxmark.inference.predictor import Face
from flaxmark.system.files import atomic_write, write_text

DIGITS = 3  # a thousandth of a pixel


class FaceWriter(Protocol):
    """Takes the faces of one image after another."""

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """Add a image.

        Args:
            item: The image.
            size: Width and height, pixels.
            faces: Those in it.
            where: More to say of it: `frame` and `seconds` of a video, `ids` of its faces.
        """

    def close(self) -> None:
        """Make what was written complete."""


def make_writer(
    form: str, out: Path | None, markup: Markup, terms: str, overwrite: bool, resume: bool = False
) -> FaceWriter:
    """Choose a form.

    Args:
        form: `jsonl`, `csv`, `pts` or `coco`.
        out: A new file, for `pts` a folder; None prints.
        markup: Of the points.
        terms: Under which the model's training faces may be used.
        overwrite: Files may exist.
        resume: `jsonl` and `csv`: what is in the file stays.

    Returns:
        Ready to write.

    Raises:
        ConfigError: The form needs a place, or something is there.
    """
    if form == "pts":
        if out is None:
            raise ConfigError("--format pts: name a folder for the files with --out")
        return PtsWriter(out, overwrite)
    if form == "coco":
        if out is None:
            raise ConfigError("--format coco: name a file with --out")
        return CocoWriter(out, markup, terms)
    return LineWriter(out, markup, terms, form == "csv", resume)


def images_in(out: Path, form: str) -> set[str]:
    """Images that an earlier start has written of.

    Args:
        out: Its file; may not be there.
        form: `jsonl` or `csv`.

    Returns:
        Their paths, as they were named then.

    Raises:
        ConfigError: The file is no such file.
    """
    if not out.exists():
        return set()
    try:
        with out.open(encoding="utf-8", newline="") as stream:
            if form == "csv":
                return {row["file"] for row in csv.DictReader(stream)}
            return {json.loads(line)["image"] for line in stream}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ConfigError(f"{out}: not a file of --format {form} to go on with") from error


def _numbers(values: np.ndarray) -> list[Any]:
    rounded: list[Any] = np.asarray(values, np.float64).round(DIGITS).tolist()
    return rounded


def face_to_json(face: Face) -> dict[str, Any]:
    """A face in plain numbers.

    Args:
        face: Any.

    Returns:
        `box`, `landmarks` and, where they are known, `score` and `sigma`; pixels, rounded.
    """
    plain: dict[str, Any] = {"box": _numbers(face.box), "landmarks": _numbers(face.landmarks)}
    if face.score is not None:
        plain["score"] = round(face.score, 4)
    if face.sigma is not None:
        plain["sigma"] = _numbers(face.sigma)
    return plain


class LineWriter:
    """A line of JSON for each image, or one of CSV for each face."""

    def __init__(self, out: Path | None, markup: Markup, terms: str, as_csv: bool, resume: bool = False) -> None:
        """Remember the file, which is there when all is done, and only if there is something in it.

        Args:
            out: None prints.
            markup: Of the points.
            terms: Repeated in every line of JSON.
            as_csv: Lines of CSV instead.
            resume: After those that are in the file.
        """
        self._out, self._terms, self._csv = out, terms, as_csv
        self._before = out if resume and out is not None and out.exists() else None
        self._file: TextIO | None = None
        self._replacing = contextlib.ExitStack()
        points = [f"{axis}{i}" for i in range(markup.num_points) for axis in "xy"]
        self._head = (
            ["file", "frame", "face", "left", "top", "right", "bottom", "score", *points]
            if as_csv and not self._before
            else None
        )

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """As `FaceWriter.write`."""
        ids = where.get("ids", range(1, len(faces) + 1))
        name = item.path.as_posix()
        if self._csv:
            # A name that is no text, which Linux allows, cannot be written as it is.
            name = name.encode("utf-8", "backslashreplace").decode("utf-8")
            for number, face in zip(ids, faces, strict=True):
                score = "" if face.score is None else round(face.score, 4)
                cells = [name, where.get("frame", ""), number, *_numbers(face.box), score]
                self._print(_csv_line([*cells, *_numbers(face.landmarks.ravel())]))
            return
        listed = [face_to_json(face) for face in faces]
        if "ids" in where:
            listed = [{"id": number} | face for number, face in zip(ids, listed, strict=True)]
        place = {key: value for key, value in where.items() if key != "ids"}
        line = {"image": name, **place, "width": size[0], "height": size[1], "terms": self._terms, "faces": listed}
        self._print(json.dumps(line))

    def close(self) -> None:
        """As `FaceWriter.close`."""
        if self._file is not None and self._out is not None:
            with self._replacing:
                self._file.close()

    def _print(self, line: str) -> None:
        if self._out is not None and self._file is None:
            temporary = self._replacing.enter_context(atomic_write(self._out))
            if self._before is not None:
                shutil.copyfile(self._before, temporary)
            self._file = temporary.open("a" if self._before else "w", encoding="utf-8")
        head, self._head = self._head, None
        if head:
            print(_csv_line(head), file=self._file)
        print(line, file=self._file, flush=self._file is None)


def _csv_line(cells: Sequence[Any]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(cells)
    return stream.getvalue()


class PtsWriter:
    """A .pts file for each face: of several in a image `photo_face1.pts`, `photo_face2.pts`; coordinates from 1."""

    def __init__(self, folder: Path, overwrite: bool) -> None:
        """Remember the folder.

        Args:
            folder: Made when the first face is written.
            overwrite: Files may exist.
        """
        self._folder, self._overwrite = folder, overwrite

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """As `FaceWriter.write`.

        Raises:
            ConfigError: A file exists.
        """
        for path, face in zip(pts_paths(self._folder, item.name, len(faces)), faces, strict=True):
            if path.exists() and not self._overwrite:
                raise ConfigError(f"{path}: exists; give another --out or --overwrite")
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = "\n".join(f"{x:.{DIGITS}f} {y:.{DIGITS}f}" for x, y in face.landmarks + 1)
            write_text(path, f"version: 1\nn_points:  {len(face.landmarks)}\n{{\n{lines}\n}}\n")

    def close(self) -> None:
        """Nothing is left to do."""


def pts_paths(folder: Path, name: str, faces: int) -> list[Path]:
    """What the .pts files of a image are called.

    Args:
        folder: For all of them.
        name: Of the image.
        faces: In the image.

    Returns:
        `photo.pts` of one face, `photo_face1.pts`, `photo_face2.pts` .. of several.
    """
    stem = Path(name).with_suffix("")
    return [folder / (f"{stem}.pts" if faces == 1 else f"{stem}_face{number}.pts") for number in range(1, faces + 1)]


class CocoWriter:
    """One file of COCO keypoints, as `data.name coco` reads it."""

    def __init__(self, out: Path, markup: Markup, terms: str) -> None:
        """Start with an empty list.

        Args:
            out: File to write in the end.
            markup: Of the points.
            terms: Under which the model's training faces may be used.
        """
        self._out = out
        skeleton = [[a + 1, b + 1] for line in markup.outlines for a, b in itertools.pairwise(line)]
        names = [f"{markup.name}_{i}" for i in range(markup.num_points)]
        category = {"id": 1, "name": "face", "keypoints": names, "skeleton": skeleton}
        self._content: dict[str, Any] = {
            "info": {"description": f"found by flaxmark; terms of its training faces: {terms}"},
            "categories": [category],
            "images": [],
            "annotations": [],
        }

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """As `FaceWriter.write`."""
        images, annotations = self._content["images"], self._content["annotations"]
        images.append({"id": len(images) + 1, "file_name": item.name, "width": size[0], "height": size[1]})
        for face in faces:
            left, top, right, bottom = face.box
            wide, high = right - left + 1, bottom - top + 1
            seen = np.concatenate([face.landmarks, np.full((len(face.landmarks), 1), 2)], axis=1)
            annotation = {
                "id": len(annotations) + 1, "image_id": len(images), "category_id": 1, "iscrowd": 0,
                "num_keypoints": len(seen), "keypoints": _numbers(seen.ravel()),
                "bbox": _numbers(np.array([left, top, wide, high])), "area": round(float(wide * high), DIGITS),
            }  # fmt: skip
            annotations.append(annotation | ({} if face.score is None else {"score": round(face.score, 4)}))

    def close(self) -> None:
        """As `FaceWriter.close`."""
        if self._content["images"]:
            write_text(self._out, json.dumps(self._content) + "\n")
