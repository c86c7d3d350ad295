"""The measures by which the quality of pruned machines is told, and where they drop, over replicas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rbmbook.evidence.estimates import Estimate, bootstrap_interval
from rbmlib.analysis.drops import Measure, drops

MEASURES = {
    "quality": Measure(True, "Q"),
    "quality_other": Measure(True, "Q by the other judge"),
    "aai": Measure(False, "E_AAI"),
    "second_moment": Measure(False, "E(2)"),
    "digits": Measure(True, "effective number of digits", collapsed=1.0),
}
"""The measures of the transition. ``digits`` stands for d_f: see :func:`effective_digits`."""


def effective_digits(imbalance: NDArray[np.float64], n_classes: int = 10) -> NDArray[np.float64]:
    r"""Effective number of classes :math:`1 / \sum_i f_i^2 = 1 / (K d_f + 1 / K)`: K for even, 1 for a single
    class.

    A function of d_f alone, but one in which half-way means that half of the digits are gone; in d_f itself,
    half-way to a single class are 1.8 classes.

    Parameters
    ----------
    imbalance : array, (..., n_points)
        d_f along a curve; NaN where too few samples are digits. There the last number before is kept, so that
        a curve that is cut neither rises nor falls.
    n_classes : int
        Number of classes K.

    Returns
    -------
    array
        NaN only where a curve begins with NaN.
    """
    numbers = 1 / (n_classes * np.asarray(imbalance, dtype=np.float64) + 1 / n_classes)
    for point in range(1, numbers.shape[-1]):
        missing = np.isnan(numbers[..., point])
        numbers[..., point] = np.where(missing, numbers[..., point - 1], numbers[..., point])
    return numbers


def estimate_drops(
    removed: NDArray[np.float64], curves: NDArray[np.float64], measure: Measure, n_resamples: int = 1000
) -> Estimate:
    """:func:`rbmlib.analysis.drops.drops` with bootstrap intervals over replicas, whose curves are drawn whole."""
    return bootstrap_interval(curves, lambda drawn: drops(removed, drawn, measure), n_resamples=n_resamples)
