"""Figures of a network on splits of faces, beside those of the mean face."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from flaxmark.data.input.feed import EvalFeed
from flaxmark.data.prepare.prepare import Examples
from flaxmark.evaluation.metrics import summarize
from flaxmark.faces.markup import Markup
from flaxmark.models.batch_norm import Variables
from flaxmark.models.heads import Prediction
from flaxmark.models.losses import Loss, per_example

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
    """What a network says about a split.

    Attributes:
        landmarks: float32 `[n, num_points, 2]`, crop units.
        losses: float32 `[n]`: loss of each face.
        sigma: float32 `[n, num_points]`: expected error of each coordinate in crop units, as the network gives it,
            or None.
        sharpness: float32 `[n]` of the crops, where it was asked for.
    """

    landmarks: np.ndarray
    losses: np.ndarray
    sigma: np.ndarray | None = None
    sharpness: np.ndarray | None = None


def predict_split(
    eval_step: Callable[..., Any], variables: Variables, feed: EvalFeed, look: Callable[..., Any] | None = None
) -> Outputs:
    """Run the network on every face of a split exactly once.

    Args:
        eval_step: From `programs.build_evaluation`.
        variables: On the mesh.
        feed: Of the split.
        look: Also from there, where sharpness is wanted.

    Returns:
        One row a face, in the order of the split.
    """
    outputs: list[dict[str, Any]] = []
    for batch in feed.batches():
        outputs.append(eval_step(variables, batch) | (look(variables, batch) if look else {}))
        if len(outputs) > 2:  # so that batches do not pile up on the device
            jax.block_until_ready(outputs[-3])
    count = len(feed.examples)
    joined = {name: np.concatenate([np.asarray(o[name]) for o in outputs])[:count] for name in outputs[0]}
    sigma = np.exp(joined["log_sigma"]) if "log_sigma" in joined else None
    return Outputs(joined["landmarks"], joined["loss"], sigma, joined.get("sharpness"))


def mean_face_losses(mean_face: np.ndarray, target: np.ndarray, loss: Loss) -> np.ndarray:
    """Loss of always predicting the mean face, for nll with the one sigma that fits best.

    Args:
        mean_face: float32 `[num_points, 2]`, crop units.
        target: float32 `[n, num_points, 2]`, crop units.
        loss: Elementwise loss.

    Returns:
        float32 `[n]`.
    """
    constant = np.broadcast_to(mean_face, target.shape)
    log_sigma = np.full(target.shape[:2], 0.5 * np.log(np.square(constant - target).mean()), np.float32)
    prediction = Prediction(constant, log_sigma)  # type: ignore[arg-type]
    return np.asarray(per_example(loss(prediction, target)))  # type: ignore[arg-type]


def rows_of_split(
    split: str, examples: Examples, outputs: Outputs, mean_face: np.ndarray, loss: Loss, markup: Markup
) -> list[Row]:
    """The table's rows for one split: the network's, the mean face's, and one for each subset where there are several.

    Args:
        split: Name.
        examples: The faces.
        outputs: The network's.
        mean_face: float32 `[num_points, 2]`, crop units.
        loss: Elementwise loss.
        markup: Which points are the eyes.

    Returns:
        Dictionaries with `split`, `subset`, `predictor` and the figures of `summarize`.
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
        for predictor, points, values in (
            ("network", outputs.landmarks, outputs.losses),
            ("mean face", constant, constant_losses),
        ):
            figures = summarize(points[mask], target[mask], values[mask], markup)
            rows.append({"split": split, "subset": subset, "predictor": predictor, **figures})
    return rows


def format_table(rows: list[Mapping[str, Any]] | list[Row]) -> str:
    """The rows as a Markdown table, aligned for reading in a terminal.

    Args:
        rows: From `rows_of_split`.

    Returns:
        Lines; NME is inter-ocular unless the column says otherwise, and all but the loss is in per cent.
    """
    header = ["split", "subset", "predictor", "faces", *(title for title, _ in COLUMNS.values())]
    cells = [header]
    for row in rows:
        figures = [form.format(row[name]) for name, (_, form) in COLUMNS.items()]
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
