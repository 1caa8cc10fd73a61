"""Predictions of a network on a split, and the rows of a results table: its metrics and those of the mean face."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from flaxmark.data.input.feed import EvalFeed
from flaxmark.data.prepare.prepare import Examples
from flaxmark.evaluation.metrics import NORMALISERS, count_left_out, summarize, visibility_figures
from flaxmark.faces.markup import Markup
from flaxmark.faces.missing import mean_where, present
from flaxmark.models.batch_norm import Variables
from flaxmark.models.heads import Prediction
from flaxmark.models.losses import Loss, face_losses

Row = dict[str, Any]

COLUMNS: dict[str, tuple[str, str]] = {
    "loss": ("loss", "{:.6f}"),
    "nme": ("NME", "{:.2f}"),
    "nme_interpupil": ("pupil", "{:.2f}"),
    "nme_box": ("box", "{:.2f}"),
    "fr_8": ("FR@8", "{:.1f}"),
    "auc_8": ("AUC@8", "{:.1f}"),
    "fr_10": ("FR@10", "{:.1f}"),
    "auc_10": ("AUC@10", "{:.1f}"),
}


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Outputs of a network on a split of n faces.

    Attributes:
        landmarks: Crop units.
        losses: Loss of each face.
        sigma: Expected error of each coordinate in crop units, uncalibrated; None where the network has none.
        sharpness: Sharpness of each crop; None where it was not measured.
        visible_logit: Logit of the probability that each point is seen; None where the network has none.
    """

    landmarks: Float[np.ndarray, "n points 2"]
    losses: Float[np.ndarray, " n"]
    sigma: Float[np.ndarray, "n points"] | None = None
    sharpness: Float[np.ndarray, " n"] | None = None
    visible_logit: Float[np.ndarray, "n points"] | None = None


def predict_split(
    evaluate: Callable[..., Any], variables: Variables, feed: EvalFeed, sharpness: Callable[..., Any] | None = None
) -> Outputs:
    """Run the network on every face of a split exactly once, in the order of the split.

    `evaluate` and `sharpness` are programs of an `Evaluation`; the variables lie on its mesh.
    """
    outputs: list[dict[str, Any]] = []
    for batch in feed.batches():
        outputs.append(evaluate(variables, batch) | (sharpness(variables, batch) if sharpness else {}))
        if len(outputs) > 2:  # so that batches do not pile up on the device
            jax.block_until_ready(outputs[-3])
    count = len(feed.examples)
    joined = {name: np.concatenate([np.asarray(o[name]) for o in outputs])[:count] for name in outputs[0]}
    sigma = np.exp(joined["log_sigma"]) if "log_sigma" in joined else None
    return Outputs(joined["landmarks"], joined["loss"], sigma, joined.get("sharpness"), joined.get("visible_logit"))


def mean_face_losses(
    mean_face: Float[np.ndarray, "points 2"], target: Float[np.ndarray, "n points 2"], loss: Loss
) -> Float[np.ndarray, " n"]:
    """Loss of always predicting the mean face, for nll with the single sigma that fits best; crop units."""
    constant = np.broadcast_to(mean_face, target.shape)
    squared = mean_where(np.square(constant - target), present(target)[..., None])
    log_sigma = np.full(target.shape[:2], 0.5 * np.log(squared), np.float32)
    prediction = Prediction(constant, log_sigma)  # type: ignore[arg-type]
    return np.asarray(face_losses(loss, prediction, target))  # type: ignore[arg-type]


