"""Writers of faces: JSON lines, CSV, .pts files and COCO keypoints."""

import csv
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from flaxmark.errors import ConfigError, StorageError
from flaxmark.faces.markup import Markup
from flaxmark.inference.face import Face, hidden_points, outputs_of, rounded
from flaxmark.inference.files.inputs import Input
from flaxmark.inference.files.partial import Format, PartialResults
from flaxmark.system.files import write_text

DIGITS = 3  # a thousandth of a pixel


class FaceWriter(Protocol):
    """Takes the faces of one image after another."""

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """Add the faces of an image of `size` (width, height) pixels.

        For a frame of a video, `where` has its `frame` and `seconds`, and the `ids` of the faces.
        """


class FileWriter(FaceWriter, Protocol):
    """Writes them to a file, or a folder of files."""

    def close(self, complete: bool = True) -> None:
        """Complete the file; otherwise another run may go on with it."""


def make_writer(form: Format, results: PartialResults | None, markup: Markup, terms: str) -> FileWriter:
    """Create the writer of a format: `jsonl`, `csv`, `pts` or `coco`; without `results`, the first two print.

    `terms` are the terms of use of the model's training faces. Raises ConfigError where `results` are missing.
    """
    if form in ("jsonl", "csv"):
        return LineWriter(results, terms, form == "csv")
    if results is None:
        raise ConfigError(f"format {form} needs a {'folder' if form == 'pts' else 'file'}", field="out")
    return PtsWriter(results) if form == "pts" else CocoWriter(results, markup, terms)


def face_to_cells(face: Face) -> dict[str, Any]:
    """CSV columns of a face and their cells: first the values per face, then those per point.

    An output per point that the network does not predict has no columns: there would be one for each point.
    """
    cells: dict[str, Any] = {}
    for name, output in sorted(outputs_of(type(face)).items(), key=lambda item: item[1].per_point):
        value = getattr(face, name)
        if value is None and output.per_point:
            continue
        points = range(len(face.landmarks) if output.per_point else 1)
        columns = [column.format(point) for point in points for column in output.columns]
        values = [""] * len(columns) if value is None else np.ravel(rounded(value, output.digits)).tolist()
        cells |= dict(zip(columns, values, strict=True)) if columns else {}
    return cells


class LineWriter:
    """One line of JSON for each image, or one line of CSV for each face, or with face 0 for an image without one."""

    def __init__(self, results: PartialResults | None, terms: str, as_csv: bool) -> None:
        """Prepare for a file, or for standard output."""
        self._results, self._terms, self._csv = results, terms, as_csv
        # A resumed file keeps its columns.
        self._columns: list[str] = next(csv.reader([results.first_line]), []) if as_csv and results else []
        self._waiting: list[Mapping[str, Any]] = []  # rows without a face, until the first face gives the columns

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """As `FaceWriter.write`."""
        ids = where.get("ids", range(1, len(faces) + 1))
        name = item.path.as_posix()
        if self._csv:
            place = {"file": name, "frame": where.get("frame", "")}
            rows = [place | {"face": number} | face_to_cells(face) for number, face in zip(ids, faces, strict=True)]
            if faces or self._columns:
                self._write_rows(rows or [place | {"face": 0}])
            else:
                self._waiting.append(place | {"face": 0})
            return
        listed = [face.to_dict() for face in faces]
        if "ids" in where:
            listed = [{"id": number} | face for number, face in zip(ids, listed, strict=True)]
        place = {key: value for key, value in where.items() if key != "ids"}
        line = {"image": name, **place, "width": size[0], "height": size[1], "terms": self._terms, "faces": listed}
        self._print(json.dumps(line) + "\n")

    def close(self, complete: bool = True) -> None:
        """As `FileWriter.close`."""
        if complete and self._waiting:
            self._write_rows([])
        _close(self._results, complete)

    def _write_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the lines of an image, after those that wait, and after a header where there is none."""
        rows, self._waiting = [*self._waiting, *rows], []
        lines: list[Sequence[Any]] = []
        if not self._columns:
            self._columns = max(map(list, rows), key=len)
            lines.append(self._columns)
        lines += [[row.get(column, "") for column in self._columns] for row in rows]
        self._print("".join(_csv_line(line) for line in lines))

    def _print(self, lines: str) -> None:
        if self._results is not None:
            self._results.write(lines)
            return
        try:
            print(lines.encode("utf-8", "backslashreplace").decode("utf-8"), end="", flush=True)
        except BrokenPipeError:  # its reader has seen enough
            raise
        except OSError as error:
            raise StorageError(f"standard output cannot be written: {error.strerror}") from error


def _close(results: PartialResults | None, complete: bool, document: str | None = None) -> None:
    """Complete the results, or leave what is done of them."""
    if results is not None and complete:
        results.complete(document)
    elif results is not None:
        results.close()


def _csv_line(cells: Sequence[Any]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


class PtsWriter:
    """One .pts file for each face, whose coordinates start at 1."""

    def __init__(self, results: PartialResults) -> None:
        """Prepare for a folder."""
        self._results = results

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """As `FaceWriter.write`; ConfigError if a file exists."""
        for path, face in zip(pts_paths(self._results.out, item.name, len(faces)), faces, strict=True):
            if path.exists() and not self._results.replaces:
                raise ConfigError("exists; give another folder or --overwrite", field="out", file=path)
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = "\n".join(f"{x:.{DIGITS}f} {y:.{DIGITS}f}" for x, y in face.landmarks + 1)
            write_text(path, f"version: 1\nn_points:  {len(face.landmarks)}\n{{\n{lines}\n}}\n")
        self._results.write(json.dumps({"image": item.path.as_posix(), "faces": len(faces)}) + "\n")

    def close(self, complete: bool = True) -> None:
        """As `FileWriter.close`; all files are complete already."""
        _close(self._results, complete)


def pts_paths(folder: Path, name: str, faces: int) -> list[Path]:
    """Paths of an image's .pts files: `photo.pts` for one face, `photo_face1.pts`, `photo_face2.pts` for several."""
    stem = Path(name).with_suffix("")
    return [folder / (f"{stem}.pts" if faces == 1 else f"{stem}_face{number}.pts") for number in range(1, faces + 1)]


