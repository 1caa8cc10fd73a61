"""NME after training on 10 to 1,815 labelled faces of 300-W, from the shipped weights and from a random start.

With 68 points, and with five points of another landmark scheme, which are made from the 68; their NME is divided by the
distance of the eye centres. Trains one cell after another with the recipes as users get them; the same command again
skips finished cells and resumes an interrupted one. --workdir gets results.jsonl, few_faces.md and few_faces.png, with
all finished cells in it, also those of other commands.

The best epoch is chosen on the same validation faces; results.jsonl also has the NME of the last epoch.

python benchmarks/few_faces.py --data.dir 300W [--data.train-list train.txt] [--sizes 10 50 all] [--seeds 0]
python benchmarks/few_faces.py --data.dir 300W --sizes 10 --workdir runs/try -- --train.epochs 2 --data.image-size 64
"""

import csv
import dataclasses
import hashlib
import io
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from few_faces_report import Cell, Record, finished_cells, record, write_results

from flaxmark.cli.flags import parse_flags
from flaxmark.cli.main import run_main
from flaxmark.cli.runs import RunArguments, config_from_arguments
from flaxmark.config import DataConfig
from flaxmark.config.files import load_config
from flaxmark.data.drawn import convert_landmarks
from flaxmark.data.entries import FaceEntry
from flaxmark.data.prepare.sources import FolderSource, find_data_dir
from flaxmark.errors import ConfigError, DataError
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.storage.workdir import stored_result
from flaxmark.sweep.cell_files import LOG, last_error
from flaxmark.system.files import new_folder, write_text
from flaxmark.system.progress import format_seconds
from flaxmark.system.signals import end_when_preempted
from flaxmark.training.run_setup import FEW_FACES


@dataclasses.dataclass(frozen=True)
class Faces:
    """300-W and its division."""

    dir: str | None = None
    """Folder of 300-W in its official layout; also found through the environment variable FLAXMARK_DATA."""
    train_list: str = "train.txt"
    """File of the training faces, of which subsets are taken."""
    validation_list: str = "val.txt"
    """File of the validation faces."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The grid; flags after -- go to every run of flaxmark train."""

    data: Faces = Faces()
    sizes: tuple[int | Literal["all"], ...] = (10, 25, 50, 100, 300, "all")
    """Numbers of training faces."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of the subsets and of training."""
    starts: tuple[Literal["shipped", "random"], ...] = ("shipped", "random")
    """Initial weights."""
    markups: tuple[Literal["ibug_68", "five_points"], ...] = ("ibug_68", "five_points")
    """Landmark schemes."""
    config: str = "few_faces"
    """Config of the runs from the shipped weights with fewer than 500 faces."""
    many_config: str = "shipped_then_real"
    """Config of the runs from the shipped weights with 500 faces or more."""
    random_config: str = "resnet18_112px"
    """Config of the runs from random weights."""
    random_steps: int = 600
    """Minimum number of steps from random weights: with few faces, there are more epochs."""
    workdir: str = "runs/few_faces"
    """Output folder."""
    debug: bool = False
    """Show a traceback when something fails."""


class CellsFailed(RuntimeError):
    """Some cells have failed."""


def subset(files: Iterable[str], count: int, seed: int) -> list[str]:
    """The first `count` files in a fixed random order of the seed, by hashes: it is the same with any other files."""
    return sorted(files, key=lambda file: hashlib.sha256(f"{seed}/{file}".encode()).digest())[:count]


