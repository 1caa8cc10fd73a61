"""Prepare a data set once, and load a split of it."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import filelock

from flaxmark.data.config import DataConfig
from flaxmark.data.entries import Problem
from flaxmark.data.prepare.sources import DrawnSource, FolderSource, Source, find_data_dir
from flaxmark.data.records.examples import Examples, StoredRecords
from flaxmark.data.records.face_index import load_index
from flaxmark.data.records.write import CHOSEN, OWN, PREPARED, PROBLEMS, write_choice, write_records, write_whole
from flaxmark.errors import ConfigError
from flaxmark.system.files import cache_dir, storage_errors

__all__ = ["Examples", "Prepared", "find_data_dir", "load_split", "prepare"]

RESEARCH_ONLY = "research only, no commercial use, no redistribution"
TERMS = {"ibug_300w": RESEARCH_ONLY, "dlib": RESEARCH_ONLY, "drawn_faces": "free"} | dict.fromkeys(OWN, "unknown")


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A data set ready for training.

    Attributes:
        dir: The TFDS folder of its records.
        name: As in data.name.
        fingerprint: Hash of everything that its faces and their splits depend on.
        counts: Split -> faces.
        problems: What was left out and why, also in the file `report`.
        found: Subset or folder -> faces found, and how many there should be (None: unknown).
        terms: Under which terms its faces may be used.
        report: One problem a line, JSON; beside it are the indices of the splits.
        folder: All that was prepared; removing it makes it be prepared again.
        region_size: Side in pixels of the smallest square, a multiple of 16, that holds every stored region.
    """

    dir: Path
    name: str
    fingerprint: str
    counts: dict[str, int]
    problems: list[Problem]
    found: dict[str, tuple[int, int | None]]
    terms: str
    report: Path
    folder: Path
    region_size: int

    def problem_counts(self) -> dict[str, int]:
        """Reason -> how many problems have it."""
        return dict(Counter(problem.reason for problem in self.problems))


def prepare(config: DataConfig, *, for_training: bool = True) -> Prepared:
    """Prepare a data set, or find it prepared from the same files with the same settings.

    Lists of files only choose from what is prepared: with others, nothing is decoded again.

    Args:
        config: Which data set, and its crop.
        for_training: Refuse a set without training faces.

    Returns:
        Where its records are and what is in them.

    Raises:
        ConfigError: There is no data, nothing to train on, a problem where data.strict is set, or no place.
    """
    source: Source = DrawnSource(config) if config.name == "drawn_faces" else FolderSource(config)
    if config.strict:
        _refuse_problems(source.problems, "")
    parent = Path(config.prepared_dir).expanduser() if config.prepared_dir else cache_dir() / "data"
    folder = parent / f"{config.name}-{source.fingerprint[:16]}"
    chosen = folder / "chosen" / source.chosen[:16]
    if not (chosen / CHOSEN).is_file():
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--data.prepared-dir {parent}: {error.strerror}; name a folder to write in") from error
        # One process at a time prepares a set; the system frees the lock of one that dies.
        with (
            storage_errors(parent, lambda: ", or name another folder with --data.prepared-dir"),
            filelock.FileLock(parent / f".{folder.name}.lock"),
        ):
            if not (folder / PREPARED).is_file():
                write_whole(folder, lambda place: write_records(config.name, source, place))
            if not (chosen / CHOSEN).is_file():
                about: dict[str, object] = {"name": config.name, "terms": TERMS[config.name]}
                write_whole(chosen, lambda place: write_choice(source, folder, about, place))
    prepared = _read(folder, chosen)
    if config.strict:
        _refuse_problems(prepared.problems, f"; all are in {prepared.report}")
    if for_training and "train" not in prepared.counts:
        raise ConfigError(f"--data.dir {config.dir}: nothing to train on; {_what_there_is(prepared)}")
    return prepared


def load_split(prepared: Prepared, split: str) -> Examples:
    """Open a split: its numbers are read into memory, its images stay on disk.

    Args:
        prepared: The data set.
        split: One of those in `prepared.counts`.

    Returns:
        Its faces in a fixed order.

    Raises:
        ConfigError: The data set has no such split, or its files are damaged.
    """
    if split not in prepared.counts:
        splits = ", ".join(f"{name} {count}" for name, count in prepared.counts.items())
        raise ConfigError(
            f"{prepared.name} has no faces in split {split!r}; there are {splits}; {_what_there_is(prepared)}"
        )
    index = load_index(prepared.report.with_name(f"{split}.npz"), prepared.folder)
    return Examples(
        landmarks=index.landmarks,
        crops=index.crops,
        boxes=index.boxes,
        source_crops=index.source_crops,
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


def _what_there_is(prepared: Prepared) -> str:
    """Where faces were found, and why others were left out."""
    found = "found " + ", ".join(f"{name} {count}" for name, (count, _) in prepared.found.items())
    if not prepared.problems:
        return f"{found}; none was left out"
    count = len(prepared.problems)
    return f"{found}; left out, for example: {prepared.problems[0]}; all {count} are in {prepared.report}"


def _refuse_problems(problems: list[Problem], where: str) -> None:
    """Make the problems of a data set fatal, except those known of the official files."""
    fatal = [problem for problem in problems if not problem.known]
    if fatal:
        raise ConfigError(f"--data.strict: {len(fatal)} problems, the first: {fatal[0]}{where}")
