"""Plots: training curves, sheets of faces, error distributions and traits of data sets."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from flaxmark.evaluation.metrics import ced
from flaxmark.faces.markup import Markup
from flaxmark.system.files import atomic_write
from flaxmark.system.matplotlib_setup import Axes, Figure, Line2D, LogLocator

# Okabe and Ito's colours, which are distinct for colour-blind readers.
TRUTH, PREDICTION = "#009E73", "#D55E00"
TRAIN, VALIDATION, REFERENCE = "#0072B2", "#D55E00", "#666666"
SYSTEMS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
NME, LARGEST_ERROR = "NME, inter-ocular [%]", 20


def plot_curves(history: Sequence[dict[str, Any]], title: str, mean_face_nme: float, path: Path) -> None:
    """Plot loss and validation NME against epochs, from the `validation` lines of metrics.jsonl.

    `mean_face_nme` is the validation NME of the mean face in percent, drawn as a reference.
    """
    epochs = [line["epoch"] for line in history]
    errors = np.array([line["nme"] for line in history], np.float64)  # null in JSON is NaN here
    figure, (left, right) = subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    # With few epochs as points: a line through a single epoch is invisible.
    marker = "o" if len(history) <= 30 else None
    left.plot(epochs, [line["train_loss"] for line in history], color=TRAIN, marker=marker, ms=4, label="training")
    left.plot(epochs, [line["loss"] for line in history], color=VALIDATION, marker=marker, ms=4, label="validation")
    positive = all(line[name] > 0 for line in history for name in ("train_loss", "loss"))  # nll goes below 0
    left.set(xlabel="epoch", ylabel="loss", yscale="log" if positive else "linear")
    right.plot(epochs, errors, color=VALIDATION, marker=marker, ms=4, label="validation")
    right.axhline(mean_face_nme, color=REFERENCE, linestyle="--", label=f"mean face {mean_face_nme:.1f} %")
    top = np.fmax.reduce([mean_face_nme, *errors])
    right.set(xlabel="epoch", ylabel=NME, ylim=(0, None if np.isnan(top) else 1.1 * top))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
        axes.set_xlim(0.5, max(epochs) + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(plain(title))
    save_figure(figure, path)


def plot_faces(
    images: Sequence[UInt8[np.ndarray, "size size 3"] | Float[np.ndarray, "size size 3"]],
    targets: Float[np.ndarray, "n points 2"],
    predictions: Float[np.ndarray, "n points 2"] | None,
    markup: Markup,
    captions: Sequence[str],
    title: str,
    path: Path,
) -> None:
    """Plot a grid of crops (values in [0, 255]) with ground truth and, where given, predictions, both in crop units.

    Each face has a caption; the suffix of the path chooses the format.
    """
    columns = min(6, max(1, len(images)))
    rows = max(1, -(-len(images) // columns))
    figure, axes = subplots(
        rows, columns, figsize=(2.3 * columns, 2.45 * rows + 0.9), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    layers = [(targets, TRUTH, "ground truth")]
    layers += [] if predictions is None else [(predictions, PREDICTION, "prediction")]
    for index, (axis, image, caption) in enumerate(zip(axes.flat, images, captions, strict=False)):
        axis.imshow(np.clip(np.asarray(image), 0, 255).astype(np.uint8))
        for points, colour, _ in layers:
            pixels = points[index] * len(image) - 0.5
            lines = markup.outlines or tuple((i,) for i in range(markup.num_points))
            for line in lines:
                axis.plot(*pixels[list(line)].T, color=colour, linewidth=0.9, marker="o", markersize=1.5)
        axis.set(xlim=(-0.5, len(image) - 0.5), ylim=(len(image) - 0.5, -0.5))
        axis.set_title(plain(caption), fontsize=9)
    handles = [Line2D([], [], marker="o", color=colour) for _, colour, _ in layers]
    figure.legend(handles, [name for _, _, name in layers], loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(plain(title))
    figure.get_layout_engine().set(h_pad=0.08)  # type: ignore[union-attr, call-arg]
    save_figure(figure, path)


def plain(text: str) -> str:
    """Text without what matplotlib would draw as mathematics or cannot draw, for names of files and the like."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("$", r"\$")


