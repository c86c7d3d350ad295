"""From values over seeds, the first axis, to an estimate with its interval.

One seed alone gives an unbounded interval, which decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit
from scipy.stats import binom, wilcoxon

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A value and the ends of its interval: numbers, or arrays of one shape.

    Attributes
    ----------
    value, low, high : float or numpy.ndarray
        The estimate and the ends.
    """

    value: Any
    low: Any
    high: Any

    @property
    def interval(self) -> tuple[Any, Any]:
        """The two ends."""
        return self.low, self.high

    def __sub__(self, origin: float) -> Estimate:
        return Estimate(*(end - origin for end in self))

    def __truediv__(self, scale: float) -> Estimate:
        return Estimate(*(end / scale for end in self))

    def map(self, function: Callable[[Any], Any]) -> Estimate:
        """An increasing function of it."""
        return Estimate(*map(function, self))

    def each(self) -> list[Estimate]:
        """The estimates of an array, one by one."""
        return [Estimate(*map(float, row)) for row in zip(*map(np.ravel, self), strict=True)]

    def exact(self) -> Estimate:
        """The value alone, as if it had no error."""
        return exactly(self.value)

    def unknown(self) -> Estimate:
        """The value with an interval that excludes nothing."""
        return Estimate(self.value, -math.inf, math.inf)


def exactly(value: float) -> Estimate:
    """A number that has no error, such as a count."""
    return Estimate(value, value, value)


def _values(name: str, values: Any) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[0] == 0:
        raise ValueError(f"{name} has shape {array.shape}; its first axis must hold at least one seed")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity; leave out what was not measured")
    return array


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; it must lie between 0 and 1")


def _estimate(value: Any, low: Any, high: Any) -> Estimate:
    return Estimate(*(float(x) if np.ndim(x) == 0 else x for x in (value, low, high)))


def _unbounded(value: NDArray[np.float64]) -> Estimate:
    return _estimate(value, np.full_like(value, -np.inf), np.full_like(value, np.inf))


def mean_interval(values: Any, confidence: float = CONFIDENCE) -> Estimate:
    """Mean over seeds with Student's t interval; unbounded for one seed.

    Parameters
    ----------
    values : array_like, (n_seeds, ...)
        A number or an array for each seed.
    confidence : float
        Coverage, between 0 and 1.

    Raises
    ------
    ValueError
        If there is no seed, a value is not finite, or `confidence` is out of range.
    """
    array = _values("values", values)
    _check_confidence(confidence)
    n, mean = array.shape[0], array.mean(axis=0)
    if n == 1:
        return _unbounded(mean)
    half = stdtrit(n - 1, (1 + confidence) / 2) * array.std(axis=0, ddof=1) / math.sqrt(n)
    return _estimate(mean, mean - half, mean + half)


def bootstrap_interval(
    values: Any,
    statistic: Callable[[NDArray[np.float64]], Any],
    confidence: float = CONFIDENCE,
    n_resamples: int = 4000,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap over seeds, for a statistic that is not a mean; unbounded for one seed.

    Parameters
    ----------
    values : array_like, (n_seeds, ...)
        Seeds are drawn with replacement and whole, so that quantities of one seed stay together.
    statistic : callable
        Takes an array of the shape of `values`; returns a number or an array.
    confidence : float
        Coverage, between 0 and 1.
    n_resamples : int
        How many samples are drawn.
    seed : int
        Seed of the draws: the same seed gives the same interval.

    Raises
    ------
    ValueError
        If there is no seed, a value or a resampled statistic is not finite, or an argument is out of range.
    """
    array = _values("values", values)
    _check_confidence(confidence)
    if n_resamples < 100:
        raise ValueError(f"n_resamples is {n_resamples!r}; it must be 100 or more")
    value, n = np.asarray(statistic(array), dtype=np.float64), array.shape[0]
    if n == 1:
        return _unbounded(value)
    draws = np.random.default_rng(seed).integers(0, n, size=(n_resamples, n))
    resampled = _values("statistic of a resample", [statistic(array[draw]) for draw in draws])
    return _estimate(value, *np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0))


def paired_difference(first: Any, second: Any, confidence: float = CONFIDENCE) -> Estimate:
    """Mean of ``first - second``, (n_seeds, ...) each, paired seed by seed.

    Raises
    ------
    ValueError
        If the shapes differ, and as :func:`mean_interval`.
    """
    first, second = _values("first", first), _values("second", second)
    if first.shape != second.shape:
        raise ValueError(f"first has shape {first.shape} and second {second.shape}; pairs need equal shapes")
    return mean_interval(first - second, confidence)


def unpaired_difference(first: ArrayLike, second: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Mean of the first minus mean of the second, with Welch's interval, for values that share no seeds.

    Parameters
    ----------
    first, second : array_like, (n_seeds,)
        The numbers of seeds may differ; unbounded if either has one.
    """
    sizes = np.array([np.size(first), np.size(second)])
    value = mean_interval(first).value - mean_interval(second).value
    if sizes.min() < 2:
        return Estimate(value, -np.inf, np.inf)
    variances = np.array([np.var(first, ddof=1), np.var(second, ddof=1)]) / sizes
    total = variances.sum()
    if total == 0:
        return exactly(value)
    freedom = total**2 / (variances**2 / (sizes - 1)).sum()
    half = float(stdtrit(freedom, (1 + confidence) / 2) * np.sqrt(total))
    return Estimate(value, value - half, value + half)


def proportion(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """A share with the interval of Clopper and Pearson, which covers at least as often as it says.

    Raises
    ------
    ValueError
        If there are no trials, or more successes than trials.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"successes must lie between 0 and n, and n be 1 or more, not {successes} of {n}")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Estimate(successes / n, low, high)


def median_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Median over seeds with the interval that the sign test gives: order statistics, whatever the distribution.

    Unbounded for fewer than six seeds at 95 %, of which no two order statistics cover as often.
    """
    array = np.sort(_values("values", values))
    n, tail = len(array), (1 - confidence) / 2
    below = int(binom.ppf(tail, n, 0.5))  # so many values may lie outside on either side
    below -= binom.cdf(below, n, 0.5) > tail
    if below < 0:
        return _unbounded(np.median(array))
    return _estimate(np.median(array), array[below], array[n - 1 - below])


def signed_rank(values: ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that differences, (n_seeds,), lie about zero."""
    array = _values("values", values)
    return float(wilcoxon(array).pvalue) if array.any() else 1.0


def slopes(x: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """Least-squares slopes of values (..., n) by x, (n,)."""
    centred = np.asarray(x) - np.mean(x)
    return (np.asarray(values) * centred).sum(axis=-1) / (centred**2).sum()