def rows_of_split(
    split: str,
    examples: Examples,
    outputs: Outputs,
    mean_face: Float[np.ndarray, "points 2"],
    loss: Loss,
    markup: Markup,
) -> list[Row]:
    """Table rows of a split: network and mean face on all faces and, where there are several subsets, on each subset.

    Each has `split`, `subset`, `predictor`, the metrics of `summarize`, and what they leave out by `count_left_out`;
    that of a network which predicts visibility also has `visible_auc` (percent, see `visible_auc`) and `hidden`, the
    share of hidden points among those of which it is known (percent), where both kinds are there.
    """
    target = examples.landmarks
    constant = np.broadcast_to(mean_face, target.shape)
    constant_losses = mean_face_losses(mean_face, target, loss)
    subsets = np.asarray(examples.subsets)
    names = sorted(set(examples.subsets))
    chosen = {"all": np.ones(len(target), bool)}
    if len(names) > 1:
        chosen |= {name: subsets == name for name in names}
    rows = []
    for subset, mask in chosen.items():
        left_out = count_left_out(target[mask], markup)
        for predictor, points, values in (
            ("network", outputs.landmarks, outputs.losses),
            ("mean face", constant, constant_losses),
        ):
            figures = summarize(points[mask], target[mask], values[mask], markup)
            rows.append({"split": split, "subset": subset, "predictor": predictor, **figures, **left_out})
            if predictor == "network" and outputs.visible_logit is not None:
                rows[-1] |= visibility_figures(outputs.visible_logit[mask], examples.visible[mask])
    return rows


def format_table(rows: list[Mapping[str, Any]] | list[Row]) -> str:
    """Rows of `rows_of_split` as a Markdown table, aligned for a terminal.

    NME is inter-ocular unless the column says otherwise; all columns but the loss are in percent. A dash stands for a
    metric that no face has.
    """
    header = ["split", "subset", "predictor", "faces", *(title for title, _ in COLUMNS.values())]
    cells = [header]
    for row in rows:
        figures = [form.format(row[name]) if is_known(row[name]) else "-" for name, (_, form) in COLUMNS.items()]
        cells.append([row["split"], row["subset"], row["predictor"], str(row["faces"]), *figures])
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    lines = [
        "| "
        + " | ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (w + 2) if i < 3 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def format_results(rows: list[Mapping[str, Any]] | list[Row]) -> str:
    """Rows of `rows_of_split` for a person: the table, and a line about everything that deserves attention."""
    return "\n".join([format_table(rows), *(f"\n{remark}" for remark in remarks(rows))])


def remarks(rows: list[Mapping[str, Any]] | list[Row]) -> list[str]:
    """What the metrics of each split leave out, and where the mean face is better than the network."""
    whole = {(row["split"], row["predictor"]): row for row in rows if row["subset"] == "all"}
    lines, worse = [], []
    for row in (row for (_, predictor), row in whole.items() if predictor == "network"):
        if row.get("missing_points"):
            without = [
                f"{row[f'without_{name}']:,} of {row['faces']:,} faces have no {title} NME: they lack its points"
                for name, title in zip(NORMALISERS, ("inter-ocular", "inter-pupil", "box"), strict=True)
                if row[f"without_{name}"]
            ]
            counted = f"{row['split']}: {row['missing_points']:,} missing points are not counted"
            lines.append("; ".join([counted, *without]))
        if "visible_auc" in row:
            area, share = f"{row['visible_auc']:.1f} %", f"{row['hidden']:.1f} % of the points are hidden"
            lines.append(f"{row['split']}: AUC of telling hidden points from seen ones {area}; {share}")
        constant = whole.get((row["split"], "mean face"), {})
        # By the box where no face has both outer corners of the eyes.
        name = next((name for name in ("nme", "nme_box") if is_known(row[name])), None)
        if name and is_known(constant.get(name)) and row[name] > constant[name]:
            worse.append(f"{row['split']} (NME {row[name]:.2f} % against {constant[name]:.2f} %)")
    if worse:
        lines.append(
            f"worse than the mean face on {', '.join(worse)}: train longer, with more epochs, or with smaller batches "
            "where there are few faces; if that does not help, check the order of the annotation's points with "
            "flaxmark audit"
        )
    return lines


def is_known(value: float | None) -> bool:
    """Whether a metric is a number: neither NaN nor, as JSON has it, null."""
    return value is not None and not math.isnan(value)
