"""Means over seeds, and means over faces that are alike."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95 % interval, Student's t.

    Args:
        values: One for each seed.

    Returns:
        Both in the unit of the values; the second is NaN of fewer than two.
    """
    count = len(values)
    if count < 2:
        return float(np.mean(values)), math.nan
    quantile = float(stats.t.ppf(0.975, count - 1))
    return float(np.mean(values)), quantile * float(np.std(values, ddof=1)) / math.sqrt(count)


def binned_means(traits: np.ndarray, errors: np.ndarray, bins: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Mean error of groups of faces of the same number, ranked by a trait.

    Args:
        traits: `[n]`.
        errors: `[n]`.
        bins: Groups; fewer where there are fewer than ten faces for each.

    Returns:
        Median of the trait and mean error of each group, `[groups]`.
    """
    groups = np.array_split(np.argsort(traits, kind="stable"), max(1, min(bins, len(traits) // 10)))
    return (
        np.array([np.median(traits[group]) for group in groups]),
        np.array([errors[group].mean() for group in groups]),
    )
