"""From a source of faces to records on disk, and to the splits that are chosen from them."""

import dataclasses
import io
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from flaxmark.data.entries import Problem
from flaxmark.data.prepare.sources import Source
from flaxmark.data.records.builder import FaceBuilder
from flaxmark.data.records.builder_300w import Ibug300W
from flaxmark.data.records.builder_drawn import DrawnFaces
from flaxmark.data.records.builder_own import OwnFaces
from flaxmark.data.records.face_index import FaceIndex, load_index
from flaxmark.data.records.scan import scan_records
from flaxmark.data.records.stored_face import StoredFace
from flaxmark.data.tensorflow_setup import tfds
from flaxmark.system.files import atomic_write
from flaxmark.system.progress import Progress
from flaxmark.system.worker_processes import worker_processes

OWN = ("pts", "csv", "coco")
# Of a prepared folder; of each choice of splits in its `chosen/`, beside `train.npz` and so on.
PREPARED, INDEX = "prepared.json", "faces.npz"
CHOSEN, PROBLEMS = "chosen.json", "problems.jsonl"


def write_whole(target: Path, write: Callable[[Path], None]) -> None:
    """Write a folder under a temporary name, so that only a complete one is ever found under its own.

    Args:
        target: The folder; what is there is replaced.
        write: Fills a folder.
    """
    shutil.rmtree(target, ignore_errors=True)
    with atomic_write(target, f"{target.name}.incomplete") as temporary:  # the caller has the lock
        temporary.mkdir(parents=True)
        write(temporary)


def write_records(name: str, source: Source, folder: Path) -> None:
    """Make all faces and write them, with their index.

    Args:
        name: As in `data.name`.
        source: The faces.
        folder: Gets `prepared.json`, `faces.npz` and the folder of TFDS.

    Raises:
        ConfigError: A worker process has died.
    """
    unusable: dict[int, Problem] = {}
    splits = {split: list(numbers) for split, numbers in source.stored.splits.items()}
    total = sum(map(len, splits.values()))
    progress, done = Progress(total, 0, 1), itertools.count(1)
    with worker_processes(source.make, total) as make_all:

        def faces_of(numbers: list[int]) -> Iterator[tuple[int, StoredFace]]:
            made = make_all([source.items[number] for number in numbers])
            for number, face in zip(numbers, made, strict=True):
                progress.step(f"preparing {name}: {next(done):,} of {total:,} faces")
                if isinstance(face, Problem):
                    unusable[number] = face
                else:
                    yield number, face

        builder_dir, region_size = "", 0
        faces = _without_empty({split: faces_of(numbers) for split, numbers in splits.items()})
        if faces:
            index, builder_dir = _write_with_tfds(name, faces, folder)
            index.save(folder / INDEX)
            region_size = -(-int(index.sizes.max()) // 16) * 16
    usable = len(source.items) - len(unusable)  # those of `test_full` are made twice
    progress.line(f"prepared {name}: {usable:,} faces, {len(unusable):,} unusable")
    problems = {number: dataclasses.asdict(problem) for number, problem in unusable.items()}
    prepared = {"dir": builder_dir, "region_size": region_size, "unusable": problems}
    _write_json(folder / PREPARED, prepared)


def _without_empty(
    faces: dict[str, Iterator[tuple[int, StoredFace]]],
) -> dict[str, Iterator[tuple[int, StoredFace]]]:
    """Only splits with a usable face, which has to be looked for: TFDS fails on others."""
    first = {split: next(of_split, None) for split, of_split in faces.items()}
    return {split: itertools.chain([face], faces[split]) for split, face in first.items() if face is not None}


def _write_with_tfds(
    name: str, faces: dict[str, Iterator[tuple[int, StoredFace]]], folder: Path
) -> tuple[FaceIndex, str]:
    """The index of what was written, and where in the folder it is."""
    builders: dict[str, Callable[[], FaceBuilder]] = {
        "ibug_300w": lambda: Ibug300W(config="official", faces=faces, data_dir=folder),
        "dlib": lambda: Ibug300W(config="dlib", faces=faces, data_dir=folder),
        "drawn_faces": lambda: DrawnFaces(faces=faces, data_dir=folder),
    } | {own: lambda: OwnFaces(faces=faces, data_dir=folder) for own in OWN}
    builder = builders[name]()
    offline = tfds.download.DownloadConfig(try_download_gcs=False)
    with redirect_stdout(io.StringIO()):  # TFDS prints of downloads
        builder.download_and_prepare(download_dir=folder / "downloads", download_config=offline)
    shutil.rmtree(folder / "downloads", ignore_errors=True)
    written = builder.info.splits.values()
    names = [Path(path).relative_to(folder).as_posix() for split in written for path in split.filepaths]
    index = scan_records(folder, names, sum(split.num_examples for split in written))
    return index, Path(builder.data_dir).relative_to(folder).as_posix()


def write_choice(source: Source, prepared: Path, about: dict[str, object], folder: Path) -> None:
    """Write the splits that the user wants: an index for each, and what was left out.

    Args:
        source: Says which faces.
        prepared: The prepared folder.
        about: What else belongs into `chosen.json`.
        folder: Gets `chosen.json`, `problems.jsonl` and the indices.
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