def five_point_csv(entries: Iterable[FaceEntry]) -> str:
    """Faces with 68 points as lines of flaxmark's CSV files with five; pixels of the stored image, from 0."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["file", *(f"{axis}{point}" for point in range(FIVE_POINTS.num_points) for axis in "xy")])
    for entry in entries:
        points = convert_landmarks(entry.landmarks_px, FIVE_POINTS.name)
        writer.writerow([entry.file, *(f"{value:.4f}" for value in points.ravel())])
    return stream.getvalue()


def grid(parsed: Arguments, faces: int) -> list[Cell]:
    """The cells in order: schemes as given, small sizes first. ConfigError where there are too few faces."""
    for size in parsed.sizes:
        if size != "all" and not 1 <= size <= faces:
            raise ConfigError(f"must be from 1 to {faces:,}, the number of training faces", field="sizes", value=size)
    sizes = sorted({faces if size == "all" else size for size in parsed.sizes})
    axes = (parsed.markups, sizes, parsed.seeds, parsed.starts)
    if not all(axes):
        raise ConfigError("give at least one size, seed, start and markup")
    return [
        Cell(markup, start, size, seed)
        for markup in dict.fromkeys(parsed.markups)
        for size in sizes
        for seed in dict.fromkeys(parsed.seeds)
        for start in dict.fromkeys(parsed.starts)
    ]


def write_lists(folder: Path, cells: Sequence[Cell], train: Sequence[FaceEntry], held_out: Sequence[FaceEntry]) -> None:
    """Write the training list of every cell, and the five-point validation faces.

    Raises ConfigError where the folder has other faces: its finished cells would not belong to these.
    """
    by_file = {entry.file: entry for entry in train}
    texts = {"five_points_validation.csv": five_point_csv(held_out), "validation.txt": _lines(e.file for e in held_out)}
    for cell in cells:
        chosen = subset(by_file, cell.faces, cell.seed)
        five = cell.markup == FIVE_POINTS.name
        texts[_train_list(cell)] = five_point_csv(by_file[file] for file in chosen) if five else _lines(chosen)
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        if (folder / name).exists() and (folder / name).read_text(encoding="utf-8") != text:
            raise ConfigError(f"{name} in it has other faces; name another folder", field="workdir", value=folder)
        write_text(folder / name, text)


def _train_list(cell: Cell) -> str:
    return f"{cell.markup}_{cell.faces}_seed{cell.seed}{'.csv' if cell.markup == FIVE_POINTS.name else '.txt'}"


def _lines(names: Iterable[str]) -> str:
    return "".join(f"./{name}\n" if name.startswith("#") else f"{name}\n" for name in names)


def run_flags(cell: Cell, parsed: Arguments, root: Path, lists: Path, further: Sequence[str]) -> list[str]:
    """Flags of `flaxmark train` for a cell."""
    five = cell.markup == FIVE_POINTS.name
    data: list[str] = []
    if five:
        # The points are those of the stored image, as in 300-W.
        data = ["--data.name", "csv", "--data.markup", cell.markup, "--data.orientation", "stored"]
        # The box of five points is half as wide as that of 68, with which the weights know faces.
        data += ["--data.crop.scale", "3"]
    held_out = "five_points_validation.csv" if five else "validation.txt"
    shipped_config = parsed.config if cell.faces < FEW_FACES else parsed.many_config
    config = shipped_config if cell.start == "shipped" else parsed.random_config
    flags = ["--config", config]
    if cell.faces < load_config(config).train.batch_size:
        flags += ["--train.batch-size", str(cell.faces)]
    if cell.start == "random":
        flags += ["--model.init-from", "None", "--train.min-steps", str(parsed.random_steps)]
    flags += [*data, "--data.dir", str(root), "--data.train-list", str(lists / _train_list(cell))]
    flags += ["--data.validation-list", str(lists / held_out), "--train.seed", str(cell.seed)]
    return [*flags, "--workdir", str(lists.parent / cell.name), *further]


def train_cell(flags: Sequence[str], workdir: Path) -> str:
    """Train a cell in a process of its own, with a log; the reason if it fails. Passes an interruption on."""
    workdir.mkdir(exist_ok=True)
    line = [sys.executable, "-m", "flaxmark", "train", *flags]
    with (workdir / LOG).open("a", encoding="utf-8") as log:
        # In a session of its own, so that Ctrl-C reaches it once: a second signal would end it without saving.
        process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    return "" if status == 0 else last_error(workdir) or f"exit status {status}"


def shipped_nme(root: Path, train_list: str, validation_list: str) -> dict[str, float]:
    """Validation NME of the shipped model for each landmark scheme, in percent; its 68 points turned into five."""
    from flaxmark.cli.commands.evaluate import run_config
    from flaxmark.data.prepare.prepare import prepare
    from flaxmark.evaluation.metrics import mean_nme
    from flaxmark.evaluation.run_report import evaluate_run
    from flaxmark.inference.network import SHIPPED

    config = run_config(SHIPPED)
    data = dataclasses.replace(
        config.data, name="ibug_300w", dir=str(root), train_list=train_list, validation_list=validation_list
    )
    prepared = prepare(data, for_training=False)
    examples, outputs = evaluate_run(SHIPPED, prepared, dataclasses.replace(config, data=data)).splits["validation"]
    predicted, target = (
        convert_landmarks(points.astype(np.float64), FIVE_POINTS.name)
        for points in (outputs.landmarks, examples.landmarks)
    )
    return {
        "ibug_68": mean_nme(outputs.landmarks, examples.landmarks),
        "five_points": mean_nme(predicted, target, markup=FIVE_POINTS),
    }


def seconds_left(records: Sequence[Record], cells: Iterable[Cell]) -> float | None:
    """Estimated time of cells, from those that have ended; None before the first."""
    if not records:
        return None

    def seconds(cell: Cell) -> float:
        like = [line for line in records if line["start"] == cell.start] or records
        near = min(like, key=lambda line: abs(np.log(line["faces"] / cell.faces)))
        # Between the recipes with as many steps and those with as many epochs for each number of faces.
        return near["seconds"] * (cell.faces / near["faces"]) ** 0.5

    return sum(map(seconds, cells))


def main(arguments: list[str]) -> None:
    """Train the cells that have no result yet, and print the tables."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    parsed, further = parse_flags(Arguments, arguments[:place], __doc__, Arguments()), arguments[place + 1 :]
    data = DataConfig(
        dir=parsed.data.dir, train_list=parsed.data.train_list, validation_list=parsed.data.validation_list
    )
    root, source = find_data_dir(data).resolve(), FolderSource(data)
    splits = source.division.splits  # without repeated faces and copies of validation photographs
    train, held_out = ([source.items[i] for i in splits.get(split, ())] for split in ("train", "validation"))
    if not train or not held_out:
        raise DataError("has no training or no validation faces", field="data.dir", value=root)
    cells = grid(parsed, len(train))
    folder = new_folder("workdir", parsed.workdir).resolve()
    if folder.is_relative_to(root):  # the images of a CSV file in it would be looked for beside that file
        raise ConfigError("is in the data set's folder; name another", field="workdir", value=folder)
    write_lists(folder / "lists", cells, train, held_out)
    flags = {cell: run_flags(cell, parsed, root, folder / "lists", further) for cell in cells}
    configs = {cell: config_from_arguments(RunArguments, None, flags[cell]).run for cell in cells}
    waiting, failed = [cell for cell in cells if stored_result(folder / cell.name, configs[cell]) is None], []
    records = finished_cells(folder)
    # In a process of its own: this one must not hold an accelerator that the runs need.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        shipped = pool.submit(shipped_nme, root, parsed.data.train_list, parsed.data.validation_list).result()
    print(f"faces: training {len(train):,}, validation {len(held_out):,}")
    print(f"{len(cells)} cells, {len(cells) - len(waiting)} done before; logs: {folder}/*/{LOG}", flush=True)
    end_when_preempted()
    while waiting:
        cell, begun = waiting.pop(0), time.perf_counter()
        reason = train_cell(flags[cell], folder / cell.name)
        result = None if reason else json.loads((folder / cell.name / "result.json").read_text(encoding="utf-8"))
        if result is None:
            failed.append(cell)
            outcome = f"FAILED: {reason}"
        else:
            records = finished_cells(folder)
            write_results(folder, records, shipped)
            outcome = f"NME {record(cell, result)['nme']:.2f} % in {format_seconds(time.perf_counter() - begun)}"
        left = seconds_left(records, waiting)
        about = f", about {format_seconds(left)}" if left else ""
        print(f"{cell.name}: {outcome}; {len(waiting)} left{about}", flush=True)
    if records:
        print(f"\n{write_results(folder, records, shipped)}\nwrote {folder}/results.jsonl, few_faces.md, few_faces.png")
    if failed:
        raise CellsFailed(f"{len(failed)} of {len(cells)} cells failed: {', '.join(cell.name for cell in failed)}")


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
