"""Landmark metrics: NME, failure rate, AUC, CED and calibration of sigma; on the host, in float64.

Missing points of a face, NaN in its true landmarks, count in none of them. A face without the points that a normaliser
needs has no NME with it, which is NaN; the metrics of several faces are those of the faces that have one.
"""

import numpy as np
from jaxtyping import Bool, Float

from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.faces.missing import count_missing, mean_where, present

NORMALISERS = ("interocular", "interpupil", "box")


def point_errors(
    predicted: Float[np.ndarray, "*faces points 2"], target: Float[np.ndarray, "*faces points 2"]
) -> Float[np.ndarray, "*faces points"]:
    """Euclidean distance of each point, in the unit of the points; NaN where it is missing."""
    return np.linalg.norm(np.asarray(predicted, np.float64) - np.asarray(target, np.float64), axis=-1)


def normalising_distance(
    target: Float[np.ndarray, "*faces points 2"],
    normaliser: str = "interocular",
    markup: Markup = IBUG_68,
    box: Float[np.ndarray, "*faces 4"] | None = None,
) -> Float[np.ndarray, "*faces"]:
    """Length by which errors are divided, in the unit of the true landmarks.

    The normaliser is `interocular` (outer eye corners), `interpupil` (centres of the eyes' points) or `box` (square
    root of the area of the box: left, top, right, bottom; by default the landmarks' bounding box, around those that a
    face has). NaN where one of the normaliser's points is missing. ValueError for another one.
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
            box = landmark_box(target)
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
    return 100 * mean_where(point_errors(predicted, target), present(target), axis=-1) / distance


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
    return float(np.sqrt(mean_where(np.square(scaled), present(target)[..., None])))


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
    inside = np.asarray(distances[..., None] <= radii, np.float64)
    return mean_where(inside, present(target)[..., None], axis=(0, 1))


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
    interocular = measured_nme(predicted, target, "interocular", markup)
    squares = np.square(np.asarray(predicted, np.float64) - target)
    return {
        "faces": len(target),
        "loss": float(np.mean(losses, dtype=np.float64)),
        "mse": float(mean_where(squares, present(target)[..., None])),
        "nme": mean_nme(predicted, target, "interocular", markup),
        "nme_interpupil": mean_nme(predicted, target, "interpupil", markup),
        "nme_box": mean_nme(predicted, target, "box", markup),
        "fr_8": failure_rate(interocular, 8),
        "auc_8": auc(interocular, 8),
        "fr_10": failure_rate(interocular, 10),
        "auc_10": auc(interocular, 10),
    }


def visible_auc(logits: Float[np.ndarray, "n points"], visible: Float[np.ndarray, "n points"]) -> float:
    """Area under the ROC curve of telling seen points from hidden ones, in percent; of NaN it is not known.

    It is the probability that a seen point has a larger logit than a hidden one (Fawcett, "An introduction to ROC
    analysis", 2006); equal ones count half. NaN where all points are seen, or all hidden.
    """
    seen, hidden = logits[visible == 1], np.sort(logits[visible == 0])
    if not len(seen) or not len(hidden):
        return float("nan")
    below, up_to = (np.searchsorted(hidden, seen, side) for side in ("left", "right"))
    return float(50 * (below + up_to).mean() / len(hidden))


def visibility_figures(
    logits: Float[np.ndarray, "n points"], visible: Float[np.ndarray, "n points"]
) -> dict[str, float]:
    """`visible_auc`, and the share of `hidden` points in percent; empty where there are not both kinds."""
    area = visible_auc(logits, visible)
    return {} if np.isnan(area) else {"visible_auc": area, "hidden": float(100 * (1 - np.nanmean(visible)))}


def measured_nme(
    predicted: Float[np.ndarray, "n points 2"],
    target: Float[np.ndarray, "n points 2"],
    normaliser: str = "interocular",
    markup: Markup = IBUG_68,
) -> Float[np.ndarray, " m"]:
    """NME in percent of those faces that have the normaliser's points."""
    # Chosen by the truth: a prediction that is NaN is never left out.
    return nme(predicted, target, normaliser, markup)[has_normaliser(target, normaliser, markup)]


def mean_nme(
    predicted: Float[np.ndarray, "n points 2"],
    target: Float[np.ndarray, "n points 2"],
    normaliser: str = "interocular",
    markup: Markup = IBUG_68,
) -> float:
    """Mean NME in percent of those faces that have the normaliser's points; NaN without any."""
    errors = measured_nme(predicted, target, normaliser, markup)
    return float(errors.mean()) if len(errors) else float("nan")


def has_normaliser(
    target: Float[np.ndarray, "n points 2"], normaliser: str = "interocular", markup: Markup = IBUG_68
) -> Bool[np.ndarray, " n"]:
    """Whether each face has the points that a normaliser needs, and so an NME with it."""
    return ~np.isnan(normalising_distance(target, normaliser, markup))


def count_left_out(target: Float[np.ndarray, "n points 2"], markup: Markup = IBUG_68) -> dict[str, int]:
    """What metrics leave out: `missing_points`, and `without_` each normaliser the number of faces without its NME."""
    without = {f"without_{name}": int((~has_normaliser(target, name, markup)).sum()) for name in NORMALISERS}
    return {"missing_points": count_missing(target), **without}
