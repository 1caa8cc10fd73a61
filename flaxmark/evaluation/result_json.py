"""Parts of result.json: errors of every point and face, cost and provenance of a finished run."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from flaxmark.config.config import Config
from flaxmark.data.drawn.head.mean_head import poses_of
from flaxmark.data.prepare.prepare import Examples
from flaxmark.evaluation.eval_step import forward_flops
from flaxmark.evaluation.evaluate_split import Outputs
from flaxmark.evaluation.metrics import coverage, has_normaliser, nme, normalising_distance, point_errors
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.faces.missing import mean_where, present

SHARES = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.8, 0.9, 0.95, 0.99])
PACKAGES = ("flaxmark", "jax", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy")


def split_figures(
    examples: Examples,
    outputs: Outputs,
    mean_face: Float[np.ndarray, "points 2"],
    markup: Markup,
    scale: float | None = None,
) -> dict[str, Any]:
    """Errors of every point and every face of a split, and traits of the faces.

    `points` holds the mean error of each point in percent of the inter-ocular distance. `faces` holds lists in the
    order of the split: `file`, `subset`, `nme` and `mean_face_nme` (inter-ocular, percent), `loss`, `size` (pixels
    between the outer eye corners in the original image), `missing` (number of missing points), `sharpness` where it is
    known and, for iBUG's 68 points, `yaw` (degrees). A network with sigma adds `coverage`: the `share` that circles
    should hold, and the shares that they hold with sigma as predicted (`plain`) and multiplied by `scale` (`scaled`).
    What missing points leave unknown is NaN.
    """
    target, predictions = examples.landmarks, outputs.landmarks
    distance = normalising_distance(target, markup=markup)
    measured = present(target) & has_normaliser(target, markup=markup)[:, None]
    point_means = mean_where(100 * point_errors(predictions, target) / distance[:, None], measured, axis=0)
    faces = {
        "file": list(examples.files),
        "subset": list(examples.subsets),
        "nme": _rounded(nme(predictions, target, markup=markup), 3),
        "mean_face_nme": _rounded(nme(np.broadcast_to(mean_face, target.shape), target, markup=markup), 3),
        "loss": [float(f"{value:.4g}") for value in outputs.losses],
        "size": _rounded(distance * examples.source_crops[:, 2], 1),
        "missing": (~present(target)).sum(axis=1).tolist(),
    }
    if outputs.sharpness is not None:
        faces["sharpness"] = _rounded(outputs.sharpness, 4)
    if markup == IBUG_68:
        faces["yaw"] = _rounded(poses_of(target, markup)[:, 0], 1)
    figures: dict[str, Any] = {"points": _rounded(point_means, 3), "faces": faces}
    if outputs.sigma is not None and scale is not None:
        held = {
            name: _rounded(coverage(predictions, target, sigma, SHARES), 4)
            for name, sigma in (("plain", outputs.sigma), ("scaled", outputs.sigma * scale))
        }
        figures["coverage"] = {"share": SHARES.tolist(), "scale": scale, **held}
    return figures


def cost_of_run(config: Config, metrics: Sequence[Mapping[str, Any]], parameters: int) -> dict[str, float | None]:
    """Cost of a run, from the lines of its metrics.jsonl.

    `parameters`; `gflop` of one face in training, three times the forward pass as XLA counts plain convolutions;
    `images_per_second` of training as last measured, None where no step was logged; `seconds` from the first start to
    the last step, with validation but without pauses between starts.
    """
    rates = [line["images_per_second"] for line in metrics if line["kind"] == "train"]
    return {
        "parameters": parameters,
        "gflop": round(3 * forward_flops(config, 1) / 1e9, 3),
        "images_per_second": round(rates[-1], 2) if rates else None,
        "seconds": metrics[-1].get("seconds"),
    }


def provenance() -> dict[str, Any]:
    """Origin of a result: versions of the packages, the device, the commit of the checkout, and the date (UTC)."""
    device = jax.devices()[0]
    cores = f", {os.cpu_count()} cores" if device.platform == "cpu" else ""
    return {
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform}{cores})",
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _version(package: str) -> str | None:
    """Installed version of a package; None if it is not installed under this name."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the checkout that the package runs from, with + if it has changes; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    line = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _rounded(values: Float[np.ndarray, " n"], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
