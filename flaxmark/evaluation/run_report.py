"""What a finished run leaves: the best checkpoint's figures on every split, curves and a sheet of faces."""

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.data.input.feed import EvalFeed, crops_of
from flaxmark.data.prepare.prepare import Examples, Prepared, load_split
from flaxmark.errors import ConfigError
from flaxmark.evaluation.eval_step import Evaluation, build_evaluation
from flaxmark.evaluation.evaluate_split import Outputs, Row, format_table, predict_split, rows_of_split
from flaxmark.evaluation.metrics import nme
from flaxmark.evaluation.plots import plot_curves, plot_faces
from flaxmark.evaluation.result_json import cost_of_run, provenance, split_figures
from flaxmark.faces.markup import Markup
from flaxmark.schema import from_dict
from flaxmark.storage.checkpoint import load_best
from flaxmark.storage.metric_log import read_metrics
from flaxmark.storage.workdir import PREDICTIONS, RESULT, TRAIN_FACES
from flaxmark.system.clock import Clock
from flaxmark.system.devices import make_mesh
from flaxmark.system.files import atomic_write, write_text

SHEET_FACES = 24


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A run's best checkpoint on every split but train.

    Attributes:
        rows: Of the table.
        splits: Split -> its faces and what the network says of them.
        parameters: Of the network.
        metadata: Of the checkpoint.
    """

    rows: list[Row]
    splits: dict[str, tuple[Examples, Outputs]]
    parameters: int
    metadata: dict[str, Any]


Evaluator = Callable[[Examples], Outputs]


def load_evaluator(
    workdir: Path,
    config: Config | None = None,
    compiled: tuple[Evaluation, Mesh] | None = None,
    enlarged: float = 1.0,
) -> tuple[Evaluator, int, dict[str, Any]]:
    """A run's best checkpoint, ready to predict splits.

    Args:
        workdir: The run.
        config: Replaces the run's own batch size and data fields; the network's input stays its own.
        compiled: The programs of the run that has just ended, and where they run; built anew by default.
        enlarged: Largest crop over the largest that is stored.

    Returns:
        A function from a split to what the network says of it; the network's parameters; the checkpoint's metadata.
    """
    variables, metadata = load_best(workdir)
    config = config or from_dict(metadata["config"], Config)
    if compiled is None:
        mesh = make_mesh()
        compiled = build_evaluation(config, mesh, enlarged * config.data.crop.stored_size), mesh
    evaluation, mesh = compiled
    # From host memory: an array of one process's device cannot be put on those of others.
    variables = jax.device_put(
        jax.device_get(variables), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    )
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))

    def evaluate(examples: Examples) -> Outputs:
        return predict_split(evaluation.evaluate, variables, EvalFeed(examples, config, mesh), evaluation.look)

    return evaluate, parameters, metadata


def evaluate_run(
    workdir: Path,
    prepared: Prepared,
    config: Config | None = None,
    compiled: tuple[Evaluation, Mesh] | None = None,
) -> Evaluated:
    """Predict every face of every split but train with a run's best checkpoint.

    Args:
        workdir: The run.
        prepared: The faces; may be another data set than it was trained on.
        config: As for `load_evaluator`.
        compiled: As for `load_evaluator`.

    Returns:
        Predictions and figures.

    Raises:
        ConfigError: There are training faces only, or the checkpoint has no mean face.
    """
    evaluate, parameters, metadata = load_evaluator(workdir, config, compiled)
    own = from_dict(metadata["config"], Config)
    loss, markup = own.loss, own.data.markup
    mean_face = _mean_face(workdir, metadata, markup)
    if not set(prepared.counts) - {"train"}:
        raise ConfigError("all faces are of the training split, which says nothing: name held-out ones, or the lists")
    evaluated = Evaluated([], {}, parameters, metadata)
    for split in prepared.counts:
        if split == "train":  # figures on faces that were trained on say nothing
            continue
        examples = load_split(prepared, split)
        _warn_of_trained_faces(workdir, metadata, prepared, split, examples)
        outputs = evaluate(examples)
        evaluated.splits[split] = (examples, outputs)
        evaluated.rows.extend(rows_of_split(split, examples, outputs, mean_face, loss, markup))
    return evaluated


def _mean_face(workdir: Path, metadata: dict[str, Any], markup: Markup) -> np.ndarray:
    """That of the training faces: float32 `[num_points, 2]`, crop units."""
    try:
        mean_face = np.array(metadata.get("mean_face"), np.float32)
    except (TypeError, ValueError):
        mean_face = np.zeros(0, np.float32)
    if mean_face.shape != (markup.num_points, 2) or not np.isfinite(mean_face).all():
        raise ConfigError(f"{workdir}: its checkpoint has no mean face of {markup.num_points} points")
    return mean_face


def _warn_of_trained_faces(
    workdir: Path, metadata: dict[str, Any], prepared: Prepared, split: str, examples: Examples
) -> None:
    """Figures on faces that were trained on say nothing of new ones."""
    path = workdir / TRAIN_FACES
    if metadata.get("data") == prepared.name and path.is_file() and jax.process_index() == 0:
        trained = set(path.read_text(encoding="utf-8").splitlines())
        count = sum(file in trained for file in examples.files)
        if count:
            print(f"warning: {count} of the {len(examples.files)} {split} faces were trained on", file=sys.stderr)


def write_report(workdir: Path, prepared: Prepared, evaluation: Evaluation, mesh: Mesh, clock: Clock) -> dict[str, Any]:
    """Write result.json, predictions.npz, table.md, curves.png and test.png of a run that has ended.

    Args:
        workdir: The run.
        prepared: Its faces.
        evaluation: Its compiled programs.
        mesh: Where they run.
        clock: Knows where its time went.

    Returns:
        The content of result.json; on all processes but the first, which alone writes, only its `rows`.
    """
    evaluated = evaluate_run(workdir, prepared, compiled=(evaluation, mesh))
    rows = evaluated.rows
    if jax.process_index() != 0:
        return {"rows": rows}
    config = from_dict(evaluated.metadata["config"], Config)
    table, title = format_table(rows), describe(config)
    result = make_result(evaluated, list(read_metrics(workdir)))
    mean_face_nme = next(r["nme"] for r in rows if r["split"] == "validation" and r["predictor"] == "mean face")
    plot_curves(result["history"], title, mean_face_nme, workdir / "curves.png")
    split = "test_full" if "test_full" in evaluated.splits else list(evaluated.splits)[-1]
    examples, outputs = evaluated.splits[split]
    plot_sheet(examples, outputs.landmarks, config.data, f"{title}: {split}", workdir / "test.png")
    save_arrays(workdir / PREDICTIONS, {name: outputs.landmarks for name, (_, outputs) in evaluated.splits.items()})
    write_text(workdir / "table.md", table + "\n")
    # Of this start alone; writing the line itself is left out.
    result["time"] = clock.seconds()
    write_text(workdir / RESULT, json.dumps(result) + "\n")
    print(f"\nbest checkpoint: step {result['best_step']}\n{table}\n")
    print("wrote " + ", ".join(str(workdir / name) for name in ("table.md", "curves.png", "test.png", RESULT)))
    return result


def make_result(evaluated: Evaluated, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """All that is known of a finished run, ready for JSON.

    Args:
        evaluated: Its best checkpoint on every split.
        metrics: The lines of its metrics.jsonl.

    Returns:
        The content of result.json.
    """
    metadata = evaluated.metadata
    config = from_dict(metadata["config"], Config)
    history = [line for line in metrics if line["kind"] == "validation"]
    mean_face = np.asarray(metadata["mean_face"], np.float32)
    return {
        "rows": evaluated.rows,
        "best_step": metadata["step"],
        "epochs": history[-1]["epoch"],
        "history": [{key: line[key] for key in ("epoch", "loss", "train_loss", "nme")} for line in history],
        "splits": {
            name: split_figures(examples, outputs, mean_face, config.data.markup, metadata.get("sigma_scale"))
            for name, (examples, outputs) in evaluated.splits.items()
        },
        "cost": cost_of_run(config, metrics, evaluated.parameters),
        **provenance(),
        **{key: metadata[key] for key in ("mean_face", "data", "data_fingerprint", "terms", "config")},
    }


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays so that the file is there whole or not at all.

    Args:
        path: .npz, replaced if it exists.
        arrays: Name -> array.
    """
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def describe(config: Config) -> str:
    """A run in a few words, for titles."""
    return f"{config.model.title}, {config.loss.title}, {config.data.image_size} px"


def plot_sheet(examples: Examples, predictions: np.ndarray, data: DataConfig, title: str, path: Path) -> None:
    """Faces spread evenly over a split, with ground truth and prediction.

    Args:
        examples: The split.
        predictions: float32 `[n, num_points, 2]`, crop units.
        data: Of the run.
        title: Above the sheet.
        path: PNG to write.
    """
    count, markup = len(examples), data.markup
    chosen = np.unique(np.linspace(0, count - 1, min(SHEET_FACES, count)).round().astype(int))
    images = list(crops_of(examples, chosen, data, 224))
    targets = examples.landmarks[chosen]
    errors = nme(predictions[chosen], targets, markup=markup)
    plot_faces(images, targets, predictions[chosen], markup, nme_captions(errors), title, path)


def nme_captions(errors: np.ndarray) -> list[str]:
    """What stands above faces.

    Args:
        errors: NME of each `[n]`, per cent.

    Returns:
        One text a face.
    """
    return [f"NME {error:.1f} %" for error in errors]
