"""The report as data: sections of paragraphs, tables and images, the same for Markdown and HTML."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from flaxmark.sweep.report.original_report import CELLS, MEAN_FACE
from flaxmark.sweep.report.records import Record, main_split, splits_of
from flaxmark.sweep.report.statistics import mean_interval
from flaxmark.sweep.report.texts import FORMULAS, Texts
from flaxmark.system.progress import format_seconds


@dataclasses.dataclass(frozen=True)
class Value:
    """A table's cell: its text, what it is sorted by, and the cell of the grid that it opens."""

    text: str
    sort: float | str = ""
    opens: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Heads and rows."""

    head: Sequence[str]
    rows: list[list[Value]]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A file of img/."""

    file: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Formula:
    """For Markdown and for a page."""

    latex: str
    plain: str


@dataclasses.dataclass
class Section:
    """A heading and what stands below it."""

    title: str
    level: int = 2
    blocks: list[str | list[str] | Table | Figure | Formula] = dataclasses.field(default_factory=list)


def image_name(record: Record) -> str:
    """The file of a cell's test image, named as in the test report.

    Args:
        record: The cell.

    Returns:
        Its name in img/.
    """
    return f"landmark_baseline_resnet{record.depth}_criterion_{record.column}_{record.seed}.jpg"


def loss_tables(records: Sequence[Record], column: str, images: set[str], texts: Texts) -> list[Any]:
    """One table of the original: backbone, best loss and test image, with NME and the original's figure.

    Args:
        records: All cells.
        column: The loss.
        images: Files of img/ that exist.
        texts: In the report's language.

    Returns:
        Blocks of a section.
    """
    split = "validation"
    rows: list[list[Value]] = []
    finished = [r for r in records if r.column == column and r.result]
    constant = finished[0].figures(split, "mean face") if finished else None
    if constant:
        original = MEAN_FACE.get(column)
        rows.append(
            [Value(texts.mean_face, 0), *_loss_and_nme(constant), _number(original, "{:.4f}"), Value("")],
        )
    for depth in sorted({r.depth for r in records if r.column == column}):
        cells = [r for r in records if (r.depth, r.column) == (depth, column)]
        done = [figures for r in cells if (figures := r.figures(split))]
        imaged = next((r for r in cells if image_name(r) in images), None)
        opens, shown = (imaged.name, f"![](./img/{image_name(imaged)})") if imaged else ("", "")
        means = {key: mean_interval([f[key] for f in done])[0] for key in ("loss", "nme")} if done else {}
        original = CELLS.get(column, {}).get(depth)
        name, image = Value(f"resnet{depth}", depth, opens), Value(shown, opens=opens)
        rows.append([name, *_loss_and_nme(means), _number(original, "{:.4f}"), image])
    note = [texts.same_as_mse] if column == "smooth_l1" else []
    return [[column], Formula(*FORMULAS[column]), *note, Table(texts.table_head, rows)]


def metrics_table(records: Sequence[Record], baselines: Sequence[dict[str, Any]], texts: Texts) -> Table:
    """NME, FR@8 and AUC@8 of every split for every cell, the mean face first, other systems last.

    Args:
        records: All cells.
        baselines: Other systems: `name`, and split -> figures.
        texts: In the report's language.

    Returns:
        The table.
    """
    splits = splits_of(records)
    head = [texts.table_head[0], "loss", *(f"{split} {name}" for split in splits for name in ("NME", "FR@8", "AUC@8"))]
    finished = [r for r in records if r.result]
    rows = []
    if finished:
        figures = [finished[0].figures(split, "mean face") for split in splits]
        rows.append([Value(texts.mean_face, 0), Value(""), *_metrics(figures)])
    for record in finished:
        figures = [record.figures(split) for split in splits]
        seed = f" ({record.seed})" if len({r.seed for r in finished}) > 1 else ""
        rows.append(
            [Value(f"resnet{record.depth}{seed}", record.depth, record.name), Value(record.column), *_metrics(figures)]
        )
    for system in baselines:
        rows.append([Value(system["name"], 999), Value(""), *_metrics([system.get(split) for split in splits])])
    return Table(head, rows)


