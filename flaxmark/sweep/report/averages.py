"""Means over seeds with their intervals, and means over groups of similar faces."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval (Student's t); the latter is NaN for fewer than two values."""
    count = len(values)
    if count < 2:
        return float(np.mean(values)), math.nan
    quantile = float(stats.t.ppf(0.975, count - 1))
    return float(np.mean(values)), quantile * float(np.std(values, ddof=1)) / math.sqrt(count)


def binned_means(
    traits: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"], bins: int = 6
) -> tuple[Float[np.ndarray, " groups"], Float[np.ndarray, " groups"]]:
    """Median trait and mean error of groups of equal size, ranked by the trait.

    There are fewer than `bins` groups where a group would have fewer than ten faces.
    """
    ranked = np.argsort(traits, kind="stable")
    groups = [group for group in np.array_split(ranked, max(1, min(bins, len(traits) // 10))) if len(group)]
    return (
        np.array([np.median(traits[group]) for group in groups]),
        np.array([errors[group].mean() for group in groups]),
    )
