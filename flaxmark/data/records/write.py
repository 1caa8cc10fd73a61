"""From a source of faces to records on disk, and to the splits that are chosen from them."""

import dataclasses
import io
import itertools
import json
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from flaxmark.data.data_sets import DataSet
from flaxmark.data.entries import Problem
from flaxmark.data.prepare.sources import Source
from flaxmark.data.records.builders import make_builder
from flaxmark.data.records.face_index import FaceIndex, load_index
from flaxmark.data.records.scan import scan_records
from flaxmark.data.records.stored_face import StoredFace
from flaxmark.data.tensorflow_setup import tfds
from flaxmark.system.progress import Progress
from flaxmark.system.worker_processes import worker_processes

# Files of a prepared folder; files of each choice of splits in its `chosen/`, beside `train.npz` and so on.
PREPARED, INDEX = "prepared.json", "faces.npz"
CHOSEN, PROBLEMS = "chosen.json", "problems.jsonl"


def write_records(data_set: DataSet, source: Source, folder: Path) -> None:
    """Make all faces of a source and write them with their index: `prepared.json`, `faces.npz` and TFDS's folder."""
    unusable: dict[int, Problem] = {}
    splits = {split: list(numbers) for split, numbers in source.stored.splits.items()}
    total = sum(map(len, splits.values()))
    progress, done = Progress(total, 0, 1), itertools.count(1)
    with worker_processes(source.make, total) as make_all:

        def faces_of(numbers: list[int]) -> Iterator[tuple[int, StoredFace]]:
            made = make_all([source.items[number] for number in numbers])
            for number, face in zip(numbers, made, strict=True):
                progress.step(f"preparing {data_set.name}: {next(done):,} of {total:,} faces")
                if isinstance(face, Problem):
                    unusable[number] = face
                else:
                    yield number, face

        builder_dir, region_size = "", 0
        faces = _without_empty({split: faces_of(numbers) for split, numbers in splits.items()})
        if faces:
            index, builder_dir = _write_with_tfds(data_set.builder, faces, folder)
            index.save(folder / INDEX)
            region_size = -(-int(index.sizes.max()) // 16) * 16
    usable = len(source.items) - len(unusable)  # those of `test_full` are made twice
    progress.line(f"prepared {data_set.name}: {usable:,} faces, {len(unusable):,} unusable")
    problems = {number: dataclasses.asdict(problem) for number, problem in unusable.items()}
    prepared = {"dir": builder_dir, "region_size": region_size, "unusable": problems}
    _write_json(folder / PREPARED, prepared)


def _without_empty(
    faces: dict[str, Iterator[tuple[int, StoredFace]]],
) -> dict[str, Iterator[tuple[int, StoredFace]]]:
    """Only splits with a usable face, which has to be made to be found: TFDS fails on others."""
    first = {split: next(of_split, None) for split, of_split in faces.items()}
    return {split: itertools.chain([face], faces[split]) for split, face in first.items() if face is not None}


def _write_with_tfds(
    builder_name: str, faces: dict[str, Iterator[tuple[int, StoredFace]]], folder: Path
) -> tuple[FaceIndex, str]:
    """Write faces; their index, and the path of their records in the folder."""
    builder = make_builder(builder_name, faces, folder)
    offline = tfds.download.DownloadConfig(try_download_gcs=False)
    with redirect_stdout(io.StringIO()):  # TFDS prints messages about downloads
        builder.download_and_prepare(download_dir=folder / "downloads", download_config=offline)
    shutil.rmtree(folder / "downloads", ignore_errors=True)
    written = builder.info.splits.values()
    names = [Path(path).relative_to(folder).as_posix() for split in written for path in split.filepaths]
    index = scan_records(folder, names, sum(split.num_examples for split in written))
    return index, Path(builder.data_dir).relative_to(folder).as_posix()


def write_choice(source: Source, prepared: Path, about: dict[str, object], folder: Path) -> None:
    """Write the splits that the config asks for: an index for each, and what was left out.

    Args:
        source: The faces and their splits.
        prepared: The folder with the records.
        about: Further fields of `chosen.json`.
        folder: Where `chosen.json`, `problems.jsonl` and the indices are written.
    """
    records = json.loads((prepared / PREPARED).read_text(encoding="utf-8"))
    unusable = {int(number): Problem(**problem) for number, problem in records["unusable"].items()}
    division = source.division
    counts: dict[str, int] = {}
    if records["dir"]:
        stored = load_index(prepared / INDEX, prepared)
        row_of = {number: row for row, number in enumerate(stored.numbers.tolist())}
        for split, photographs in division.splits.items():
            numbers = [number for number in photographs if number not in unusable]
            if numbers:
                _sorted(stored, [row_of[number] for number in numbers], [photographs[n] for n in numbers]).save(
                    folder / f"{split}.npz"
                )
                counts[split] = len(numbers)
    wanted = set().union(*division.splits.values())
    problems = division.problems + [problem for number, problem in unusable.items() if number in wanted]
    lines = (json.dumps(dataclasses.asdict(problem)) + "\n" for problem in problems)
    (folder / PROBLEMS).write_text("".join(lines), encoding="utf-8")
    about = about | {"dir": records["dir"], "region_size": records["region_size"], "counts": counts}
    _write_json(folder / CHOSEN, about | {"fingerprint": source.chosen, "found": source.found})


def _sorted(stored: FaceIndex, rows: list[int], photographs: list[str]) -> FaceIndex:
    """The faces of a split by file; two faces of one image differ in their boxes."""
    index = dataclasses.replace(stored.take(np.array(rows)), photographs=photographs)
    boxes = index.boxes.tolist()
    return index.take(np.array(sorted(range(len(rows)), key=lambda row: (index.files[row], boxes[row]))))


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
