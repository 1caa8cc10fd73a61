"""Images of the best cell's faces, and what a box that is off does to it; both need the data set here."""

import dataclasses
from pathlib import Path

import numpy as np

from flaxmark.config.config import Config
from flaxmark.data.input.feed import crops_of
from flaxmark.data.prepare.prepare import Examples, load_split, prepare
from flaxmark.errors import ConfigError
from flaxmark.evaluation.metrics import nme
from flaxmark.evaluation.plots import plot_faces
from flaxmark.evaluation.run_report import SHEET_FACES, load_evaluator, nme_captions
from flaxmark.schema import from_dict
from flaxmark.storage.remote import checkpoints_of
from flaxmark.storage.workdir import PREDICTIONS
from flaxmark.sweep.report.records import Record

FACE_SIZE = 160
JITTER_LEVELS = (0, 5, 10, 15, 20)


def load_faces(record: Record, split: str) -> Examples:
    """The faces that a cell was evaluated on.

    Args:
        record: A finished cell.
        split: Which of its splits.

    Returns:
        The same faces in the same order.

    Raises:
        ConfigError: They are not on this machine, or others.
    """
    assert record.result is not None
    prepared = prepare(from_dict(record.result["config"], Config).data, for_training=False)
    if prepared.fingerprint != record.result["data_fingerprint"]:
        raise ConfigError("the data set on this machine is not the one that the cell was trained on")
    return load_split(prepared, split)


def draw_sheets(record: Record, split: str, examples: Examples, folder: Path) -> list[str]:
    """Draw the worst faces of a cell and some at random.

    Args:
        record: A finished cell.
        split: Whose faces.
        examples: From `load_faces`.
        folder: Gets worst.jpg and random.jpg.

    Returns:
        Both names.

    Raises:
        ConfigError: The cell's predictions are not here, only its result.
    """
    path = record.folder / PREDICTIONS
    if not path.is_file():
        raise ConfigError(f"{record.name} has no {PREDICTIONS} here")
    with np.load(path, allow_pickle=False) as stored:
        predictions = stored[split]
    assert record.result is not None
    data, markup = from_dict(record.result["config"], Config).data, record.markup
    errors = nme(predictions, examples.landmarks, markup=markup)
    count = min(SHEET_FACES, len(errors))
    chosen = {
        "worst": np.argsort(-errors, kind="stable")[:count],
        "random": np.sort(np.random.default_rng(0).choice(len(errors), count, replace=False)),
    }
    for name, indices in chosen.items():
        images = list(crops_of(examples, indices, data, FACE_SIZE))
        title = f"{record.label}, {split}: {name}"
        plot_faces(
            images,
            examples.landmarks[indices],
            predictions[indices],
            markup,
            nme_captions(errors[indices]),
            title,
            folder / f"{name}.jpg",
        )
    return [f"{name}.jpg" for name in chosen]


def jitter_errors(record: Record, examples: Examples) -> dict[str, list[float]]:
    """Mean NME of a cell when the boxes are off by more and more.

    Args:
        record: A finished cell with its checkpoint.
        examples: From `load_faces`.

    Returns:
        `moved`, `scaled` and `both` -> per cent at each of `JITTER_LEVELS`.

    Raises:
        ConfigError: The checkpoint is not here.
    """
    if not checkpoints_of(record.folder).is_dir():
        raise ConfigError(f"{record.name} has no checkpoint here")
    evaluate, _, metadata = load_evaluator(record.folder, enlarged=1 + max(JITTER_LEVELS) / 100)
    scale = from_dict(metadata["config"], Config).data.crop.scale
    # The same directions at each level, so that the curves are smooth.
    draws = np.random.default_rng(0).uniform(-1, 1, (len(examples.landmarks), 3))
    modes = {"moved": (1, 1, 0), "scaled": (0, 0, 1), "both": (1, 1, 1)}
    errors: dict[str, list[float]] = {}
    for name, axes in modes.items():
        errors[name] = []
        for level in JITTER_LEVELS:
            moved = move_boxes(examples, draws * axes * (level / 100), scale)
            errors[name].append(float(nme(evaluate(moved).landmarks, moved.landmarks, markup=record.markup).mean()))
    return errors


def move_boxes(examples: Examples, offsets: np.ndarray, scale: float) -> Examples:
    """Take other crops of the same faces.

    Args:
        examples: A split.
        offsets: `[n, 3]`: right, down and larger by these shares of the box's longer side.
        scale: Side of the crop over that of the box.

    Returns:
        The faces with their crops and landmarks moved.
    """
    moved_by = offsets[:, :2] / scale
    larger = 1 + offsets[:, 2:]
    # Crop units about the crop's middle: u' = (u - 0.5 - moved) / larger + 0.5.
    landmarks = (examples.landmarks - 0.5 - moved_by[:, None]) / larger[:, None] + 0.5
    corner = (moved_by + 0.5 - 0.5 * larger) * examples.crops[:, 2:]
    crops = np.concatenate([examples.crops[:, :2] + corner, examples.crops[:, 2:] * larger], axis=1)
    return dataclasses.replace(examples, landmarks=landmarks.astype(np.float32), crops=crops.astype(np.float32))
