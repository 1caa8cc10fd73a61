"""Errors of landmarks and their summaries; everything in per cent is named so. Host side, float64."""

import numpy as np

from flaxmark.faces.markup import IBUG_68, Markup

NORMALISERS = ("interocular", "interpupil", "box")


def point_errors(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Euclidean distance of each point.

    Args:
        predicted: `[..., num_points, 2]`.
        target: `[..., num_points, 2]` in the same unit.

    Returns:
        float64 `[..., num_points]` in that unit.
    """
    return np.linalg.norm(np.asarray(predicted, np.float64) - np.asarray(target, np.float64), axis=-1)


def normalising_distance(
    target: np.ndarray, normaliser: str = "interocular", markup: Markup = IBUG_68, box: np.ndarray | None = None
) -> np.ndarray:
    """The length that an error is divided by.

    Args:
        target: True landmarks `[..., num_points, 2]`.
        normaliser: `interocular` (outer eye corners), `interpupil` (centres of the eyes' points) or `box`
            (square root of the area of the box).
        markup: Which points are the eyes.
        box: `[..., 4]` left, top, right, bottom in the unit of `target`; for `box` the landmarks'
            bounding box is used when it is not given.

    Returns:
        float64 `[...]` in the unit of `target`.

    Raises:
        ValueError: An unknown normaliser.
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
    predicted: np.ndarray,
    target: np.ndarray,
    normaliser: str = "interocular",
    markup: Markup = IBUG_68,
    box: np.ndarray | None = None,
) -> np.ndarray:
    """Normalised mean error of each face: mean over its points of distance / normalising distance.

    Args:
        predicted: `[..., num_points, 2]`.
        target: `[..., num_points, 2]` in the same unit.
        normaliser: See `normalising_distance`.
        markup: Which points are the eyes.
        box: See `normalising_distance`.

    Returns:
        float64 `[...]`, per cent.
    """
    distance = normalising_distance(target, normaliser, markup, box)
    return 100 * point_errors(predicted, target).mean(axis=-1) / distance


def failure_rate(errors: np.ndarray, threshold: float) -> float:
    """Share of faces with an error above the threshold.

    Args:
        errors: NME of each face `[n]`, per cent.
        threshold: Per cent.

    Returns:
        Per cent of the faces; NaN of none.
    """
    return float(100 * np.mean(errors > threshold)) if len(errors) else float("nan")


def auc(errors: np.ndarray, threshold: float) -> float:
    """Area under the cumulative error distribution up to the threshold, over the threshold; exact.

    Args:
        errors: NME of each face `[n]`, per cent.
        threshold: Per cent.

    Returns:
        Per cent: 100 is no error at all. The area is the mean of max(0, 1 - error / threshold).
    """
    return float(100 * np.mean(np.maximum(0.0, 1 - errors / threshold))) if len(errors) else float("nan")


def ced(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Cumulative error distribution.

    Args:
        errors: NME of each face `[n]`, per cent.
        thresholds: `[t]`, per cent.

    Returns:
        float64 `[t]`: per cent of the faces with an error of at most each threshold.
    """
    ranked = np.sort(errors)
    return 100 * np.searchsorted(ranked, thresholds, side="right") / max(1, len(ranked))


def sigma_scale(predicted: np.ndarray, target: np.ndarray, sigma: np.ndarray) -> float:
    """The factor that makes sigma as large as the errors are: the most likely one temperature of a Gaussian.

    Guo et al., "On calibration of modern neural networks", 2017, temperature scaling, in its closed form for a
    Gaussian: the root of the mean squared error over sigma.

    Args:
        predicted: `[n, num_points, 2]`.
        target: `[n, num_points, 2]` in the same unit.
        sigma: `[n, num_points]`: deviation of each coordinate, in that unit.

    Returns:
        What sigma is to be multiplied by; 1 where it is right already.
    """
    scaled = (np.asarray(predicted, np.float64) - target) / sigma[..., None]
    return float(np.sqrt(np.mean(np.square(scaled))))


def coverage(predicted: np.ndarray, target: np.ndarray, sigma: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """How many points lie in the circle that should hold a share of them.

    The distance of a point from a Gaussian's middle is Rayleigh distributed: the circle that holds the share p has
    the radius sigma sqrt(-2 ln(1 - p)).

    Args:
        predicted: `[n, num_points, 2]`.
        target: `[n, num_points, 2]` in the same unit.
        sigma: `[n, num_points]`: deviation of each coordinate, in that unit.
        shares: `[k]`, in [0, 1).

    Returns:
        float64 `[k]`, in [0, 1]; `shares` itself where sigma is right.
    """
    radii = np.sqrt(-2 * np.log1p(-np.asarray(shares)))
    distances = point_errors(predicted, target) / sigma
    return (distances[..., None] <= radii).reshape(-1, len(radii)).mean(axis=0)


def summarize(
    predicted: np.ndarray, target: np.ndarray, losses: np.ndarray, markup: Markup = IBUG_68
) -> dict[str, float]:
    """All the figures of one subset.

    Args:
        predicted: `[n, num_points, 2]`, crop units.
        target: `[n, num_points, 2]`, crop units.
        losses: `[n]`: loss of each face.
        markup: Which points are the eyes.

    Returns:
        faces, loss, mse (crop units, whatever the loss), nme, nme_interpupil, nme_box, and fr and auc of the
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
