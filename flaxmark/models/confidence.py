"""Probability that a crop shows a face, from the uncertainty that the network predicts for its points."""

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import expit


def doubt(sigma: Float[np.ndarray, "n points"]) -> Float64[np.ndarray, " n"]:
    """Uncertainty of a network about each face: mean logarithm of sigma (crop units) over the points."""
    return np.log(np.asarray(sigma, np.float64)).mean(axis=-1)


def fit_face_score(faces: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> dict[str, float]:
    """Logistic regression from the doubt of faces and of other crops to a probability; both kinds weigh the same.

    Returns `middle`, the doubt at which both are equally likely, and `width`, the change of doubt that multiplies the
    odds by e, above 0.

    Newton's method on the log-likelihood (Hastie, Tibshirani, Friedman, "The elements of statistical learning", 2nd
    edition, section 4.4.1), with a small penalty on the slope, which keeps it finite if the kinds do not overlap.
    """
    values = np.concatenate([faces, others])
    centre, spread = values.mean(), max(float(values.std()), 1e-6)
    inputs = np.stack([np.ones_like(values), (values - centre) / spread], axis=1)
    target = np.repeat([1.0, 0.0], [len(faces), len(others)])
    weight = np.where(target == 1, 0.5 / len(faces), 0.5 / len(others))
    pull = np.diag([1e-6, 1e-3])
    found = np.zeros(2)
    for _ in range(50):
        likely = expit(inputs @ found)
        gradient = inputs.T @ (weight * (target - likely)) - pull @ found
        curvature = (inputs * (weight * likely * (1 - likely))[:, None]).T @ inputs + pull
        found = found + np.linalg.solve(curvature, gradient)
    slope = min(float(found[1]), -1e-3)  # more doubt never means a higher probability
    return {"middle": float(centre - spread * found[0] / slope), "width": float(-spread / slope)}


def face_score(doubts: Float[np.ndarray, " n"], fitted: dict[str, float]) -> Float64[np.ndarray, " n"]:
    """Probability that each crop shows a face, from its `doubt` and the result of `fit_face_score`."""
    return np.asarray(expit((fitted["middle"] - doubts) / fitted["width"]))
