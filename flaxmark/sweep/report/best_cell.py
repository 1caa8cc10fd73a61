"""Faces of the best cell, and its error with inexact boxes; both need the data set and the cell's workdir."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from flaxmark.data.input.feed import crops_of
from flaxmark.data.prepare.prepare import Examples, load_split, prepare
from flaxmark.errors import CheckpointError, DataError
from flaxmark.evaluation.metrics import mean_nme, nme
from flaxmark.evaluation.plots import plot_faces
from flaxmark.evaluation.run_report import SHEET_FACES, load_evaluator, nme_captions
from flaxmark.storage.remote import checkpoints_of
from flaxmark.storage.workdir import PREDICTIONS
from flaxmark.sweep.report.cell_records import Record
from flaxmark.sweep.report.small_images import save_sheet

FACE_SIZE = 160
JITTER_LEVELS = (0, 5, 10, 15, 20)
"""Largest offsets of a box in percent of its side."""


def load_faces(record: Record, split: str) -> Examples:
    """Faces on which a finished cell was evaluated, in the same order; DataError where they are not available."""
    assert record.result is not None
    prepared = prepare(record.config.data, for_training=False)
    if prepared.fingerprint != record.result["data_fingerprint"]:
        raise DataError("the data set on this machine differs from the one that the cell was trained on")
    return load_split(prepared, split)


def draw_sheets(record: Record, split: str, examples: Examples, folder: Path) -> list[str]:
    """Write worst.webp and random.webp, the faces with the largest errors and random ones; returns both names.

    Raises CheckpointError where the cell's predictions are missing.
    """
    path = record.folder / PREDICTIONS
    if not path.is_file():
        raise CheckpointError(f"has no {PREDICTIONS} on this machine", file=record.name)
    with np.load(path, allow_pickle=False) as stored:
        predictions = stored[split]
    errors = nme(predictions, examples.landmarks, markup=record.markup)
    count = min(SHEET_FACES, len(errors))
    chosen = {
        "worst": np.argsort(-errors, kind="stable")[:count],
        "random": np.sort(np.random.default_rng(0).choice(len(errors), count, replace=False)),
    }
    with tempfile.TemporaryDirectory() as temporary:
        for name, indices in chosen.items():
            large = Path(temporary, f"{name}.png")
            plot_faces(
                list(crops_of(examples, indices, record.config.data, FACE_SIZE)),
                examples.landmarks[indices],
                predictions[indices],
                record.markup,
                nme_captions(errors[indices]),
                f"{record.label}, {split}: {name}",
                large,
            )
            save_sheet(large, folder / f"{name}.webp")
    return [f"{name}.webp" for name in chosen]


def jitter_errors(record: Record, examples: Examples) -> dict[str, list[float]]:
    """Mean NME in percent at each of `JITTER_LEVELS`, with boxes `moved`, `scaled` and `both`.

    Raises CheckpointError where the cell's checkpoint is missing.
    """
    if not checkpoints_of(record.folder).is_dir():
        raise CheckpointError("has no checkpoint on this machine", file=record.name)
    evaluate, _, _ = load_evaluator(record.folder, enlarged=1 + max(JITTER_LEVELS) / 100)
    scale = record.config.data.crop.scale
    # The same directions at each level, so that the curves are smooth.
    draws = np.random.default_rng(0).uniform(-1, 1, (len(examples.landmarks), 3))
    modes = {"moved": (1, 1, 0), "scaled": (0, 0, 1), "both": (1, 1, 1)}
    errors: dict[str, list[float]] = {}
    for name, axes in modes.items():
        errors[name] = []
        for level in JITTER_LEVELS:
            moved = move_boxes(examples, draws * axes * (level / 100), scale)
            errors[name].append(mean_nme(evaluate(moved).landmarks, moved.landmarks, markup=record.markup))
    return errors


def move_boxes(examples: Examples, offsets: Float[np.ndarray, "n 3"], scale: float) -> Examples:
    """The same faces with other crops: boxes moved right and down and enlarged by fractions of their longer side.

    `scale` is the side of the crop over that of the box.
    """
    moved_by = offsets[:, :2] / scale
    larger = 1 + offsets[:, 2:]
    # Crop units about the crop's middle: u' = (u - 0.5 - moved) / larger + 0.5.
    landmarks = (examples.landmarks - 0.5 - moved_by[:, None]) / larger[:, None] + 0.5
    corner = (moved_by + 0.5 - 0.5 * larger) * examples.crops[:, 2:]
    crops = np.concatenate([examples.crops[:, :2] + corner, examples.crops[:, 2:] * larger], axis=1)
    return dataclasses.replace(examples, landmarks=landmarks.astype(np.float32), crops=crops.astype(np.float32))