class CocoWriter:
    """One file of COCO keypoints, as `data.name coco` reads it."""

    def __init__(self, results: PartialResults, markup: Markup, terms: str) -> None:
        """Prepare for a file, which is written when the writer is closed."""
        self._results = results
        skeleton = [[a + 1, b + 1] for line in markup.outlines for a, b in itertools.pairwise(line)]
        names = [f"{markup.name}_{i}" for i in range(markup.num_points)]
        category = {"id": 1, "name": "face", "keypoints": names, "skeleton": skeleton}
        info = {"description": f"found by flaxmark; terms of its training faces: {terms}"}
        self._head = {"info": info, "categories": [category]}

    def write(self, item: Input, size: tuple[int, int], faces: Sequence[Face], where: Mapping[str, Any]) -> None:
        """As `FaceWriter.write`."""
        entry = {"file_name": item.name, "width": size[0], "height": size[1]}
        annotations = [self._annotation(face) for face in faces]
        self._results.write(json.dumps({"image": item.name, "entry": entry, "annotations": annotations}) + "\n")

    def close(self, complete: bool = True) -> None:
        """As `FileWriter.close`."""
        _close(self._results, complete, self._document() if complete else None)

    def _annotation(self, face: Face) -> dict[str, Any]:
        """A face as COCO describes it, without ids."""
        left, top, right, bottom = face.box
        wide, high = right - left + 1, bottom - top + 1
        # v is 1 for a labelled point that is hidden, and 2 for one that is seen.
        points = np.column_stack([face.landmarks, np.where(hidden_points(face), 1, 2)])
        annotation = {
            "category_id": 1, "iscrowd": 0, "num_keypoints": len(points), "keypoints": rounded(points.ravel(), DIGITS),
            "bbox": rounded(np.array([left, top, wide, high]), DIGITS), "area": rounded(wide * high, DIGITS),
        }  # fmt: skip
        described = outputs_of(type(face))
        more = {key: value for key, value in face.to_dict().items() if described[key].in_coco}
        return annotation | more

    def _document(self) -> str:
        """The whole file, in which images and annotations are numbered from 1."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for line in map(json.loads, self._results.lines()):
            images.append({"id": len(images) + 1} | line["entry"])
            for annotation in line["annotations"]:
                annotations.append({"id": len(annotations) + 1, "image_id": len(images)} | annotation)
        return json.dumps(self._head | {"images": images, "annotations": annotations}) + "\n"
