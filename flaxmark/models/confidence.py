"""Is it a face at all? Read from how sure the network is of its points."""

import numpy as np
from scipy.special import expit


def doubt(sigma: np.ndarray) -> np.ndarray:
    """How unsure a network is of a face.

    Args:
        sigma: `[n, num_points]`, crop units.

    Returns:
        float64 `[n]`: mean logarithm of sigma over the points; crop units.
    """
    return np.log(np.asarray(sigma, np.float64)).mean(axis=-1)


def fit_face_score(faces: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """Turn doubt into a probability, by logistic regression with both kinds counting the same.

    Newton's method on the log-likelihood (Hastie, Tibshirani, Friedman, "The elements of statistical learning", 2nd
    edition, section 4.4.1), with a slight pull of the slope towards 0: it stays finite where they do not
    overlap.

    Args:
        faces: `[n]`, doubt of faces.
        others: `[m]`, doubt of what is none.

    Returns:
        `middle`: doubt at which both are as likely; `width`: change of doubt that multiplies the odds by e, above 0.
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
    slope = min(float(found[1]), -1e-3)  # more doubt is never more of a face
    return {"middle": float(centre - spread * found[0] / slope), "width": float(-spread / slope)}


def face_score(doubts: np.ndarray, fitted: dict[str, float]) -> np.ndarray:
    """How likely it is that crops hold faces.

    Args:
        doubts: `[n]`, from `doubt`.
        fitted: From `fit_face_score`.

    Returns:
        float64 `[n]`, in [0, 1].
    """
    return np.asarray(expit((fitted["middle"] - doubts) / fitted["width"]))
