"""What a sweep's folder holds: its cells, finished or not, and what they found."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flaxmark.config.config import Config
from flaxmark.errors import ConfigError
from flaxmark.faces.markup import Markup
from flaxmark.schema import from_dict
from flaxmark.storage.workdir import RESULT
from flaxmark.sweep.cell_processes import FAILED
from flaxmark.sweep.grid import COLUMNS
from flaxmark.sweep.sweep_progress import last_validation

_NAME = re.compile(r"resnet(\d+)_(.+)_seed(\d+)")


@dataclasses.dataclass(frozen=True)
class Record:
    """A cell of the grid.

    Attributes:
        name: Its folder below the sweep's.
        depth: Of the ResNet.
        column: What it is trained with, a key of `sweep.COLUMNS`.
        seed: Of the run.
        folder: Its workdir.
        result: The content of result.json; None while there is none.
        state: `done`, `failed`, `started` or `waiting`.
        note: Why it failed, or how far it is.
    """

    name: str
    depth: int
    column: str
    seed: int
    folder: Path
    result: dict[str, Any] | None
    state: str
    note: str = ""

    @property
    def label(self) -> str:
        """For legends and titles."""
        return f"ResNet-{self.depth} {self.column}"

    @property
    def markup(self) -> Markup:
        """What the points of a finished cell are."""
        assert self.result is not None
        markup: Markup = from_dict(self.result["config"], Config).data.markup
        return markup

    def figures(self, split: str, predictor: str = "network") -> dict[str, Any] | None:
        """A row of the cell's table.

        Args:
            split: Name.
            predictor: `network` or `mean face`.

        Returns:
            Figures over all faces of the split; None where it has none.
        """
        wanted = {"split": split, "subset": "all", "predictor": predictor}
        rows = self.result["rows"] if self.result else []
        return next((row for row in rows if wanted.items() <= row.items()), None)


def read_records(folder: Path) -> list[Record]:
    """List the cells of a sweep.

    Args:
        folder: Where scripts/sweep.py wrote, or where results were brought together.

    Returns:
        By depth, column and seed.

    Raises:
        ConfigError: Nothing there, or a result that cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; name the --workdir of scripts/sweep.py")
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    records = [_read_record(path, match) for path in folders if (match := _NAME.fullmatch(path.name))]
    if not records:
        raise ConfigError(f"{folder}: no cells of a sweep in it, such as resnet18_mse_seed0/{RESULT}")
    order = list(COLUMNS)
    return sorted(records, key=lambda r: (r.depth, order.index(r.column), r.seed))


def _read_record(folder: Path, match: re.Match[str]) -> Record:
    """One cell, whatever its state."""
    depth, column, seed = int(match[1]), match[2], int(match[3])
    if column not in COLUMNS:
        raise ConfigError(f"{folder}: {column!r} is no column of the table; there are {', '.join(COLUMNS)}")
    path = folder / RESULT
    result, state, note = None, "waiting", ""
    if path.is_file():
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            state = "done"
            _check_result(result, depth, column, seed)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: {error!r}; not a result that this version wrote, move it away") from error
    elif (folder / FAILED).is_file():
        state, note = "failed", (folder / FAILED).read_text(encoding="utf-8").strip()
    elif (last := last_validation(folder)) is not None:
        state, note = "started", f"epoch {last['epoch']:.0f}"
    return Record(folder.name, depth, column, seed, folder, result, state, note)


def _check_result(result: dict[str, Any], depth: int, column: str, seed: int) -> None:
    """Demand the parts that a report is made of, and that the folder's name is true."""
    for key in ("rows", "splits", "history", "cost", "mean_face", "versions", "config"):
        result[key]
    config = result["config"]
    loss, wanted = config["loss"], COLUMNS[column]
    beta = loss["name"] != "smooth_l1" or loss["beta"] == wanted.beta
    if (config["model"]["depth"], loss["name"], config["train"]["seed"], beta) != (depth, wanted.name, seed, True):
        raise ValueError("its depth, loss and seed are not those of the folder's name")


def main_split(records: Sequence[Record]) -> str:
    """The split that plots and comparisons are about.

    Args:
        records: Cells.

    Returns:
        `test_full`, or `test`, where every finished cell has it, else `validation`.
    """
    finished = [record for record in records if record.result]
    for split in ("test_full", "test"):
        if finished and all(record.figures(split) for record in finished):
            return split
    return "validation"


def splits_of(records: Sequence[Record]) -> list[str]:
    """Every split that some cell has figures for, in their order.

    Args:
        records: Cells.

    Returns:
        Names.
    """
    return list(dict.fromkeys(row["split"] for r in records if r.result for row in r.result["rows"]))


def best_records(records: Sequence[Record]) -> list[Record]:
    """The finished cell of each depth with the lowest validation NME, the best of all first.

    Args:
        records: Cells.

    Returns:
        At most one a depth. The test set chooses nothing.
    """
    best: dict[int, Record] = {}
    for record in sorted((r for r in records if r.result), key=validation_nme):
        best.setdefault(record.depth, record)
    return list(best.values())


def validation_nme(record: Record) -> float:
    """NME of a finished cell on the validation split.

    Args:
        record: A finished cell.

    Returns:
        Per cent; infinity where it has no such figure.
    """
    figures = record.figures("validation")
    return float(figures["nme"]) if figures else float("inf")
