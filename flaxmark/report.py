"""What a finished run leaves: the best checkpoint's figures on every split, curves and a sheet of faces."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from flaxmark.checkpoint import load_best
from flaxmark.config import Config, LossConfig, from_dict
from flaxmark.data.prepare import Examples, Prepared, load_split
from flaxmark.evaluation import Row, format_table, predict_split, rows_of_split
from flaxmark.geometry import FaceRegion, warp_crop
from flaxmark.losses import make_loss
from flaxmark.metric_writer import read_metrics, replace_text
from flaxmark.metrics import nme
from flaxmark.models import make_model
from flaxmark.plotting import plot_curves, plot_faces
from flaxmark.run import TRAIN_FACES
from flaxmark.sharding import compile_step, make_mesh
from flaxmark.steps import make_eval_step

SHEET_FACES = 24


def evaluate_run(
    workdir: Path, prepared: Prepared, config: Config | None = None
) -> tuple[list[Row], dict[str, np.ndarray], dict[str, Any]]:
    """Figures of a run's best checkpoint on every split but train.

    Args:
        workdir: The run.
        prepared: The faces; may be another data set than it was trained on.
        config: Replaces the run's own batch size and data fields; the network's input stays its own.

    Returns:
        The table's rows, the predictions of each split in crop units, and the checkpoint's metadata.
    """
    variables, metadata = load_best(workdir)
    config = config or from_dict(metadata["config"])
    loss = make_loss(LossConfig(**metadata["config"]["loss"]))
    mesh = make_mesh()
    eval_step = compile_step(make_eval_step(make_model(config.model), loss), mesh, config.train.compile, donate=False)
    variables = jax.device_put(variables, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    mean_face = np.asarray(metadata["mean_face"], np.float32)
    rows: list[Row] = []
    predictions = {}
    for split in prepared.counts:
        if split == "train":  # figures on faces that were trained on say nothing
            continue
        examples = load_split(prepared, split)
        _warn_of_trained_faces(workdir, metadata, prepared, split, examples)
        landmarks, losses = predict_split(eval_step, variables, examples, config, mesh)
        predictions[split] = landmarks
        rows += rows_of_split(split, examples, landmarks, losses, mean_face, loss)
    return rows, predictions, metadata


def _warn_of_trained_faces(
    workdir: Path, metadata: dict[str, Any], prepared: Prepared, split: str, examples: Examples
) -> None:
    """Figures on faces that were trained on say nothing of new ones."""
    path = workdir / TRAIN_FACES
    if metadata["data"] == prepared.name and path.is_file() and jax.process_index() == 0:
        trained = set(path.read_text(encoding="utf-8").splitlines())
        count = sum(file in trained for file in examples.files)
        if count:
            print(f"warning: {count} of the {len(examples.files)} {split} faces were trained on", file=sys.stderr)


def write_report(workdir: Path, prepared: Prepared) -> dict[str, Any]:
    """Write result.json, table.md, curves.png and test.png of a run that has ended.

    Args:
        workdir: The run.
        prepared: Its faces.

    Returns:
        The content of result.json.
    """
    rows, predictions, metadata = evaluate_run(workdir, prepared)
    table = format_table(rows)
    title = describe(from_dict(metadata["config"]))
    history = [line for line in read_metrics(workdir) if line["kind"] == "validation"]
    mean_face_nme = next(r["nme"] for r in rows if r["split"] == "validation" and r["predictor"] == "mean face")
    plot_curves(history, title, mean_face_nme, workdir / "curves.png")
    split = "test_full" if "test_full" in predictions else list(predictions)[-1]
    plot_sheet(load_split(prepared, split), predictions[split], f"{title}: {split}", workdir / "test.png")
    result = {
        "rows": rows,
        "best_step": metadata["step"],
        "epochs": len(history),
        **{key: metadata[key] for key in ("flaxmark", "jax", "data", "data_fingerprint", "terms", "config")},
    }
    replace_text(workdir / "table.md", table + "\n")
    replace_text(workdir / "result.json", json.dumps(result, indent=1) + "\n")
    print(f"\nbest checkpoint: step {metadata['step']}\n{table}\n")
    print("wrote " + ", ".join(str(workdir / name) for name in ("table.md", "curves.png", "test.png", "result.json")))
    return result


def describe(config: Config) -> str:
    """A run in a few words, for titles."""
    loss = config.loss.name + (f" (beta {config.loss.beta:g})" if config.loss.name == "smooth_l1" else "")
    return f"ResNet-{config.model.depth}, {loss}, {config.data.image_size} px"


def plot_sheet(examples: Examples, predictions: np.ndarray, title: str, path: Path) -> None:
    """Faces spread evenly over a split, with ground truth and prediction.

    Args:
        examples: The split.
        predictions: float32 `[n, num_points, 2]`, crop units.
        title: Above the sheet.
        path: PNG to write.
    """
    count = len(examples.encoded)
    chosen = np.unique(np.linspace(0, count - 1, min(SHEET_FACES, count)).round().astype(int))
    images = [
        warp_crop(
            FaceRegion(np.asarray(Image.open(io.BytesIO(examples.encoded[i]))), examples.crops[i].astype(np.float64)),
            224,
        )
        for i in chosen
    ]
    targets = examples.landmarks[chosen]
    errors = nme(predictions[chosen], targets)
    plot_faces(images, targets, predictions[chosen], errors, title, path)
