"""Landmark metrics: NME, failure rate, AUC, CED and calibration of sigma; on the host, in float64."""

import numpy as np
from jaxtyping import Float

from flaxmark.faces.markup import IBUG_68, Markup

NORMALISERS = ("interocular", "interpupil", "box")


def point_errors(
    predicted: Float[np.ndarray, "*faces points 2"], target: Float[np.ndarray, "*faces points 2"]
) -> Float[np.ndarray, "*faces points"]:
    """Euclidean distance of each point, in the unit of the points."""
    return np.linalg.norm(np.asarray(predicted, np.float64) - np.asarray(target, np.float64), axis=-1)


def normalising_distance(
    target: Float[np.ndarray, "*faces points 2"],
    normaliser: str = "interocular",
    markup: Markup = IBUG_68,
    box: Float[np.ndarray, "*faces 4"] | None = None,
) -> Float[np.ndarray, "*faces"]:
    """Length by which errors are divided, in the unit of the true landmarks.

    The normaliser is `interocular` (outer eye corners), `interpupil` (centres of the eyes' points) or `box` (square
    root of the area of the box: left, top, right, bottom; by default the landmarks' bounding box). ValueError for
    another one.
    """
    target = np.asarray(target, np.float64)
    if normaliser == "interocular":
        left, right = (target[..., i, :] for i in markup.interocular)
        return np.linalg.norm(left - right, axis=-1)
    if normaliser == "interpupil":
        left, right = (target[..., list(eye), :].mean(axis=-2) for eye in markup.eyes)
        return np.linalg.norm(left - right, axis=-1)
    if normaliser == "box":
        if box is None:
            box = np.concatenate([target.min(axis=-2), target.max(axis=-2)], axis=-1)
        box = np.asarray(box, np.float64)
        return np.sqrt((box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]))
    raise ValueError(f"normaliser {normaliser!r}: choose from {', '.join(NORMALISERS)}")


def nme(
    predicted: Float[np.ndarray, "*faces points 2"],
    target: Float[np.ndarray, "*faces points 2"],
    normaliser: str = "interocular",
    markup: Markup = IBUG_68,
    box: Float[np.ndarray, "*faces 4"] | None = None,
) -> Float[np.ndarray, "*faces"]:
    """Normalised mean error of each face in percent: mean over its points of distance / normalising distance.

    Both sets of points are in the same unit; for `normaliser` and `box` see `normalising_distance`.
    """
    distance = normalising_distance(target, normaliser, markup, box)
    return 100 * point_errors(predicted, target).mean(axis=-1) / distance


def failure_rate(errors: Float[np.ndarray, " n"], threshold: float) -> float:
    """Percentage of faces whose NME (percent) is above the threshold (percent); NaN without faces."""
    return float(100 * np.mean(errors > threshold)) if len(errors) else float("nan")


def auc(errors: Float[np.ndarray, " n"], threshold: float) -> float:
    """Area under the cumulative error distribution up to the threshold, over the threshold, in percent; exact.

    It equals the mean of max(0, 1 - error / threshold): 100 means no error at all. Errors and threshold are in percent.
    """
    return float(100 * np.mean(np.maximum(0.0, 1 - errors / threshold))) if len(errors) else float("nan")


def ced(errors: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Cumulative error distribution: percentage of faces with an error of at most each threshold (percent)."""
    ranked = np.sort(errors)
    return 100 * np.searchsorted(ranked, thresholds, side="right") / max(1, len(ranked))


def sigma_scale(
    predicted: Float[np.ndarray, "n points 2"],
    target: Float[np.ndarray, "n points 2"],
    sigma: Float[np.ndarray, "n points"],
) -> float:
    """Factor by which sigma (deviation of each coordinate) has to be multiplied to match the errors.

    Guo et al., "On calibration of modern neural networks", 2017: temperature scaling, here in closed form for a
    Gaussian, the root of the mean squared error over sigma. All arguments are in the same unit.
    """
    scaled = (np.asarray(predicted, np.float64) - target) / sigma[..., None]
    return float(np.sqrt(np.mean(np.square(scaled))))


def coverage(
    predicted: Float[np.ndarray, "n points 2"],
    target: Float[np.ndarray, "n points 2"],
    sigma: Float[np.ndarray, "n points"],
    shares: Float[np.ndarray, " k"],
) -> Float[np.ndarray, " k"]:
    """Share of points inside the circles that should hold the given shares in [0, 1); equal to them if sigma is right.

    The distance of a point from the mean of a Gaussian is Rayleigh distributed: the circle that holds the share p has
    the radius sigma sqrt(-2 ln(1 - p)). Points and sigma are in the same unit.
    """
    radii = np.sqrt(-2 * np.log1p(-np.asarray(shares)))
    distances = point_errors(predicted, target) / sigma
    return (distances[..., None] <= radii).reshape(-1, len(radii)).mean(axis=0)


def summarize(
    predicted: Float[np.ndarray, "n points 2"],
    target: Float[np.ndarray, "n points 2"],
    losses: Float[np.ndarray, " n"],
    markup: Markup = IBUG_68,
) -> dict[str, float]:
    """All metrics of one subset, from points in crop units and the loss of each face.

    They are faces, loss, mse (crop units, whatever the loss), nme, nme_interpupil, nme_box, and fr and auc of the
    inter-ocular NME at 8 and 10 %.
    """
    errors = nme(predicted, target, "interocular", markup)
    return {
        "faces": len(target),
        "loss": float(np.mean(losses, dtype=np.float64)),
        "mse": float(np.mean(np.square(np.asarray(predicted, np.float64) - target))),
        "nme": float(errors.mean()),
        "nme_interpupil": float(nme(predicted, target, "interpupil", markup).mean()),
        "nme_box": float(nme(predicted, target, "box", markup).mean()),
        "fr_8": failure_rate(errors, 8),
        "auc_8": auc(errors, 8),
        "fr_10": failure_rate(errors, 10),
        "auc_10": auc(errors, 10),
    }
