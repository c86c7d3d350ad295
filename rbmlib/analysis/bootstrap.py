"""Intervals by resampling, for statistics that are not means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_RESAMPLES = 100


class Interval(NamedTuple):
    """A statistic and the ends of its interval: numbers, or arrays of one shape.

    Attributes
    ----------
    value, low, high : float or numpy.ndarray
        The statistic and the ends.
    """

    value: Any
    low: Any
    high: Any


def bootstrap(
    values: ArrayLike,
    statistic: Callable[[NDArray[Any]], Any],
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over the first axis.

    Parameters
    ----------
    values : array, (n_replicas, ...)
        Replicas are drawn with replacement and whole, so that quantities of one replica stay together.
    statistic : callable
        Takes an array of the shape of `values`; returns a number or an array.
    confidence : float
        Coverage, between 0 and 1.
    n_resamples : int
        How many samples are drawn.
    seed : int
        Seed of the draws: the same seed gives the same interval.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are fewer than two replicas, an argument is out of range, or a resampled statistic is not finite.
    """
    array = np.asarray(values)
    if array.ndim == 0 or len(array) < 2:
        raise ValueError(f"values must have at least two replicas, not the shape {array.shape}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence!r}")
    if n_resamples < FEWEST_RESAMPLES:
        raise ValueError(f"n_resamples must be at least {FEWEST_RESAMPLES}, not {n_resamples!r}")
    draws = np.random.default_rng(seed).integers(0, len(array), size=(n_resamples, len(array)))
    resampled = np.array([statistic(array[draw]) for draw in draws], dtype=np.float64)
    if not np.isfinite(resampled).all():
        raise ValueError("statistic must be finite for every resample, not NaN or infinite")
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    found = (np.asarray(statistic(array), dtype=np.float64), low, high)
    return Interval(*(float(each) if np.ndim(each) == 0 else each for each in found))
