"""Cells in a sweep's folder, finished or not, with their results."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flaxmark.config.config import Config
from flaxmark.config.files import EXTENSIONS
from flaxmark.errors import CheckpointError, ConfigError
from flaxmark.faces.markup import Markup
from flaxmark.models.model import all_variants
from flaxmark.schema import from_dict
from flaxmark.storage.workdir import RESULT
from flaxmark.sweep.cell_files import FAILED, last_validation
from flaxmark.sweep.grid import CELL_NAME, Cell, loss_variants

RESULT_KEYS = ("rows", "splits", "history", "cost", "mean_face", "versions", "config")


@dataclasses.dataclass(frozen=True)
class Record:
    """A cell of the grid and what is known of it."""

    name: str
    """Name of its folder."""
    network: str
    """Variant of a network, such as resnet18."""
    loss: str
    """Variant of a loss, such as smooth_l1_0.02."""
    seed: int
    folder: Path
    """Its workdir."""
    config: Config
    """Config of the run; of an unfinished cell the default config with its network, loss and seed."""
    result: dict[str, Any] | None
    """Content of result.json; None if there is none."""
    state: str
    """`done`, `failed`, `started` or `waiting`."""
    note: str = ""
    """Reason of the failure, or the epoch reached."""

    @property
    def title(self) -> str:
        """Title of its network, such as ResNet-18."""
        return self.config.model.title

    @property
    def label(self) -> str:
        """Network and loss for legends and titles."""
        return f"{self.title} {self.loss}"

    @property
    def markup(self) -> Markup:
        """Landmark scheme of its faces."""
        return self.config.data.markup

    @property
    def network_index(self) -> int:
        """Position of its network among all registered ones."""
        return list(all_variants()).index(self.network)

    @property
    def loss_index(self) -> int:
        """Position of its loss among all registered ones."""
        return list(loss_variants()).index(self.loss)

    def figures(self, split: str, predictor: str = "network") -> dict[str, Any] | None:
        """Row of the results table for all faces of a split; `predictor` is `network` or `mean face`."""
        wanted = {"split": split, "subset": "all", "predictor": predictor}
        rows = self.result["rows"] if self.result else []
        row = next((row for row in rows if wanted.items() <= row.items()), None)
        # JSON has null where no face has a metric.
        return row and {name: math.nan if value is None else value for name, value in row.items()}


def read_records(folder: Path) -> list[Record]:
    """Cells of a sweep, ordered by network, loss and seed.

    Raises CheckpointError where the folder has no cells or a result cannot be read, and ConfigError where the network
    or loss of a cell is not registered.
    """
    if not folder.is_dir():
        raise CheckpointError("no such folder; give the --workdir of flaxmark sweep", file=folder)
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and CELL_NAME.fullmatch(path.name))
    if not folders:
        raise CheckpointError(f"contains no cells of a sweep, such as resnet18_mse_seed0/{RESULT}", file=folder)
    return sorted(map(_read_record, folders), key=lambda record: (record.network_index, record.loss_index, record.seed))


def _read_record(folder: Path) -> Record:
    """One cell in any state."""
    result = _read_result(folder / RESULT) if (folder / RESULT).is_file() else None
    state, note = "waiting", ""
    if result:
        cell, config = _finished_cell(folder, result)
        state = "done"
    else:
        cell = _known_cell(folder)
        config = cell.config(Config())
        if (folder / FAILED).is_file():
            state, note = "failed", (folder / FAILED).read_text(encoding="utf-8").strip()
        elif (last := last_validation(folder)) is not None:
            state, note = "started", f"epoch {last['epoch']:.0f}"
    return Record(folder.name, cell.network, cell.loss, cell.seed, folder, config, result, state, note)


def _read_result(path: Path) -> dict[str, Any]:
    """Content of a result.json that has every part the report needs."""
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key in RESULT_KEYS:
            result[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{error!r}; not a result that training wrote, move it away", file=path) from error
    return result


def _finished_cell(folder: Path, result: dict[str, Any]) -> tuple[Cell, Config]:
    """Cell and config of a result; the folder's name must agree with them."""
    path = folder / RESULT
    try:
        config: Config = from_dict(result["config"], Config)
    except ConfigError as error:
        if (error.field or "").endswith(".name"):
            raise _unknown(str(error), path) from error
        raise CheckpointError(f"{error}; move it away", file=path) from error
    cell = Cell.of(config)
    if cell is None or cell.name != folder.name:
        reason = "its network, loss and seed differ from the folder's name; rename the folder or move it away"
        raise CheckpointError(reason, file=path)
    return cell, config


def _known_cell(folder: Path) -> Cell:
    """Cell of a folder's name."""
    cell = Cell.named(folder.name)
    if cell is None:
        losses = ", ".join(loss_variants())
        raise _unknown(f"is not NETWORK_LOSS_seedN; networks: {', '.join(all_variants())}; losses: {losses}", folder)
    return cell


def _unknown(reason: str, file: Path) -> ConfigError:
    """Error about a network or loss that is not registered."""
    return ConfigError(f"{reason}; set it to the Python file that adds yours", field=EXTENSIONS, file=file)


def main_split(records: Sequence[Record]) -> str:
    """Split for plots and comparisons: test_full or test where every finished cell has it, else validation."""
    finished = [record for record in records if record.result]
    for split in ("test_full", "test"):
        if finished and all(record.figures(split) for record in finished):
            return split
    return "validation"


def splits_of(records: Sequence[Record]) -> list[str]:
    """Names of all splits in the cells' results, in their order."""
    return list(dict.fromkeys(row["split"] for r in records if r.result for row in r.result["rows"]))


def best_records(records: Sequence[Record]) -> list[Record]:
    """Finished cell of each network with the lowest validation NME, the best first; test faces choose nothing."""
    best: dict[str, Record] = {}
    for record in sorted((r for r in records if r.result), key=validation_nme):
        best.setdefault(record.network, record)
    return list(best.values())


def validation_nme(record: Record) -> float:
    """NME of a cell on the validation split in percent; infinity where it is unknown."""
    figures = record.figures("validation")
    return float(figures["nme"]) if figures and not math.isnan(figures["nme"]) else math.inf
