"""Report of a finished run: metrics of the best checkpoint on every split, curves and a sheet of faces."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.data.input.feed import EvalFeed, crops_of
from flaxmark.data.prepare.prepare import Examples, Prepared, load_split
from flaxmark.errors import CheckpointError, DataError
from flaxmark.evaluation.eval_step import Evaluation, build_evaluation
from flaxmark.evaluation.evaluate_split import (
    Outputs,
    Row,
    format_results,
    is_known,
    predict_split,
    remarks,
    rows_of_split,
)
from flaxmark.evaluation.metrics import nme
from flaxmark.evaluation.plots import plot_curves, plot_faces
from flaxmark.evaluation.result_json import cost_of_run, provenance, split_figures
from flaxmark.faces.markup import Markup
from flaxmark.schema import from_dict
from flaxmark.storage.metric_log import read_metrics
from flaxmark.storage.remote import PRETRAINING
from flaxmark.storage.trained import load_trained
from flaxmark.storage.workdir import PREDICTIONS, RESULT, TRAIN_FACES, data_set_of
from flaxmark.system.clock import Clock
from flaxmark.system.devices import in_32_bits, make_mesh
from flaxmark.system.files import atomic_write, write_text
from flaxmark.system.json_text import json_text

SHEET_FACES = 24


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Evaluation of a run's best checkpoint on every split but train.

    Attributes:
        rows: Rows of the results table.
        splits: Split -> its faces and the network's outputs.
        parameters: Number of parameters of the network.
        metadata: Metadata of the checkpoint.
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
    """Load a run's best checkpoint: a function that predicts a split, the number of parameters, and the metadata.

    Args:
        workdir: The run, or a packed file.
        config: Replaces the run's own batch size and data fields; the network's input stays its own.
        compiled: The programs of a run that has just ended, and their mesh; built anew by default.
        enlarged: Largest crop over the largest that is stored.
    """
    variables, metadata = load_trained(workdir)
    config = config or from_dict(metadata["config"], Config)
    if compiled is None:
        mesh = make_mesh()
        compiled = build_evaluation(config, mesh, enlarged * config.data.crop.stored_size), mesh
    evaluation, mesh = compiled
    # From host memory: an array on a device of one process cannot be put on those of other processes.
    variables = jax.device_put(
        jax.device_get(variables), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    )
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))

    def evaluate(examples: Examples) -> Outputs:
        return predict_split(evaluation.evaluate, variables, EvalFeed(examples, config, mesh), evaluation.sharpness)

    return evaluate, parameters, metadata


@in_32_bits
def evaluate_run(
    workdir: Path,
    prepared: Prepared,
    config: Config | None = None,
    compiled: tuple[Evaluation, Mesh] | None = None,
) -> Evaluated:
    """Predict all splits but train with a run's best checkpoint; the faces may be of another data set than the run's.

    `config` and `compiled` as for `load_evaluator`. Raises DataError if there are training faces only, CheckpointError
    if the checkpoint cannot be used.
    """
    evaluate, parameters, metadata = load_evaluator(workdir, config, compiled)
    own = from_dict(metadata["config"], Config)
    loss, markup = own.loss, own.data.markup
    mean_face = _mean_face(workdir, metadata, markup)
    if not set(prepared.counts) - {"train"}:
        reason = "has training faces only, and metrics on those mean nothing: give held-out faces, or the run's lists"
        raise DataError(reason, field="data.dir")
    evaluated = Evaluated([], {}, parameters, metadata)
    for split in prepared.counts:
        if split == "train":
            continue
        examples = load_split(prepared, split)
        _warn_of_trained_faces(workdir, metadata, prepared, split, examples)
        outputs = evaluate(examples)
        evaluated.splits[split] = (examples, outputs)
        evaluated.rows.extend(rows_of_split(split, examples, outputs, mean_face, loss, markup))
    return evaluated


def _mean_face(workdir: Path, metadata: dict[str, Any], markup: Markup) -> Float[np.ndarray, "points 2"]:
    """Mean training face from the metadata, crop units; CheckpointError if it has none."""
    try:
        mean_face = np.array(metadata.get("mean_face"), np.float32)
    except (TypeError, ValueError):
        mean_face = np.zeros(0, np.float32)
    if mean_face.shape != (markup.num_points, 2) or not np.isfinite(mean_face).all():
        raise CheckpointError(f"its checkpoint has no mean face of {markup.num_points} points", file=workdir)
    return mean_face


def _warn_of_trained_faces(
    workdir: Path, metadata: dict[str, Any], prepared: Prepared, split: str, examples: Examples
) -> None:
    """Warn about faces that the run or its pretraining was trained on: metrics on them say nothing about new faces."""
    trained: set[str] = set()
    for folder, data in ((workdir, metadata.get("data")), (workdir / PRETRAINING, data_set_of(workdir / PRETRAINING))):
        path = folder / TRAIN_FACES
        if data == prepared.name and path.is_file():
            trained.update(path.read_text(encoding="utf-8").splitlines())
    count = sum(file in trained for file in examples.files)
    if count and jax.process_index() == 0:
        print(f"warning: {count} of the {len(examples.files)} {split} faces were trained on", file=sys.stderr)


def write_report(workdir: Path, prepared: Prepared, evaluation: Evaluation, mesh: Mesh, clock: Clock) -> dict[str, Any]:
    """Write result.json, predictions.npz, table.md, curves.png and test.png of a run, and print the table.

    Returns the content of result.json; only process 0 writes, on the others it has `rows` alone.
    """
    evaluated = evaluate_run(workdir, prepared, compiled=(evaluation, mesh))
    rows = evaluated.rows
    if jax.process_index() != 0:
        return {"rows": rows}
    config = from_dict(evaluated.metadata["config"], Config)
    table, title = format_results(rows), describe(config)
    result = make_result(evaluated, list(read_metrics(workdir)))
    mean_face_nme = next(r["nme"] for r in rows if r["split"] == "validation" and r["predictor"] == "mean face")
    plot_curves(result["history"], title, mean_face_nme, workdir / "curves.png")
    split = "test_full" if "test_full" in evaluated.splits else list(evaluated.splits)[-1]
    examples, outputs = evaluated.splits[split]
    plot_sheet(examples, outputs.landmarks, config.data, f"{title}: {split}", workdir / "test.png")
    save_arrays(workdir / PREDICTIONS, {name: outputs.landmarks for name, (_, outputs) in evaluated.splits.items()})
    write_text(workdir / "table.md", table + "\n")
    # Time of this start only, without the writing of this line.
    result["time"] = clock.seconds()
    write_text(workdir / RESULT, json_text(result) + "\n")
    print(f"\nbest checkpoint: step {result['best_step']}\n{table}\n")
    print("wrote " + ", ".join(str(workdir / name) for name in ("table.md", "curves.png", "test.png", RESULT)))
    return result


def make_result(evaluated: Evaluated, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Content of result.json, from the evaluation and the lines of metrics.jsonl."""
    metadata = evaluated.metadata
    config = from_dict(metadata["config"], Config)
    history = [line for line in metrics if line["kind"] == "validation"]
    mean_face = np.asarray(metadata["mean_face"], np.float32)
    return {
        "rows": evaluated.rows,
        "remarks": remarks(evaluated.rows),
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
    """Write arrays atomically to an .npz file; an existing one is replaced."""
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def describe(config: Config) -> str:
    """Short title of a run: network, loss and image size."""
    return f"{config.model.title}, {config.loss.title}, {config.data.image_size} px"


def plot_sheet(
    examples: Examples, predictions: Float[np.ndarray, "n points 2"], data: DataConfig, title: str, path: Path
) -> None:
    """Write a sheet of evenly spaced faces of a split with ground truth and predictions (crop units)."""
    count, markup = len(examples), data.markup
    chosen = np.unique(np.linspace(0, count - 1, min(SHEET_FACES, count)).round().astype(int))
    images = list(crops_of(examples, chosen, data, 224))
    targets = examples.landmarks[chosen]
    errors = nme(predictions[chosen], targets, markup=markup)
    plot_faces(images, targets, predictions[chosen], markup, nme_captions(errors), title, path)


def nme_captions(errors: Float[np.ndarray, " n"]) -> list[str]:
    """Captions of faces with their NME in percent, NaN where it is unknown."""
    return [f"NME {error:.1f} %" if is_known(error) else "no NME" for error in errors]