def seeds_table(records: Sequence[Record], texts: Texts) -> Table | None:
    """Mean and interval of NME over seeds.

    Args:
        records: All cells.
        texts: In the report's language.

    Returns:
        One row a backbone, one column a loss; None where no cell has two seeds.
    """
    split, groups = main_split(records), _nme_by_cell(records, main_split(records))
    if all(len(values) < 2 for values in groups.values()):
        return None
    columns = list(dict.fromkeys(column for _, column in groups))
    rows = []
    for depth in sorted({depth for depth, _ in groups}):
        row = [Value(f"resnet{depth}", depth)]
        for column in columns:
            mean, half = mean_interval(groups[depth, column]) if (depth, column) in groups else (math.nan, math.nan)
            count = len(groups.get((depth, column), ()))
            interval = f" ± {half:.2f} ({count})" if count > 1 else f" ({count})"
            row.append(Value(f"{mean:.2f}{interval}" if count else "-", mean if count else math.inf))
        rows.append(row)
    return Table([texts.table_head[0], *(f"{column} NME, {split}" for column in columns)], rows)


def cost_table(records: Sequence[Record], texts: Texts) -> Table:
    """What every finished cell took.

    Args:
        records: All cells.
        texts: In the report's language.

    Returns:
        The table.
    """
    rows = []
    for record in (r for r in records if r.result):
        assert record.result is not None
        cost = record.result["cost"]
        rows.append(
            [
                Value(record.name, record.name, record.name),
                _number(cost["parameters"], "{:,.0f}"),
                _number(cost["gflop"], "{:.2f}"),
                _number(cost["images_per_second"], "{:.1f}"),
                _duration(cost["seconds"]),
            ]
        )
    return Table(texts.cost_head, rows)


def verdict(records: Sequence[Record], texts: Texts) -> str:
    """Whether each cell has less than half of the mean face's NME and a quarter of its mse on validation.

    Args:
        records: All cells, at least one of them finished.
        texts: In the report's language.

    Returns:
        A sentence that names those that have not.
    """
    finished, failing = [r for r in records if r.result], []
    for record in finished:
        own, constant = record.figures("validation"), record.figures("validation", "mean face")
        if own and constant and not (own["nme"] < constant["nme"] / 2 and own["mse"] < constant["mse"] / 4):
            failing.append(record.name)
    if not failing:
        return texts.verdict
    return texts.verdict_fails.format(count=len(failing), all=len(finished), cells=", ".join(failing))


def _nme_by_cell(records: Sequence[Record], split: str) -> dict[tuple[int, str], list[float]]:
    """NME of every seed."""
    groups: dict[tuple[int, str], list[float]] = {}
    for record in records:
        if figures := record.figures(split):
            groups.setdefault((record.depth, record.column), []).append(figures["nme"])
    return groups


def _loss_and_nme(figures: dict[str, Any]) -> list[Value]:
    return [_number(figures.get("loss"), "{:.6f}"), _number(figures.get("nme"), "{:.2f}")]


def _metrics(figures_of_splits: Sequence[dict[str, Any] | None]) -> list[Value]:
    """Three values for each split."""
    forms = {"nme": "{:.2f}", "fr_8": "{:.1f}", "auc_8": "{:.1f}"}
    return [_number((figures or {}).get(key), form) for figures in figures_of_splits for key, form in forms.items()]


def _number(value: float | None, form: str) -> Value:
    """A dash for what is not known, last when sorted."""
    return Value("-", math.inf) if value is None else Value(form.format(value), float(value))


def _duration(seconds: float | None) -> Value:
    """Hours and minutes; a dash for what is not known."""
    return Value("-", math.inf) if seconds is None else Value(format_seconds(seconds), seconds)
