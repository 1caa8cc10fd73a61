"""Plots of the report in one style: each network has its colour, each loss its line style and marker."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from flaxmark.evaluation.plots import NME, REFERENCE, draw_ced, finish_ced, save_figure, subplots
from flaxmark.faces.missing import mean_where
from flaxmark.sweep.report.averages import binned_means
from flaxmark.sweep.report.cell_records import Record
from flaxmark.sweep.report.small_images import shrink_plot
from flaxmark.system.matplotlib_setup import Axes, Figure, Line2D

# By the order in which networks and losses are registered, and again from the start where there are more. The colours
# are Okabe and Ito's, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = (
    "-", "--", ":", "-.", (0, (6, 2)), (0, (1, 3)), (0, (8, 2, 2, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (2, 2)),
    (0, (10, 2)), (0, (5, 1, 1, 1)),
)  # fmt: skip
MARKERS = "os^DvPX*<>p"
TRAITS = {
    "yaw": "head turned by [degrees]",
    "size": "distance of the outer eye corners [pixels]",
    "sharpness": "sharpness of the crop [variance ratio]",
}


def plot_ced(records: Sequence[Record], split: str, path: Path) -> None:
    """Cumulative error distribution of every cell and of the mean face."""
    figure, axes = subplots(figsize=(8.5, 5.2), layout="constrained")
    for record in records:
        draw_ced(axes, _known(faces_of(record, split)["nme"]), **style(record), label=record.label)
    mean_face = _known(faces_of(records[0], split)["mean_face_nme"])
    draw_ced(axes, mean_face, color=REFERENCE, lw=2, label="mean face")
    finish_ced(axes, split)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    _save(figure, path)


def plot_points(record: Record, split: str, path: Path) -> None:
    """Mean error of each point of a cell, drawn on the mean face."""
    assert record.result is not None
    points = np.array(record.result["mean_face"])
    errors = np.array(record.result["splits"][split]["points"], np.float64)
    figure, axes = subplots(figsize=(6.4, 5.4), layout="constrained")
    for line in record.markup.outlines:
        axes.plot(*points[list(line)].T, color="#bbbbbb", lw=0.8, zorder=1)
    drawn = axes.scatter(
        points[:, 0], points[:, 1], 22 + 12 * errors, errors, cmap="viridis_r", edgecolors="black", lw=0.4, zorder=2
    )
    figure.colorbar(drawn, label="mean error [% of the inter-ocular distance]", shrink=0.8)
    low, high = points.min(axis=0) - 0.06, points.max(axis=0) + 0.06
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal", title=f"{record.label}, {split}")
    axes.axis("off")
    _save(figure, path)


def plot_parts(records: Sequence[Record], split: str, path: Path) -> None:
    """Mean error of each part of the face, for the best cell of each network."""
    figure, axes = subplots(figsize=(8.5, 3.8), layout="constrained")
    parts = records[0].markup.parts
    places, width = np.arange(len(parts)), 0.8 / len(records)
    for index, record in enumerate(sorted(records, key=lambda r: r.network_index)):
        assert record.result is not None
        errors = np.array(record.result["splits"][split]["points"], np.float64)
        heights = [mean_where(errors[list(part)], ~np.isnan(errors[list(part)])) for part in parts.values()]
        offset = (index - (len(records) - 1) / 2) * width
        bars = axes.bar(places + offset, heights, width * 0.92, color=colour_of(record), label=record.label)
        axes.bar_label(bars, fmt="%.1f", fontsize=7, padding=1)
    axes.set(xticks=places, xticklabels=list(parts), ylabel=f"mean error [% of inter-ocular], {split}")
    axes.legend(fontsize=8, ncols=2, frameon=False)
    axes.margins(y=0.18)
    axes.grid(axis="y", alpha=0.3)
    _save(figure, path)


def plot_traits(records: Sequence[Record], split: str, path: Path) -> None:
    """Mean error by pose (where the scheme gives it), size and sharpness, for the best cell of each network."""
    traits = {trait: title for trait, title in TRAITS.items() if trait in faces_of(records[0], split)}
    figure, ((*all_axes,),) = subplots(
        1, len(traits), figsize=(4 * len(traits), 3.8), layout="constrained", sharey=True, squeeze=False
    )
    for axes, (trait, title) in zip(all_axes, traits.items(), strict=True):
        for record in sorted(records, key=lambda r: r.network_index):
            faces = faces_of(record, split)
            pairs = np.array([faces[trait], faces["nme"]], np.float64)
            middles, means = binned_means(*np.abs(pairs[:, ~np.isnan(pairs).any(axis=0)]))
            axes.plot(middles, means, color=colour_of(record), marker=marker_of(record), label=record.label)
        axes.set(xlabel=title)
        axes.grid(alpha=0.3)
    all_axes[0].set(ylabel=f"{NME}, {split}", ylim=(0, None))
    all_axes[-1].legend(fontsize=8, frameon=False)
    _save(figure, path)


def plot_histories(records: Sequence[Record], path: Path) -> None:
    """Training and validation loss and validation NME by epoch: one column for each loss, one line for each cell."""
    losses = [record.loss for record in _first_of_each(records, "loss")]
    figure, all_axes = subplots(
        2, len(losses), figsize=(max(5.0, 3.4 * len(losses)), 6.4), layout="constrained", squeeze=False, sharex=True
    )
    for (above, below), loss in zip(all_axes.T, losses, strict=True):
        positive = True
        for record in (r for r in records if r.loss == loss):
            assert record.result is not None
            history, colour = record.result["history"], colour_of(record)
            epochs = [line["epoch"] for line in history]
            marker = "o" if len(epochs) == 1 else None
            above.plot(epochs, [line["train_loss"] for line in history], color=colour, ls="--", lw=1, marker=marker)
            above.plot(epochs, [line["loss"] for line in history], color=colour, marker=marker)
            below.plot(epochs, np.array([line["nme"] for line in history], np.float64), color=colour, marker=marker)
            positive = positive and all(min(line["train_loss"], line["loss"]) > 0 for line in history)
        above.set(title=loss, yscale="log" if positive else "linear")  # nll goes below 0
        below.set(xlabel="epoch", ylim=(0, None))
        below.xaxis.get_major_locator().set_params(integer=True)
        for axes in (above, below):
            axes.grid(alpha=0.3)
    all_axes[0][0].set(ylabel="loss: validation —, training - -")
    all_axes[1][0].set(ylabel=f"validation {NME}")
    handles = [Line2D([], [], color=colour_of(r), label=r.title) for r in _first_of_each(records, "network")]
    all_axes[1][0].legend(handles=handles, fontsize=8, frameon=False)
    _save(figure, path)


def plot_costs(records: Sequence[Record], split: str, path: Path) -> None:
    """Error against the computation of a training step."""
    figure, axes = subplots(figsize=(7.5, 4.4), layout="constrained")
    for record in records:
        assert record.result is not None
        figures = record.figures(split)
        gflop = record.result["cost"]["gflop"]
        if figures:
            axes.scatter(gflop, figures["nme"], s=60, color=colour_of(record), marker=marker_of(record))
    _legend_of_styles(axes, records)
    top = 1.1 * axes.get_ylim()[1]
    axes.set(xlabel="GFLOP per face in training", ylabel=f"{NME}, {split}", xscale="log", ylim=(0, top))
    for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        formatter("{x:g}")
    axes.grid(alpha=0.3, which="both")
    _save(figure, path)


def plot_jitter(levels: Sequence[float], errors: Mapping[str, Sequence[float]], title: str, path: Path) -> None:
    """Mean NME in percent at each level of a box's offset (percent of its side), by the kind of offset."""
    figure, axes = subplots(figsize=(7, 4.2), layout="constrained")
    for (name, values), colour, marker in zip(errors.items(), COLOURS, MARKERS, strict=False):
        axes.plot(levels, values, color=colour, marker=marker, label=name)
    axes.set(xlabel="box moved or scaled by up to [% of its side]", ylabel=NME, title=title, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _save(figure, path)


def plot_coverage(record: Record, split: str, path: Path) -> None:
    """Share of points in circles of the predicted error against the expected share, before and after scaling."""
    assert record.result is not None
    held = record.result["splits"][split]["coverage"]
    shares = 100 * np.array(held["share"])
    figure, axes = subplots(figsize=(5.2, 4.8), layout="constrained")
    axes.plot([0, 100], [0, 100], color=REFERENCE, lw=1)
    for name, marker, label in (("plain", "s", "sigma as predicted"), ("scaled", "o", f"times {held['scale']:.2f}")):
        axes.plot(shares, 100 * np.array(held[name]), marker=marker, ms=5, label=label)
    axes.set(
        xlabel="points that a circle should contain [%]", ylabel=f"points that it contains [%], {split}",
        title=record.label, xlim=(0, 100), ylim=(0, 100), aspect="equal",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _save(figure, path)


def colour_of(record: Record) -> str:
    """Colour of a cell's network."""
    return COLOURS[record.network_index % len(COLOURS)]


def marker_of(record: Record) -> str:
    """Marker of a cell's loss."""
    return MARKERS[record.loss_index % len(MARKERS)]


def style(record: Record) -> dict[str, Any]:
    """Colour and line style of a cell, as keywords for matplotlib."""
    return {"color": colour_of(record), "linestyle": LINES[record.loss_index % len(LINES)]}


def faces_of(record: Record, split: str) -> dict[str, list]:
    """Lists with one value for each face of a split."""
    assert record.result is not None
    return dict(record.result["splits"][split]["faces"])


def _known(errors: Sequence[float | None]) -> Float[np.ndarray, " m"]:
    """Errors of those faces that have one."""
    values = np.array(errors, np.float64)
    return values[~np.isnan(values)]


def _legend_of_styles(axes: Axes, records: Sequence[Record]) -> None:
    """Legend of colours for networks and markers for losses."""
    networks, losses = _first_of_each(records, "network"), _first_of_each(records, "loss")
    handles = [Line2D([], [], color=colour_of(r), marker="o", ls="", label=r.title) for r in networks]
    handles += [Line2D([], [], color="#555555", marker=marker_of(r), ls="", label=r.loss) for r in losses]
    axes.legend(handles=handles, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _first_of_each(records: Sequence[Record], field: Literal["network", "loss"]) -> list[Record]:
    """A cell of each network or loss, in their order."""
    firsts = {getattr(record, field): record for record in reversed(records)}
    return sorted(firsts.values(), key=lambda record: getattr(record, f"{field}_index"))


def _save(figure: Figure, path: Path) -> None:
    """Write a plot as a small PNG file and close the figure."""
    save_figure(figure, path)
    shrink_plot(path)
