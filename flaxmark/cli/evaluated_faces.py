"""Which faces of a data set evaluate takes, and how it says so."""

from pathlib import Path
from typing import Literal

from flaxmark.data.config import DataConfig
from flaxmark.data.data_sets import find_data_set
from flaxmark.data.prepare.prepare import Prepared, find_data_dir, prepare
from flaxmark.data.prepare.sources import WHOLE, Undivided
from flaxmark.errors import ConfigError, DataError

Choice = Literal["auto", "all", "held-out"]


def prepare_faces(chosen: Choice, wanted: DataConfig, trained: DataConfig) -> Prepared:
    """Prepare the faces to evaluate a run on that was trained with `trained`.

    `auto` takes all faces of a folder that the run was not trained on, unless the folder or its lists name held-out
    faces. Raises ConfigError where there is no folder to take all faces of, DataError where no face is held out.
    """
    in_folder = find_data_set(wanted.name).in_folder
    if chosen == "all" and not in_folder:
        raise ConfigError("is for data sets in a folder", field="faces", value=chosen)
    undivided: Undivided = "always" if chosen == "all" else "never"
    if chosen == "auto" and in_folder and find_data_dir(wanted).resolve() != _folder(trained):
        undivided = "unless_divided"
    prepared = prepare(wanted, for_training=False, undivided=undivided)
    if set(prepared.counts) == {"train"}:
        reason = "has no held-out face, and metrics on training faces mean nothing; --faces all takes them all the same"
        raise DataError(reason, field="data.dir", value=wanted.dir)
    return prepared


def describe_faces(prepared: Prepared) -> str:
    """One line: how many faces of which splits are evaluated, and how many are not."""
    counts = prepared.counts
    # The faces of `test_full` are in other splits, too.
    total = sum(count for split, count in counts.items() if split != "test_full")
    if WHOLE in counts:
        return f"all {total:,} of {prepared.name}"
    parts = ", ".join(f"{split} {count:,}" for split, count in counts.items() if split != "train")
    rest = counts.get("train", 0)
    return f"{parts} of {total:,} of {prepared.name}" + (
        f"; {rest:,} training faces are not evaluated (--faces all takes every face)" if rest else ""
    )


def _folder(trained: DataConfig) -> Path | None:
    """The folder that a run was trained on, where it still exists."""
    try:
        return find_data_dir(trained).resolve()
    except (ConfigError, DataError):
        return None
