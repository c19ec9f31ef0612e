"""Means of paired episodes: interquartile means, and intervals of two kinds.

What is evaluated has intervals by the bootstrap; the figures have the normal approximation, which is as good for their
1,000 realisations and costs nothing for thousands of points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_NORMAL_95 = 1.959964

Floats = NDArray[np.float64]


def interquartile_mean(values: Floats) -> float:
    """Mean of the middle half; a quarter of the values is cut off at each end."""
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def relative_gap(values: Floats, best: Floats, sense: str) -> float | None:
    """Distance of a mean from the mean of the optima, as a share of that; None where that is 0.

    1 - mean / mean optimum where more is better ("max"), mean / mean optimum - 1 where less is ("min").
    """
    if best.mean() == 0:
        return None
    missed = float(1 - values.mean() / best.mean())
    return missed if sense == "max" else -missed


def bootstrap_interval(values: Floats) -> tuple[float, float]:
    """95 % interval of the mean by the percentile bootstrap over episodes; NaN for fewer than two.

    The resamples are the same in every call with as many values, so the intervals of two policies are paired.
    """
    if len(values) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(len(values))
    means = [float(values[rng.integers(len(values), size=len(values))].mean()) for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def mean_and_half_width(values: Floats) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval (normal approximation; NaN for a single value)."""
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(_NORMAL_95 * values.std(ddof=1) / np.sqrt(len(values)))
