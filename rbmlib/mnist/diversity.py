r"""How evenly a set of images covers the classes.

Over the n images that a judge accepts as digits, with frequencies f of the K classes,

.. math:: d_f = \frac1K \sum_i \Bigl( f_i - \frac1K \Bigr)^2 , \qquad H = -\sum_i f_i \log f_i

(Diaz-Faloh & Mulet, eq. 6, and the entropy in nats, log K where all classes are equally frequent). Even a perfect
sampler has d_f above and H below the ideal, since n is finite and the data are not evenly spread themselves:
:func:`expected_imbalance` and :func:`expected_entropy` say by how much.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array

from .quality import Measured

FEWEST_ACCEPTED = 100
"""Fewer accepted images than this say nothing about classes: the curves end there."""


class Diversity(NamedTuple):
    """Class imbalance d_f and entropy of class frequencies; NaN where too few images were accepted."""

    imbalance: Measured
    entropy: Measured


def diversity(counts: ArrayLike, fewest: int = FEWEST_ACCEPTED) -> Diversity:
    """Imbalance and entropy of classes, with jackknife standard errors over the images.

    Parameters
    ----------
    counts : array of int, (n_classes,)
        Accepted images by class.
    fewest : int
        Both are NaN with fewer accepted images than this.

    Returns
    -------
    Diversity

    Raises
    ------
    ValueError
        If `counts` is not a row of at least two whole numbers >= 0.
    """
    k = _counts(counts)
    n = int(k.sum())
    if n < max(fewest, 2):
        return Diversity(Measured(math.nan, math.nan), Measured(math.nan, math.nan))
    # All images of a class give the same value when they are left out.
    present = np.flatnonzero(k)
    left_out = (k - np.eye(len(k), dtype=np.int64)[present]) / (n - 1)
    measured = []
    for function in (imbalance_of, entropy_of):
        values = function(left_out)
        mean = (k[present] * values).sum() / n
        variance = (n - 1) / n * (k[present] * (values - mean) ** 2).sum()
        measured.append(Measured(float(function(k / n)), math.sqrt(variance)))
    return Diversity(*measured)


def imbalance_of(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """d_f of class frequencies, (..., n_classes)."""
    n_classes = frequencies.shape[-1]
    return ((frequencies - 1 / n_classes) ** 2).sum(axis=-1) / n_classes


def entropy_of(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy of class frequencies in nats, (..., n_classes)."""
    return -np.where(frequencies > 0, frequencies * np.log(np.maximum(frequencies, 1e-300)), 0.0).sum(axis=-1)


def expected_imbalance(n: int, frequencies: ArrayLike) -> float:
    r"""Mean of d_f over n independent images with these class frequencies.

    The variance of a frequency is q (1 - q) / n, so the mean is :math:`d_q + (1 - \sum q^2) / (K n)`, that is
    0.09 / n for ten equal classes.

    Parameters
    ----------
    n : int
        Accepted images.
    frequencies : array, (n_classes,)
        Class frequencies q, or counts, of the data.
    """
    q = plain_array("frequencies", frequencies, np.float64)
    q = q / q.sum()
    return float(imbalance_of(q) + (1 - (q**2).sum()) / (len(q) * n))


def expected_entropy(n: int, frequencies: ArrayLike) -> float:
    """Mean entropy over n independent images with these class frequencies, to first order in 1 / n (Miller
    1955).

    Parameters
    ----------
    n : int
        Accepted images.
    frequencies : array, (n_classes,)
        Class frequencies, or counts, of the data.
    """
    q = plain_array("frequencies", frequencies, np.float64)
    return float(entropy_of(q / q.sum()) - (np.count_nonzero(q) - 1) / (2 * n))


def _counts(counts: ArrayLike) -> NDArray[np.int64]:
    array = plain_array("counts", counts)
    if array.ndim != 1 or array.size < 2 or array.dtype.kind not in "iu" or array.min() < 0:
        raise ValueError(f"counts must be two or more whole numbers >= 0, not {counts!r}")
    return array.astype(np.int64)
