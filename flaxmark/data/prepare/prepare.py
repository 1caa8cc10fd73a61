"""Prepare a data set once, and load a split of it."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import filelock

from flaxmark.data.config import DataConfig
from flaxmark.data.data_sets import find_data_set
from flaxmark.data.entries import Problem
from flaxmark.data.prepare.sources import FolderSource, Source, Undivided, find_data_dir
from flaxmark.data.records.examples import Examples, StoredRecords
from flaxmark.data.records.face_index import load_index
from flaxmark.data.records.write import CHOSEN, PREPARED, PROBLEMS, write_choice, write_records
from flaxmark.errors import DataError, StorageError
from flaxmark.system.files import atomic_write, cache_dir, storage_errors, user_path

__all__ = ["Examples", "Prepared", "find_data_dir", "load_split", "prepare"]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A data set ready for training."""

    dir: Path
    """The TFDS folder of its records."""
    name: str
    """As in data.name."""
    fingerprint: str
    """Hash of everything that its faces and their splits depend on."""
    counts: dict[str, int]
    """Split -> number of faces."""
    problems: list[Problem]
    """What was left out and why, also in the file `report`."""
    found: dict[str, tuple[int, int | None]]
    """Subset or folder -> number of faces found, and how many there should be (None: unknown)."""
    terms: str
    """Terms under which its faces may be used."""
    report: Path
    """One problem a line, JSON; beside it are the indices of the splits."""
    folder: Path
    """Everything that was prepared; without it the set is prepared again."""
    region_size: int
    """Side in pixels of the smallest square, a multiple of 16, that holds every stored region."""

    def problem_counts(self) -> dict[str, int]:
        """Kind -> number of problems of that kind."""
        return dict(Counter(problem.reason for problem in self.problems))


def prepare(config: DataConfig, *, for_training: bool = True, undivided: Undivided = "never") -> Prepared:
    """Prepare a data set, or find it prepared from the same files with the same settings.

    Lists of files only choose from the prepared faces: other lists decode nothing again. With `undivided`, all faces of
    a folder make one split. Raises ConfigError for settings that cannot work, DataError where there is no data, nothing
    to train on or to validate with (`for_training`), or a problem with `data.strict`, and StorageError where the
    prepared faces cannot be written.
    """
    data_set = find_data_set(config.name)
    source: Source = FolderSource(config, undivided) if data_set.source is None else data_set.source(config)
    if config.strict:
        _refuse_problems(source.problems, "")
    parent = user_path(config.prepared_dir) if config.prepared_dir else cache_dir() / "data"
    folder = parent / f"{config.name}-{source.fingerprint[:16]}"
    chosen = folder / "chosen" / source.chosen[:16]
    if not (chosen / CHOSEN).is_file():
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"{error.strerror}; name a folder that can be written"
            raise StorageError(reason, field="data.prepared_dir", value=parent) from error
        # One process at a time prepares a set; the system frees the lock of one that dies.
        with (
            storage_errors(parent, lambda: ", or name another folder with --data.prepared-dir"),
            filelock.FileLock(parent / f".{folder.name}.lock"),
        ):
            if not (folder / PREPARED).is_file():
                source.check_images()
                with atomic_write(folder, f"{folder.name}.incomplete") as place:
                    place.mkdir(parents=True)
                    write_records(data_set, source, place)
            if not (chosen / CHOSEN).is_file():
                about: dict[str, object] = {"name": config.name, "terms": data_set.terms}
                with atomic_write(chosen, f"{chosen.name}.incomplete") as place:
                    place.mkdir(parents=True)
                    write_choice(source, folder, about, place)
    prepared = _read(folder, chosen)
    if config.strict:
        _refuse_problems(prepared.problems, f"; all are in {prepared.report}")
    if for_training and "train" not in prepared.counts:
        raise DataError(f"nothing to train on; {_summary(prepared)}", field="data.dir", value=config.dir)
    if for_training and "validation" not in prepared.counts:
        reason = (
            "no face is left for validation, which takes at least one photograph from the training faces; add some, or "
            f"name them with --data.validation-list; {_summary(prepared)}"
        )
        raise DataError(reason, field="data.dir", value=config.dir)
    return prepared


def load_split(prepared: Prepared, split: str) -> Examples:
    """Open a split of a prepared data set; its faces have a fixed order.

    Numbers are read into memory, images stay on disk. Raises DataError where there is no such split or its files are
    damaged.
    """
    if split not in prepared.counts:
        splits = ", ".join(f"{name} {count}" for name, count in prepared.counts.items())
        raise DataError(f"{prepared.name} has no faces in split {split!r}; there are {splits}; {_summary(prepared)}")
    index = load_index(prepared.report.with_name(f"{split}.npz"), prepared.folder)
    return Examples(
        landmarks=index.landmarks,
        crops=index.crops,
        boxes=index.boxes,
        source_crops=index.source_crops,
        visible=index.visible,
        subsets=index.subsets,
        photographs=index.photographs,
        files=index.files,
        region_size=prepared.region_size,
        records=StoredRecords(prepared.folder, index),
    )


def _read(folder: Path, chosen: Path) -> Prepared:
    """Read the summary and the report of a prepared set."""
    summary = json.loads((chosen / CHOSEN).read_text(encoding="utf-8"))
    lines = (chosen / PROBLEMS).read_text(encoding="utf-8").splitlines()
    summary["found"] = {name: (n, expected) for name, (n, expected) in summary["found"].items()}
    return Prepared(
        **summary | {"dir": folder / summary["dir"]},
        problems=[Problem(**json.loads(line)) for line in lines],
        report=chosen / PROBLEMS,
        folder=folder,
    )


def _summary(prepared: Prepared) -> str:
    """Numbers of faces that were found, and why others were left out."""
    found = "found " + ", ".join(f"{name} {count}" for name, (count, _) in prepared.found.items())
    if not prepared.problems:
        return f"{found}; none was left out"
    count = len(prepared.problems)
    return f"{found}; left out, for example: {prepared.problems[0]}; all {count} are in {prepared.report}"


def _refuse_problems(problems: list[Problem], where: str) -> None:
    """Raise DataError for the first problem of a data set that is not known of the official files."""
    fatal = [problem for problem in problems if not problem.known]
    if fatal:
        raise DataError(f"{len(fatal)} problems, the first: {fatal[0]}{where}", field="data.strict")