def subplots(*shape: int, **options: Any) -> tuple[Figure, Any]:
    """As matplotlib's `pyplot.subplots`, but without pyplot: a notebook keeps its own backend and open figures."""
    own = {name: options.pop(name) for name in ("figsize", "layout") if name in options}
    figure = Figure(**own)
    return figure, figure.subplots(*shape, **options)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure atomically; the suffix of the path chooses the format."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=figure.dpi)


def plot_systems(errors: Mapping[str, Float[np.ndarray, " n"]], title: str, path: Path) -> None:
    """Plot the cumulative error distribution of several systems.

    `errors` maps a name to the inter-ocular NME of each face in percent; NaN counts as larger than any error.
    """
    figure, axes = subplots(figsize=(7.5, 4.6), layout="constrained")
    styles = zip(SYSTEMS, ("-", "--", "-.", ":", (0, (6, 2)), (0, (3, 1, 1, 1))), strict=True)
    for (name, values), (colour, line) in zip(errors.items(), itertools.cycle(styles), strict=False):
        draw_ced(axes, np.nan_to_num(values, nan=np.inf), color=colour, ls=line, label=plain(name))
    finish_ced(axes, "")
    axes.legend(loc="lower right")
    axes.set_title(plain(title))
    save_figure(figure, path)


def draw_ced(axes: Axes, errors: Float[np.ndarray, " n"], **style: Any) -> None:
    """Draw a cumulative error distribution of inter-ocular NME (percent) as a line with a style and label."""
    thresholds = np.linspace(0, LARGEST_ERROR, 401)
    axes.plot(thresholds, ced(errors, thresholds), **style)


def finish_ced(axes: Axes, split: str) -> None:
    """Label axes with lines of `draw_ced` and mark the failure threshold of 8 %."""
    axes.axvline(8, color=REFERENCE, lw=0.8, ls=(0, (1, 3)))
    label = "faces with at most this error [%]" + (f", {split}" if split else "")
    axes.set(xlabel=NME, ylabel=label, xlim=(0, LARGEST_ERROR), ylim=(0, 100))
    axes.grid(alpha=0.3)


def plot_audit(traits: Mapping[str, Mapping[str, Float[np.ndarray, " n"]]], path: Path) -> None:
    """Plot sizes and poses of the faces of each subset as box plots.

    `traits` maps a subset to `size` (pixels between the outer eye corners) and, for iBUG's 68 points, `yaw` (degrees);
    NaN is left out.
    """
    figure, (left, right) = subplots(1, 2, figsize=(11, 1.6 + 0.42 * len(traits)), layout="constrained", sharey=True)
    places = np.arange(len(traits))
    for axes, name in ((left, "size"), (right, "yaw")):
        shown = [faces.get(name, np.zeros(0)) for faces in traits.values()]
        axes.boxplot(
            [values[~np.isnan(values)] for values in shown], positions=places, orientation="horizontal", widths=0.6,
            whis=(1, 99), flierprops={"markersize": 2}, medianprops={"color": PREDICTION},
        )  # fmt: skip
        axes.grid(axis="x", alpha=0.3)
    left.set(xscale="log", xlabel="between the outer eye corners [pixels]")
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_formatter("")
    left.set_yticks(places, [plain(f"{subset} ({len(faces['size'])})") for subset, faces in traits.items()])
    left.invert_yaxis()
    right.set(xlabel="head turned to the image's left (-) or right (+) [degrees]")
    figure.suptitle("Faces of each subset: box 25 to 75 %, whiskers 1 to 99 %")
    save_figure(figure, path)
