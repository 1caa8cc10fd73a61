"""Writers of faces: JSON lines, CSV, .pts files and COCO keypoints."""

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
from flaxmark.inference.face import Face, outputs_of
from flaxmark.inference.files.inputs import Input
from flaxmark.system.files import atomic_write, write_text

DIGITS = 3  # a thousandth of a pixel
# Column and key with an image's path; files of earlier versions have `picture`.
IMAGE_KEYS = ("file", "image", "picture")


class FaceWriter(Protocol):
    """Takes the faces of one image after another."""

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """Add the faces of an image of `size` (width, height) pixels.

        For a frame of a video, `where` has its `frame` and `seconds`, and the `ids` of the faces.
        """

    def close(self) -> None:
        """Complete the file."""


def make_writer(
    form: str, out: Path | None, markup: Markup, terms: str, overwrite: bool, resume: bool = False
) -> FaceWriter:
    """Create the writer of a format: `jsonl`, `csv`, `pts` or `coco`.

    `out` is a new file, or for `pts` a folder; without it, `jsonl` and `csv` print. `terms` are the terms of use of the
    model's training faces. With `resume`, `jsonl` and `csv` append to the file. Raises ConfigError where `out` is
    missing.
    """
    if form == "pts":
        if out is None:
            raise ConfigError("format pts needs a folder for its files", field="out")
        return PtsWriter(out, overwrite)
    if form == "coco":
        if out is None:
            raise ConfigError("format coco needs a file", field="out")
        return CocoWriter(out, markup, terms)
    return LineWriter(out, terms, form == "csv", resume)


def images_in(out: Path, form: str) -> set[str]:
    """Paths of the images in a file of format `jsonl` or `csv`; ConfigError if it is not such a file."""
    if not out.exists():
        return set()
    try:
        with out.open(encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream) if form == "csv" else map(json.loads, stream)
            return {next(row[key] for key in IMAGE_KEYS if key in row) for row in rows}
    except (ValueError, StopIteration, TypeError, csv.Error) as error:
        raise ConfigError(f"is not a {form} file of predict, and cannot be resumed", field="out", value=out) from error


def _rounded(value: Any, digits: int = DIGITS) -> Any:
    """A number, or an array as lists of numbers, rounded."""
    return round(float(value), digits) if np.ndim(value) == 0 else np.asarray(value, np.float64).round(digits).tolist()


def face_to_json(face: Face) -> dict[str, Any]:
    """Fields of a face that are known, ready for JSON: lengths in pixels, rounded."""
    values = {name: (getattr(face, name), output.digits) for name, output in outputs_of(type(face)).items()}
    return {name: _rounded(value, digits) for name, (value, digits) in values.items() if value is not None}


def face_to_cells(face: Face) -> dict[str, Any]:
    """CSV columns of a face and their cells: first the values per face, then those per point."""
    cells: dict[str, Any] = {}
    for name, output in sorted(outputs_of(type(face)).items(), key=lambda item: item[1].per_point):
        points = range(len(face.landmarks) if output.per_point else 1)
        columns = [column.format(point) for point in points for column in output.columns]
        value = getattr(face, name)
        values = [""] * len(columns) if value is None else np.ravel(_rounded(value, output.digits)).tolist()
        cells |= dict(zip(columns, values, strict=True)) if columns else {}
    return cells


class LineWriter:
    """One line of JSON for each image, or one line of CSV for each face."""

    def __init__(self, out: Path | None, terms: str, as_csv: bool, resume: bool = False) -> None:
        """Prepare for a file, which exists when the writer is closed, and only if anything was written."""
        self._out, self._terms, self._csv = out, terms, as_csv
        self._before = out if resume and out is not None and out.exists() else None
        self._file: TextIO | None = None
        self._replacing = contextlib.ExitStack()
        self._columns: list[str] = []
        if as_csv and self._before is not None:
            with self._before.open(encoding="utf-8", newline="") as stream:
                self._columns = next(csv.reader(stream), [])

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """As `FaceWriter.write`."""
        ids = where.get("ids", range(1, len(faces) + 1))
        name = item.path.as_posix()
        if self._csv:
            # Linux allows names that are not text.
            name = name.encode("utf-8", "backslashreplace").decode("utf-8")
            for number, face in zip(ids, faces, strict=True):
                self._write_row({"file": name, "frame": where.get("frame", ""), "face": number} | face_to_cells(face))
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

    def _write_row(self, row: Mapping[str, Any]) -> None:
        """Write a line of CSV, after a header where there is none; a resumed file keeps its columns."""
        if not self._columns:
            self._columns = list(row)
            self._print(_csv_line(self._columns))
        self._print(_csv_line([row.get(column, "") for column in self._columns]))

    def _print(self, line: str) -> None:
        if self._out is not None and self._file is None:
            temporary = self._replacing.enter_context(
                atomic_write(self._out, f".{self._out.name}.tmp{self._out.suffix}")
            )
            if self._before is not None:
                shutil.copyfile(self._before, temporary)
            self._file = temporary.open("a" if self._before else "w", encoding="utf-8")
        print(line, file=self._file, flush=self._file is None)


def _csv_line(cells: Sequence[Any]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(cells)
    return stream.getvalue()


class PtsWriter:
    """One .pts file for each face, whose coordinates start at 1."""

    def __init__(self, folder: Path, overwrite: bool) -> None:
        """Prepare for a folder, which is created with the first file."""
        self._folder, self._overwrite = folder, overwrite

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """As `FaceWriter.write`; ConfigError if a file exists."""
        for path, face in zip(pts_paths(self._folder, item.name, len(faces)), faces, strict=True):
            if path.exists() and not self._overwrite:
                raise ConfigError("exists; give another folder or --overwrite", field="out", file=path)
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = "\n".join(f"{x:.{DIGITS}f} {y:.{DIGITS}f}" for x, y in face.landmarks + 1)
            write_text(path, f"version: 1\nn_points:  {len(face.landmarks)}\n{{\n{lines}\n}}\n")

    def close(self) -> None:
        """As `FaceWriter.close`; all files are complete already."""


def pts_paths(folder: Path, name: str, faces: int) -> list[Path]:
    """Paths of an image's .pts files: `photo.pts` for one face, `photo_face1.pts`, `photo_face2.pts` for several."""
    stem = Path(name).with_suffix("")
    return [folder / (f"{stem}.pts" if faces == 1 else f"{stem}_face{number}.pts") for number in range(1, faces + 1)]


class CocoWriter:
    """One file of COCO keypoints, as `data.name coco` reads it."""

    def __init__(self, out: Path, markup: Markup, terms: str) -> None:
        """Prepare for a file, which is written when the writer is closed."""
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
                "num_keypoints": len(seen), "keypoints": _rounded(seen.ravel()),
                "bbox": _rounded(np.array([left, top, wide, high])), "area": _rounded(wide * high),
            }  # fmt: skip
            described = outputs_of(type(face))
            more = {key: value for key, value in face_to_json(face).items() if described[key].in_coco}
            annotations.append(annotation | more)

    def close(self) -> None:
        """As `FaceWriter.close`."""
        if self._content["images"]:
            write_text(self._out, json.dumps(self._content) + "\n")
