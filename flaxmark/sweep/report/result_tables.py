"""Tables of the report, and the sentence that judges the results."""

import math
from collections.abc import Sequence
from typing import Any

from flaxmark.config import SmoothL1
from flaxmark.sweep.report.averages import mean_interval
from flaxmark.sweep.report.cell_records import Record, main_split, splits_of
from flaxmark.sweep.report.document import Formula, Table, Value
from flaxmark.sweep.report.texts import Texts
from flaxmark.system.progress import format_seconds

FIRST, LAST = -1, math.inf  # sort keys

BEST_LOSSES: dict[str, dict[str, float]] = {
    "mse": {"resnet18": 0.0032, "resnet34": 0.0028, "resnet50": 0.0027, "resnet101": 0.0031, "resnet152": 0.0028},
    "mae": {"resnet18": 0.0377, "resnet34": 0.0259, "resnet50": 0.0384, "resnet101": 0.0363, "resnet152": 0.0362},
    "smooth_l1": {"resnet18": 0.0018, "resnet34": 0.0013, "resnet50": 0.0013, "resnet101": 0.0015, "resnet152": 0.0014},
}
"""Loss -> network -> its best loss after 20 epochs in the test report that the table reproduces."""

MEAN_FACE: dict[str, float] = {"mse": 0.0027, "mae": 0.0385, "smooth_l1": 0.0013}
"""Loss of always predicting the mean face, measured on 504 faces in the report's convention: box enlarged 1.5 times and
clipped, labels in [0, 1] of it; NME 15.7 %."""


def sheet_name(record: Record) -> str:
    """File in img/ with a cell's test faces, named as in the original report."""
    return f"landmark_baseline_{record.network}_criterion_{record.loss}_{record.seed}.webp"


def loss_blocks(records: Sequence[Record], images: set[str], texts: Texts) -> list[Any]:
    """Formula and table of one loss: best loss, NME, the original report's best loss and test faces per network.

    `records` are the cells with that loss, and `images` the files in img/.
    """
    name, loss, split = records[0].loss, records[0].config.loss, "validation"
    rows: list[list[Value]] = []
    constant = next((figures for r in records if (figures := r.figures(split, "mean face"))), None)
    if constant:
        original = _number(MEAN_FACE.get(name), "{:.4f}")
        rows.append([Value(texts.mean_face, FIRST), *_loss_and_nme(constant), original, Value("")])
    for network in dict.fromkeys(r.network for r in records):
        cells = [r for r in records if r.network == network]
        done = [figures for r in cells if (figures := r.figures(split))]
        shown = next((r for r in cells if sheet_name(r) in images), None)
        opens, image = (shown.name, f"![](./img/{sheet_name(shown)})") if shown else ("", "")
        means = {key: mean_interval([f[key] for f in done])[0] for key in ("loss", "nme")} if done else {}
        original = _number(BEST_LOSSES.get(name, {}).get(network), "{:.4f}")
        head = Value(network, cells[0].network_index, opens)
        rows.append([head, *_loss_and_nme(means), original, Value(image, opens=opens)])
    note = [texts.same_as_mse] if loss == SmoothL1(1.0) else []
    return [[name], Formula(*loss.formula), *note, Table(texts.table_head, rows)]


def metrics_table(records: Sequence[Record], baselines: Sequence[dict[str, Any]], texts: Texts) -> Table:
    """NME, FR@8 and AUC@8 of every split: the mean face first, then all cells, then other systems.

    `baselines` hold a `name` and, by split, figures.
    """
    splits = splits_of(records)
    head = [texts.table_head[0], "loss", *(f"{split} {name}" for split in splits for name in ("NME", "FR@8", "AUC@8"))]
    finished = [r for r in records if r.result]
    rows = []
    if finished:
        figures = [finished[0].figures(split, "mean face") for split in splits]
        rows.append([Value(texts.mean_face, FIRST), Value(""), *_metrics(figures)])
    several = len({r.seed for r in finished}) > 1
    for record in finished:
        figures = [record.figures(split) for split in splits]
        name = f"{record.network} ({record.seed})" if several else record.network
        rows.append([Value(name, record.network_index, record.name), Value(record.loss), *_metrics(figures)])
    for system in baselines:
        rows.append([Value(system["name"], LAST), Value(""), *_metrics([system.get(split) for split in splits])])
    return Table(head, rows)


def seeds_table(records: Sequence[Record], texts: Texts) -> Table | None:
    """Mean and interval of NME over seeds, networks by losses; None where no cell has two seeds."""
    split = main_split(records)
    groups: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if figures := record.figures(split):
            groups.setdefault((record.network, record.loss), []).append(figures["nme"])
    if all(len(values) < 2 for values in groups.values()):
        return None
    losses = list(dict.fromkeys(loss for _, loss in groups))
    rows = []
    for index, network in enumerate(dict.fromkeys(network for network, _ in groups)):
        row = [Value(network, index)]
        for loss in losses:
            values = groups.get((network, loss), [])
            mean, half = mean_interval(values) if values else (math.nan, math.nan)
            interval = f" ± {half:.2f} ({len(values)})" if len(values) > 1 else f" ({len(values)})"
            row.append(Value(f"{mean:.2f}{interval}", mean) if values else Value("-", LAST))
        rows.append(row)
    return Table([texts.table_head[0], *(f"{loss} NME, {split}" for loss in losses)], rows)


def cost_table(records: Sequence[Record], texts: Texts) -> Table:
    """Parameters, computation, speed and time of every finished cell."""
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
    """Whether each cell has less than half of the mean face's NME and a quarter of its mse on validation."""
    finished, failing = [r for r in records if r.result], []
    for record in finished:
        own, constant = record.figures("validation"), record.figures("validation", "mean face")
        if own and constant and (own["nme"] >= constant["nme"] / 2 or own["mse"] >= constant["mse"] / 4):
            failing.append(record.name)
    if not failing:
        return texts.verdict
    return texts.verdict_fails.format(count=len(failing), all=len(finished), cells=", ".join(failing))


def _loss_and_nme(figures: dict[str, Any]) -> list[Value]:
    """Two table cells."""
    return [_number(figures.get("loss"), "{:.6f}"), _number(figures.get("nme"), "{:.2f}")]


def _metrics(figures_of_splits: Sequence[dict[str, Any] | None]) -> list[Value]:
    """Three table cells for each split."""
    forms = {"nme": "{:.2f}", "fr_8": "{:.1f}", "auc_8": "{:.1f}"}
    return [_number((figures or {}).get(key), form) for figures in figures_of_splits for key, form in forms.items()]


def _number(value: float | None, form: str) -> Value:
    """A number; a dash, sorted last, where it is unknown."""
    return Value("-", LAST) if value is None or math.isnan(value) else Value(form.format(value), float(value))


def _duration(seconds: float | None) -> Value:
    """Hours and minutes; a dash, sorted last, where unknown."""
    return Value("-", LAST) if seconds is None else Value(format_seconds(seconds), seconds)
