"""Prepare a data set once, and load a split of it."""

import dataclasses
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import filelock
import numpy as np
from PIL import Image

from flaxmark.config import ConfigError, DataConfig, cache_dir
from flaxmark.data.builder import FaceBuilder
from flaxmark.data.drawn_faces import DrawnFaces
from flaxmark.data.examples import Examples
from flaxmark.data.faces import Problem
from flaxmark.data.ibug_300w import Ibug300W
from flaxmark.data.own_faces import OwnFaces
from flaxmark.data.sources import DrawnSource, FolderSource, find_data_dir
from flaxmark.data.stored_face import StoredFace
from flaxmark.data.tensorflow_setup import tfds
from flaxmark.storage import storage_errors

__all__ = ["Examples", "Prepared", "find_data_dir", "load_split", "prepare"]

RESEARCH_ONLY = "research only, no commercial use, no redistribution"
OWN = ("pts", "csv", "coco")
TERMS = {"ibug_300w": RESEARCH_ONLY, "dlib": RESEARCH_ONLY, "drawn_faces": "free"} | dict.fromkeys(OWN, "unknown")
PROBLEMS, SUMMARY = "problems.jsonl", "prepared.json"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A data set ready for training.

    Attributes:
        dir: The TFDS folder of its records.
        name: As in data.name.
        fingerprint: Hash of everything its records depend on.
        counts: Split -> faces.
        problems: What was left out and why, also in the file `report`.
        found: Subset or folder -> faces found, and how many there should be (None: unknown).
        terms: Under which terms its faces may be used.
        report: One problem a line, JSON.
    """

    dir: Path
    name: str
    fingerprint: str
    counts: dict[str, int]
    problems: list[Problem]
    found: dict[str, tuple[int, int | None]]
    terms: str
    report: Path

    def problem_counts(self) -> dict[str, int]:
        """Reason -> how many problems have it."""
        return dict(Counter(problem.reason for problem in self.problems))


def prepare(config: DataConfig, *, for_training: bool = True) -> Prepared:
    """Prepare a data set, or find it prepared from the same files with the same settings.

    Args:
        config: Which data set, and its crop.
        for_training: Refuse a set without training faces.

    Returns:
        Where its records are and what is in them.

    Raises:
        ConfigError: There is no data, nothing to train on, a problem where data.strict is set, or no place.
    """
    source = DrawnSource(config) if config.name == "drawn_faces" else FolderSource(config)
    if config.strict:
        _refuse_problems(source.problems, "")
    parent = Path(config.prepared_dir).expanduser() if config.prepared_dir else cache_dir() / "data"
    target = parent / f"{config.name}-{source.fingerprint[:16]}"
    if not (target / SUMMARY).is_file():
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--data.prepared-dir {parent}: {error.strerror}; name a folder to write in") from error
        # One process at a time prepares a set; the system frees the lock of one that dies.
        with (
            storage_errors(parent, lambda: ", or name another folder with --data.prepared-dir"),
            filelock.FileLock(parent / f".{target.name}.lock"),
        ):
            if not (target / SUMMARY).is_file():
                _write(config, source, target)
    prepared = _read(target)
    if config.strict:
        _refuse_problems(prepared.problems, f"; all are in {prepared.report}")
    if for_training and "train" not in prepared.counts:
        raise ConfigError(f"--data.dir {config.dir}: nothing to train on; {_what_there_is(prepared)}")
    return prepared


def load_split(prepared: Prepared, split: str) -> Examples:
    """Read a split into memory, without decoding its pictures.

    Args:
        prepared: The data set.
        split: One of those in `prepared.counts`.

    Returns:
        Its faces in a fixed order.

    Raises:
        ConfigError: The data set has no such split.
    """
    if split not in prepared.counts:
        splits = ", ".join(f"{name} {count}" for name, count in prepared.counts.items())
        raise ConfigError(
            f"{prepared.name} has no faces in split {split!r}; there are {splits}; {_what_there_is(prepared)}"
        )
    builder = tfds.builder_from_directory(prepared.dir)
    records = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    # Records are stored in the order of a hash; two faces of one picture differ in their boxes.
    faces = sorted(records.as_numpy_iterator(), key=lambda face: (face["file"], face["box"].tolist()))

    def texts(name: str) -> list[str]:
        return [face[name].decode() for face in faces]

    def numbers(name: str) -> np.ndarray:
        return np.stack([face[name] for face in faces])

    encoded = [face["image"] for face in faces]
    largest = max(max(Image.open(io.BytesIO(image)).size) for image in encoded)
    return Examples(
        landmarks=numbers("landmarks"),
        crops=numbers("crop"),
        boxes=numbers("box"),
        source_crops=numbers("source_crop"),
        subsets=texts("subset"),
        photographs=texts("photograph"),
        files=texts("file"),
        region_size=-(-largest // 16) * 16,
        records=encoded,
    )


def _make_builder(name: str, faces: dict[str, list[StoredFace]], folder: Path) -> FaceBuilder:
    """The TFDS builder of a data set."""
    builders: dict[str, Callable[[], FaceBuilder]] = {
        "ibug_300w": lambda: Ibug300W(config="official", faces=faces, data_dir=folder),
        "dlib": lambda: Ibug300W(config="dlib", faces=faces, data_dir=folder),
        "drawn_faces": lambda: DrawnFaces(faces=faces, data_dir=folder),
    } | {own: lambda: OwnFaces(faces=faces, data_dir=folder) for own in OWN}
    return builders[name]()


def _write(config: DataConfig, source: DrawnSource | FolderSource, target: Path) -> None:
    """Prepare a set under a temporary name, so that only a complete one is ever found under its own."""
    splits, problems = source.collect()
    temporary = target.with_name(f"{target.name}.incomplete")
    for leftover in (temporary, target):  # of an interrupted preparation; the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir()
    builder_dir = ""
    if splits:
        builder = _make_builder(config.name, splits, temporary)
        offline = tfds.download.DownloadConfig(try_download_gcs=False)
        with redirect_stdout(io.StringIO()):  # TFDS prints of downloads
            builder.download_and_prepare(download_dir=temporary / "downloads", download_config=offline)
        shutil.rmtree(temporary / "downloads", ignore_errors=True)
        builder_dir = Path(builder.data_dir).relative_to(temporary).as_posix()
    lines = (json.dumps(dataclasses.asdict(problem)) + "\n" for problem in problems)
    (temporary / PROBLEMS).write_text("".join(lines), encoding="utf-8")
    summary = {
        "dir": builder_dir,
        "name": config.name,
        "fingerprint": source.fingerprint,
        "counts": {split: len(faces) for split, faces in splits.items()},
        "found": source.found,
        "terms": TERMS[config.name],
    }
    (temporary / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    temporary.rename(target)


def _read(target: Path) -> Prepared:
    """Read the summary and the report of a prepared set."""
    summary = json.loads((target / SUMMARY).read_text(encoding="utf-8"))
    lines = (target / PROBLEMS).read_text(encoding="utf-8").splitlines()
    summary["found"] = {name: (n, expected) for name, (n, expected) in summary["found"].items()}
    return Prepared(
        **summary | {"dir": target / summary["dir"]},
        problems=[Problem(**json.loads(line)) for line in lines],
        report=target / PROBLEMS,
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
