"""The report's plots, all in one style: a backbone has its colour everywhere, a loss its line and its marker."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from flaxmark.evaluation.plots import NME, REFERENCE, draw_ced, finish_ced, save_figure
from flaxmark.sweep.report.records import Record
from flaxmark.sweep.report.statistics import binned_means

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BACKBONES = {18: "#0072B2", 34: "#E69F00", 50: "#009E73", 101: "#CC79A7", 152: "#D55E00"}
LINES: dict[str, Any] = {
    "mse": "-", "mae": "--", "smooth_l1": ":", "smooth_l1_0.02": "-.", "wing": (0, (6, 2)), "soft_wing": (0, (1, 3)),
    "log_cosh": (0, (8, 2, 2, 2)), "nll": (0, (3, 1, 1, 1, 1, 1)),
}  # fmt: skip
MARKERS = {
    "mse": "o", "mae": "s", "smooth_l1": "^", "smooth_l1_0.02": "D", "wing": "v", "soft_wing": "P", "log_cosh": "X",
    "nll": "*",
}  # fmt: skip
TRAITS = {
    "yaw": "head turned by [degrees]",
    "size": "distance of the outer eye corners [pixels]",
    "sharpness": "sharpness of the crop [variance ratio]",
}


def plot_ced(records: Sequence[Record], split: str, path: Path) -> None:
    """Cumulative error distribution of every cell and of the mean face.

    Args:
        records: Finished cells with that split; of several seeds the first is drawn.
        split: Whose faces.
        path: PNG to write.
    """
    figure, axes = plt.subplots(figsize=(8.5, 5.2), layout="constrained")
    for record in records:
        draw_ced(axes, np.array(faces_of(record, split)["nme"]), **style(record), label=record.label)
    mean_face = np.array(faces_of(records[0], split)["mean_face_nme"])
    draw_ced(axes, mean_face, color=REFERENCE, lw=2, label="mean face")
    finish_ced(axes, split)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    save_figure(figure, path)


def plot_points(record: Record, split: str, path: Path) -> None:
    """Error of each point, drawn where the mean face has it.

    Args:
        record: A finished cell.
        split: Over whose faces.
        path: PNG to write.
    """
    assert record.result is not None
    points, errors = np.array(record.result["mean_face"]), np.array(record.result["splits"][split]["points"])
    figure, axes = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
    for line in record.markup.outlines:
        axes.plot(*points[list(line)].T, color="#bbbbbb", lw=0.8, zorder=1)
    drawn = axes.scatter(
        points[:, 0], points[:, 1], 22 + 12 * errors, errors, cmap="viridis_r", edgecolors="black", lw=0.4, zorder=2
    )
    figure.colorbar(drawn, label="mean error [% of the inter-ocular distance]", shrink=0.8)
    low, high = points.min(axis=0) - 0.06, points.max(axis=0) + 0.06
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal", title=f"{record.label}, {split}")
    axes.axis("off")
    save_figure(figure, path)


def plot_parts(records: Sequence[Record], split: str, path: Path) -> None:
    """Error of each part of the face, for the best cell of each backbone.

    Args:
        records: Finished cells.
        split: Over whose faces.
        path: PNG to write.
    """
    figure, axes = plt.subplots(figsize=(8.5, 3.8), layout="constrained")
    parts = records[0].markup.parts
    places, width = np.arange(len(parts)), 0.8 / len(records)
    for index, record in enumerate(sorted(records, key=lambda r: r.depth)):
        assert record.result is not None
        errors = np.array(record.result["splits"][split]["points"])
        heights = [errors[list(part)].mean() for part in parts.values()]
        offset = (index - (len(records) - 1) / 2) * width
        bars = axes.bar(places + offset, heights, width * 0.92, color=BACKBONES[record.depth], label=record.label)
        axes.bar_label(bars, fmt="%.1f", fontsize=7, padding=1)
    axes.set(xticks=places, xticklabels=list(parts), ylabel=f"mean error [% of inter-ocular], {split}")
    axes.legend(fontsize=8, ncols=2, frameon=False)
    axes.margins(y=0.18)
    axes.grid(axis="y", alpha=0.3)
    save_figure(figure, path)


def plot_traits(records: Sequence[Record], split: str, path: Path) -> None:
    """Error against pose (of faces whose points tell), size and sharpness, for the best cell of each backbone.

    Args:
        records: Finished cells.
        split: Whose faces, in six groups of equal number.
        path: PNG to write.
    """
    traits = {trait: title for trait, title in TRAITS.items() if trait in faces_of(records[0], split)}
    figure, all_axes = plt.subplots(1, len(traits), figsize=(4 * len(traits), 3.8), layout="constrained", sharey=True)
    for axes, (trait, title) in zip(all_axes, traits.items(), strict=True):
        for record in sorted(records, key=lambda r: r.depth):
            faces = faces_of(record, split)
            values, errors = np.abs(np.array(faces[trait])), np.array(faces["nme"])
            middles, means = binned_means(values, errors)
            axes.plot(middles, means, color=BACKBONES[record.depth], marker=MARKERS[record.column], label=record.label)
        axes.set(xlabel=title)
        axes.grid(alpha=0.3)
    all_axes[0].set(ylabel=f"{NME}, {split}", ylim=(0, None))
    all_axes[-1].legend(fontsize=8, frameon=False)
    save_figure(figure, path)


def plot_histories(records: Sequence[Record], path: Path) -> None:
    """Training and validation loss of every cell, one panel a loss, and validation NME of all.

    Args:
        records: Finished cells; of several seeds the first is drawn.
        path: PNG to write.
    """
    columns = list(dict.fromkeys(record.column for record in records))
    figure, all_axes = plt.subplots(
        2, len(columns), figsize=(max(5.0, 3.4 * len(columns)), 6.4), layout="constrained", squeeze=False, sharex=True
    )
    for (above, below), column in zip(all_axes.T, columns, strict=True):
        for record in (r for r in records if r.column == column and r.result):
            assert record.result is not None
            history, colour = record.result["history"], BACKBONES[record.depth]
            epochs = [line["epoch"] for line in history]
            marker = "o" if len(epochs) == 1 else None
            above.plot(epochs, [line["train_loss"] for line in history], color=colour, ls="--", lw=1, marker=marker)
            above.plot(epochs, [line["loss"] for line in history], color=colour, marker=marker)
            below.plot(epochs, [line["nme"] for line in history], color=colour, marker=marker)
        above.set(title=column, yscale="linear" if column == "nll" else "log")  # nll goes below 0
        below.set(xlabel="epoch", ylim=(0, None))
        below.xaxis.get_major_locator().set_params(integer=True)
        for axes in (above, below):
            axes.grid(alpha=0.3)
    all_axes[0][0].set(ylabel="loss: validation —, training - -")
    all_axes[1][0].set(ylabel=f"validation {NME}")
    depths = sorted({record.depth for record in records if record.result})
    handles = [plt.Line2D([], [], color=BACKBONES[depth], label=f"{depth}") for depth in depths]
    all_axes[1][0].legend(handles=handles, title="ResNet", fontsize=8, frameon=False)
    save_figure(figure, path)


def plot_costs(records: Sequence[Record], split: str, path: Path) -> None:
    """Error against what a step computes.

    Args:
        records: Finished cells.
        split: Over whose faces.
        path: PNG to write.
    """
    figure, axes = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
    for record in records:
        assert record.result is not None
        figures = record.figures(split)
        gflop = record.result["cost"]["gflop"]
        if figures:
            axes.scatter(gflop, figures["nme"], s=60, color=BACKBONES[record.depth], marker=MARKERS[record.column])
    _legend_of_styles(axes, records)
    top = 1.1 * axes.get_ylim()[1]
    axes.set(xlabel="GFLOP of a face in training", ylabel=f"{NME}, {split}", xscale="log", ylim=(0, top))
    for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        formatter("{x:g}")
    axes.grid(alpha=0.3, which="both")
    save_figure(figure, path)


def plot_jitter(levels: Sequence[float], errors: Mapping[str, Sequence[float]], title: str, path: Path) -> None:
    """Error against how far the box is off.

    Args:
        levels: Per cent of the box's side.
        errors: What is disturbed -> mean NME at each level.
        title: Above the plot.
        path: PNG to write.
    """
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for (name, values), colour, marker in zip(errors.items(), BACKBONES.values(), "os^D", strict=False):
        axes.plot(levels, values, color=colour, marker=marker, label=name)
    axes.set(xlabel="box moved or scaled by up to [% of its side]", ylabel=NME, title=title, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_figure(figure, path)


def plot_coverage(record: Record, split: str, path: Path) -> None:
    """How many points lie in the circles that should hold a share of them, sigma as learnt and scaled.

    Args:
        record: A finished cell with sigma.
        split: Over whose faces.
        path: PNG to write.
    """
    assert record.result is not None
    held = record.result["splits"][split]["coverage"]
    shares = 100 * np.array(held["share"])
    figure, axes = plt.subplots(figsize=(5.2, 4.8), layout="constrained")
    axes.plot([0, 100], [0, 100], color=REFERENCE, lw=1)
    for name, marker, label in (("plain", "s", "sigma as learnt"), ("scaled", "o", f"times {held['scale']:.2f}")):
        axes.plot(shares, 100 * np.array(held[name]), marker=marker, ms=5, label=label)
    axes.set(
        xlabel="points that the circle should hold [%]", ylabel=f"points that it holds [%], {split}",
        title=record.label, xlim=(0, 100), ylim=(0, 100), aspect="equal",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_figure(figure, path)


def style(record: Record) -> dict[str, Any]:
    """Colour and line of a cell.

    Args:
        record: The cell.

    Returns:
        Keywords for matplotlib.
    """
    return {"color": BACKBONES[record.depth], "linestyle": LINES[record.column]}


def faces_of(record: Record, split: str) -> dict[str, list]:
    """The lists of a finished cell's faces.

    Args:
        record: The cell.
        split: One that it has.

    Returns:
        As `result.split_figures` makes them.
    """
    assert record.result is not None
    return dict(record.result["splits"][split]["faces"])


def _legend_of_styles(axes: Axes, records: Sequence[Record]) -> None:
    """Colours stand for backbones, markers for losses."""
    depths, columns = (sorted({r.depth for r in records}), list(dict.fromkeys(r.column for r in records)))
    handles = [plt.Line2D([], [], color=BACKBONES[d], marker="o", ls="", label=f"ResNet-{d}") for d in depths]
    handles += [plt.Line2D([], [], color="#555555", marker=MARKERS[c], ls="", label=c) for c in columns]
    axes.legend(handles=handles, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
