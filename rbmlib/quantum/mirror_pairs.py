r"""Pairs of a configuration v and its mirror image -v, and what counting alone makes of their ratio.

A ground state without symmetry breaking gives v and -v the same probability. Of the n times that a pair
occurs among independent samples, v then takes a share a that is binomial with the probability 1/2, whatever
the probability of the pair. The ratio r = a / (n - a) has the mean 1 + 2/n and the variance 4/n to leading
order: a pair of which each member is expected c = n/2 times scatters by :math:`\sqrt{2/c}`.
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array

from .configurations import check_states
from .observables import OccurrenceRatio


def pair_totals(samples: ArrayLike) -> NDArray[np.int64]:
    """How often each pair of a configuration and its mirror image occurs.

    Parameters
    ----------
    samples : array_like, shape (n_samples, n_spins)
        Zeros and ones.

    Returns
    -------
    numpy.ndarray, shape (n_pairs,)
        Sum of both members' counts for every pair that occurs, in ascending order.
    """
    states = check_states(samples, name="samples")
    mirrored = states ^ states[:, -1:]
    _, counts = np.unique(np.packbits(mirrored, axis=1), axis=0, return_counts=True)
    return np.sort(counts.astype(np.int64))


def counting_ratio(totals: ArrayLike) -> OccurrenceRatio:
    """Mean and spread of count(v) / count(-v) over pairs if v and -v are equally likely.

    Parameters
    ----------
    totals : array_like of int, shape (n_pairs,)
        How often each pair occurs (:func:`pair_totals`), at least twice.

    Returns
    -------
    OccurrenceRatio
        What :func:`rbmlib.quantum.occurrence_ratio` measures on these pairs, in expectation over the
        binomial split of every pair, given that both members occur. NaN without pairs.

    Raises
    ------
    ValueError
        If a pair occurs less than twice.
    """
    numbers = plain_array("totals", totals)
    if numbers.ndim != 1 or (numbers.size and (numbers.dtype.kind not in "iu" or numbers.min() < 2)):
        raise ValueError("totals must be a row of integers of 2 or more, one for each pair.")
    if numbers.size == 0:
        return OccurrenceRatio(np.nan, np.nan, 0)
    first, second = 0.0, 0.0
    for total, pairs in zip(*(part.tolist() for part in np.unique(numbers, return_counts=True)), strict=True):
        mean, square = _ratio_moments(total)
        first += pairs * mean
        second += pairs * square
    mean = first / numbers.size
    return OccurrenceRatio(mean, sqrt(max(0.0, second / numbers.size - mean * mean)), numbers.size)


@lru_cache(maxsize=65536)
def _ratio_moments(total: int) -> tuple[float, float]:
    """First and second moment of a / (total - a), a binomial with probability 1/2 and neither 0 nor total."""
    # From the middle up, each number with its mirror image; weights relative to the middle's.
    first_above = total - total // 2
    # Ten standard deviations from the middle.
    last = min(total - 1, first_above + 5 * isqrt(total) + 5)
    weight, norm, first, second = 1.0, 0.0, 0.0, 0.0
    for a in range(first_above, last + 1):
        ratio = a / (total - a)
        for one in {a: ratio, total - a: 1.0 / ratio}.values():
            norm += weight
            first += weight * one
            second += weight * one * one
        weight *= (total - a) / (a + 1)
    return first / norm, second / norm
