"""What result.json says of a finished run: figures and errors of every face, what it cost, where it came from."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flaxmark.config.config import Config
from flaxmark.data.prepare.prepare import Examples
from flaxmark.evaluation.eval_step import forward_flops
from flaxmark.evaluation.evaluate_split import Outputs
from flaxmark.evaluation.face_traits import head_yaw
from flaxmark.evaluation.metrics import coverage, nme, normalising_distance, point_errors
from flaxmark.faces.markup import IBUG_68, Markup

SHARES = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.8, 0.9, 0.95, 0.99])
PACKAGES = ("flaxmark", "jax", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy")


def split_figures(
    examples: Examples, outputs: Outputs, mean_face: np.ndarray, markup: Markup, scale: float | None = None
) -> dict[str, Any]:
    """Errors of every point and every face of a split, and what the faces are like.

    Args:
        examples: The split.
        outputs: What the network says of it.
        mean_face: float32 `[num_points, 2]`, crop units.
        markup: What the points are.
        scale: Factor of sigma, from the validation split.

    Returns:
        `points`: mean error of each point, per cent of the inter-ocular distance; `faces`: lists `[n]` in the order
        of the split, rounded: `file`, `subset`, `nme` and `mean_face_nme` (inter-ocular, per cent), `loss`, `size`
        (pixels between the outer eye corners in the original image), `sharpness` where it is known and, of iBUG's 68
        points, `yaw` (degrees); of a network with sigma also `coverage`: `share` that circles should hold, and `plain`
        and `scaled` that they do.
    """
    target, predictions = examples.landmarks, outputs.landmarks
    distance = normalising_distance(target, markup=markup)
    point_means = (100 * point_errors(predictions, target) / distance[:, None]).mean(axis=0)
    faces = {
        "file": list(examples.files),
        "subset": list(examples.subsets),
        "nme": _rounded(nme(predictions, target, markup=markup), 3),
        "mean_face_nme": _rounded(nme(np.broadcast_to(mean_face, target.shape), target, markup=markup), 3),
        "loss": [float(f"{value:.4g}") for value in outputs.losses],
        "size": _rounded(distance * examples.source_crops[:, 2], 1),
    }
    if outputs.sharpness is not None:
        faces["sharpness"] = _rounded(outputs.sharpness, 4)
    if markup == IBUG_68:
        faces["yaw"] = _rounded(head_yaw(target), 1)
    figures: dict[str, Any] = {"points": _rounded(point_means, 3), "faces": faces}
    if outputs.sigma is not None and scale is not None:
        held = {
            name: _rounded(coverage(predictions, target, sigma, SHARES), 4)
            for name, sigma in (("plain", outputs.sigma), ("scaled", outputs.sigma * scale))
        }
        figures["coverage"] = {"share": SHARES.tolist(), "scale": scale, **held}
    return figures


def cost_of_run(config: Config, metrics: Sequence[Mapping[str, Any]], parameters: int) -> dict[str, float | None]:
    """What a run took.

    Args:
        config: Of the run.
        metrics: The lines of its metrics.jsonl.
        parameters: Of its network.

    Returns:
        `parameters`, `gflop` (of a face in training, three times the forward pass, as XLA counts plain
        convolutions), `images_per_second` (of training, as last measured; None where no step was logged) and
        `seconds` (first start to last step, validation included, stops between starts not).
    """
    rates = [line["images_per_second"] for line in metrics if line["kind"] == "train"]
    return {
        "parameters": parameters,
        "gflop": round(3 * forward_flops(config, 1) / 1e9, 3),
        "images_per_second": round(rates[-1], 2) if rates else None,
        "seconds": metrics[-1].get("seconds"),
    }


def provenance() -> dict[str, Any]:
    """Where a result was made: versions of the packages, the device, and the commit of a checkout.

    Returns:
        Ready for JSON.
    """
    device = jax.devices()[0]
    cores = f", {os.cpu_count()} cores" if device.platform == "cpu" else ""
    return {
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform}{cores})",
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    """None for what is not installed under its usual name."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Of the checkout that the package runs from, with + where it was changed since; None outside of one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    line = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
