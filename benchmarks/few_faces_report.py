"""Records, tables and plot of benchmarks/few_faces.py."""

import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flaxmark.evaluation.plots import REFERENCE, SYSTEMS, save_figure, subplots
from flaxmark.system.files import write_text
from flaxmark.system.json_text import json_text

MARKUPS = {"ibug_68": "68 points", "five_points": "five points"}
STARTS = {"shipped": "from the shipped weights", "random": "from a random start"}
TICKS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run."""

    markup: str
    start: str
    faces: int
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.markup}_{self.start}_{self.faces}_seed{self.seed}"


def record(cell: Cell, result: Mapping[str, Any]) -> Record:
    """A line of results.jsonl from the content of a run's result.json: NME in percent, and its cost."""
    own = {
        row["predictor"]: row["nme"]
        for row in result["rows"]
        if row["split"] == "validation" and row["subset"] == "all"
    }
    return dataclasses.asdict(cell) | {
        "nme": own["network"],
        "nme_last_epoch": result["history"][-1]["nme"],
        "nme_mean_face": own["mean face"],
        "epochs": result["epochs"],
        "batch_size": result["config"]["train"]["batch_size"],
        "best_step": result["best_step"],
        # With loading, compilation and report, except those of earlier starts of an interrupted run.
        "seconds": max(result["cost"]["seconds"], sum(result["time"].values())),
        "versions": result["versions"],
        "device": result["device"],
        "commit": result["commit"],
        "date": result["date"],
    }


def finished_cells(folder: Path) -> list[Record]:
    """Lines of results.jsonl of the finished cells in a folder, in the order of their names."""
    records = []
    for path in sorted(folder.glob("*_seed*/result.json")):
        name = re.fullmatch(rf"({'|'.join(MARKUPS)})_({'|'.join(STARTS)})_(\d+)_seed(\d+)", path.parent.name)
        if name:
            cell = Cell(name[1], name[2], int(name[3]), int(name[4]))
            records.append(record(cell, json.loads(path.read_text(encoding="utf-8"))))
    return records


def curve(records: Iterable[Record], markup: str, start: str, field: str) -> dict[int, list[float]]:
    """Number of faces -> the values of a field with each seed, in order."""
    values: dict[int, list[float]] = {}
    for line in sorted(records, key=lambda line: (line["faces"], line["seed"])):
        if (line["markup"], line["start"]) == (markup, start) and line[field] is not None:
            values.setdefault(line["faces"], []).append(line[field])
    return values


def mean_face_nme(records: Iterable[Record], markup: str) -> float | None:
    """NME of the mean of the largest training set of a landmark scheme, in percent; None without a cell."""
    own = [line for line in records if line["markup"] == markup]
    return max(own, key=lambda line: line["faces"])["nme_mean_face"] if own else None


def format_table(records: Sequence[Record], shipped: Mapping[str, float], field: str) -> str:
    """Markdown table of a field: number of faces by landmark scheme and start; means, and the seeds in brackets."""
    markups = [markup for markup in MARKUPS if any(line["markup"] == markup for line in records)]
    columns = [(markup, start) for markup in markups for start in STARTS]
    curves = [curve(records, *column, field) for column in columns]
    header = ["faces", *(f"{MARKUPS[markup]}, {STARTS[start]}" for markup, start in columns)]
    rows = [
        [f"{size:,}", *(_spread(values.get(size, [])) for values in curves)]
        for size in sorted({size for values in curves for size in values})
    ]
    for title, reference in (
        ("shipped model as it is", shipped.get),
        ("mean face", functools.partial(mean_face_nme, records)),
    ):
        figures = [reference(markup) if start == "shipped" else None for markup, start in columns]
        rows.append([title, *("" if figure is None else f"{figure:.2f}" for figure in figures)])
    rule = ["---", *["---:"] * len(columns)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "".join(f"{value:.2f}" for value in values)
    return f"{np.mean(values):.2f} ({', '.join(f'{value:.2f}' for value in values)})"


def plot(records: Sequence[Record], shipped: Mapping[str, float], path: Path) -> None:
    """Plot NME against the number of faces, one panel for each landmark scheme: means as lines, seeds as points."""
    markups = [markup for markup in MARKUPS if any(line["markup"] == markup for line in records)]
    figure, panels = subplots(1, len(markups), figsize=(5 * len(markups), 4.4), layout="constrained", squeeze=False)
    for axes, markup in zip(panels[0], markups, strict=True):
        for start, colour, marker in zip(STARTS, SYSTEMS, "os", strict=False):
            values = curve(records, markup, start, "nme")
            style = {"color": colour, "ms": 5, "mfc": "white"}
            axes.plot([], [], marker=marker, label=STARTS[start], **style)  # for the legend
            axes.plot(list(values), [np.mean(own) for own in values.values()], color=colour)
            for size, own in values.items():
                axes.plot([size] * len(own), own, marker, **style)
        references = (
            ("shipped model as it is", shipped.get(markup), SYSTEMS[2], "--"),
            ("mean face", mean_face_nme(records, markup), REFERENCE, ":"),
        )
        for label, value, colour, line in references:
            if value is not None:
                axes.axhline(value, color=colour, ls=line, label=label, zorder=1)
                place = {"xy": (1, value), "xycoords": ("axes fraction", "data"), "xytext": (4, 0)}
                axes.annotate(f"{value:.2f}", **place, textcoords="offset points", va="center", color=colour)
        _finish(axes, markup, sorted({line["faces"] for line in records}))
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, 2 * len(markups)), frameon=False)
    save_figure(figure, path)


def _finish(axes: Any, markup: str, sizes: Sequence[int]) -> None:
    """Title, logarithmic scales, and ticks at the numbers of faces."""
    by = "outer eye corners" if markup == "ibug_68" else "eye centres"
    axes.set(title=f"{MARKUPS[markup]}, NME by the {by}", xscale="log", yscale="log", ylabel="validation NME [%]")
    axes.set_xlabel("labelled faces (points: seeds, lines: means)")
    axes.set_xlim(min(sizes) / 1.3, max(sizes) * 1.3)
    low, high = axes.get_ylim()
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_yticks(*([tick for tick in TICKS if low <= tick <= high],) * 2)
    axes.tick_params(which="minor", bottom=False, left=False, labelbottom=False, labelleft=False)
    axes.grid(alpha=0.3)


def write_results(folder: Path, records: Sequence[Record], shipped: Mapping[str, float]) -> str:
    """Write the lines, the tables and the plot; returns the tables."""
    write_text(folder / "results.jsonl", "".join(json_text(line) + "\n" for line in records))
    titles = {"nme": "NME on the validation faces, best epoch", "nme_last_epoch": "Last epoch"}
    tables = "\n".join(f"{title}, %:\n\n{format_table(records, shipped, field)}" for field, title in titles.items())
    write_text(folder / "few_faces.md", tables)
    plot(records, shipped, folder / "few_faces.png")
    return tables
