r"""How alike generated and real binary images are, by measures that need no model.

Adversarial accuracy (Yale et al. 2020) asks of every image whether its nearest neighbour is of its own set,

.. math:: E_{AAI} = \tfrac12 \bigl[ (A_T - \tfrac12)^2 + (A_S - \tfrac12)^2 \bigr] ,

where A_T is the share of generated images whose nearest neighbour in the data is farther away than in the
generated set, A_S the same with the roles exchanged; ties count half and the sets have equal size. The
second-moment error

.. math:: E^{(2)} = \frac1{D^2} \sum_{ij} \bigl( C_{ij}^T - C_{ij}^S \bigr)^2

compares covariance matrices (divisor n) over all pairs of the D pixels. Counts are whole numbers, divided once
at the end: the values have portable bits.

Neither is zero for two sets of real images: compare with :func:`real_against_real`. Resampling gives no error
bar for nearest neighbours (copies lie at distance zero, and leaving images out changes whose neighbour is
whose); that of adversarial accuracy comes from :func:`dependent_mean_error`, that of E(2) from the jackknife.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from rbmlib.rbm import check_binary

from .images import disjoint_subsets
from .nearest import nearest

_BLOCK = 8192


class Measured(NamedTuple):
    """A measure and its standard error over the images."""

    value: float
    standard_error: float


class AdversarialAccuracy(NamedTuple):
    """Adversarial accuracy of a generated set against data.

    Attributes
    ----------
    generated, data : Measured
        A_T and A_S: 1/2 where the sets cannot be told apart, 1 where every image is nearer to its own set, 0
        where generated images are copies of data.
    error : Measured
        E_AAI.
    """

    generated: Measured
    data: Measured
    error: Measured


# --- adversarial accuracy -------------------------------------------------------------------------------------------


def adversarial_accuracy(generated: ArrayLike, data: ArrayLike) -> AdversarialAccuracy:
    """Adversarial accuracy of generated images against as many real ones; portable bits.

    Parameters
    ----------
    generated, data : array, (n, n_pixels)
        Zeros and ones; equally many images, at least three.

    Returns
    -------
    AdversarialAccuracy

    Raises
    ------
    ValueError
        If an argument is not binary, or the sets differ in number or size of their images.
    """
    t, s = _pair(generated, data)
    if len(t) != len(s):
        raise ValueError(
            f"generated and data must have equally many images, not {len(t)} and {len(s)}: "
            "nearest neighbours are nearer in a larger set"
        )
    if len(t) < 3:
        raise ValueError(f"generated must have at least three images, not {len(t)}")
    sides = []
    for own, other in ((t, s), (s, t)):
        across, within = nearest(own, other), nearest(own)
        # Twice the indicator, so that ties are whole numbers, too.
        twice = 2 * (across.distance > within.distance) + (across.distance == within.distance)
        ties = np.concatenate([within.index, len(own) + across.index], axis=1)
        error = dependent_mean_error(twice, ties) / 2
        sides.append(Measured(int(twice.sum()) / (2 * len(own)), error))
    return AdversarialAccuracy(*sides, _aai_error(*sides))


def _aai_error(generated: Measured, data: Measured) -> Measured:
    """E_AAI and its error: for x of mean m and deviation s, x**2 has the variance 4 m**2 s**2 + 2 s**4."""
    value, variance = 0.0, 0.0
    for accuracy, error in (generated, data):
        off, spread = (accuracy - 0.5) ** 2, error * error
        value += off / 2
        variance += (4 * max(off - spread, 0.0) * spread + 2 * spread * spread) / 4
    return Measured(value, math.sqrt(variance))


def dependent_mean_error(values: NDArray[np.int64], ties: NDArray[np.int64]) -> float:
    r"""Standard error of the mean of integers that depend on one another where they share neighbours.

    .. math:: \operatorname{Var} = \frac1{n^2} \sum_{i \sim j} (x_i - \bar x)(x_j - \bar x) ,

    over i = j and all pairs where a tie of one is the other or a tie of both; the result is never below that
    of independent values. With two neighbours in each set as ties it is 1.0 to 1.1 times the spread of
    adversarial accuracy between independent sets of 500 or 1,000 images of MNIST (independent values would
    give 0.8 to 0.9, leaving out one image at a time 1.6), and no less than 0.8 times where a few images are
    neighbours of very many.

    Parameters
    ----------
    values : array of int64, (n,)
        The values; their mean's error is wanted.
    ties : array of int64, (n, n_ties)
        For each value numbers of what it depends on; numbers below n are the values' own.

    Returns
    -------
    float
        Portable bits: the sum is one of whole numbers.
    """
    n = len(values)
    centred = n * values - values.sum()
    columns = np.concatenate([np.arange(n)[:, None], ties], axis=1)
    rows = np.repeat(np.arange(n), columns.shape[1])
    entries = np.ones(columns.size, np.int64)
    member = sparse.csr_array((entries, (rows, columns.ravel())), shape=(n, int(columns.max()) + 1))
    linked = member @ member.T
    linked.data[:] = 1
    total = max(int(centred @ (linked @ centred)), int(centred @ centred))
    return math.sqrt(total) / (n * n)


# --- second moments -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Moments:
    """Counts of a set of binary images that its covariance matrix follows from.

    Attributes
    ----------
    n : int
        Number of images.
    ink : array of int64, (n_pixels,)
        Images in which a pixel is on.
    pairs : array of int64, (n_pixels, n_pixels)
        Images in which both pixels are on.
    """

    n: int
    ink: NDArray[np.int64]
    pairs: NDArray[np.int64]

    @classmethod
    def of(cls, images: ArrayLike) -> Moments:
        """Count; exact, hence portable bits.

        Raises
        ------
        ValueError
            If `images` holds other values than 0 and 1, or is empty.
        """
        rows = check_binary("images", images)
        if len(rows) == 0:
            raise ValueError("images must hold at least one image; it is empty")
        pairs = np.zeros((rows.shape[1],) * 2, np.int64)
        for start in range(0, len(rows), _BLOCK):
            # Whole numbers up to the size of a block: float32 holds every partial sum exactly.
            block = rows[start : start + _BLOCK].astype(np.float32)
            pairs += (block.T @ block).astype(np.int64)
        return cls(len(rows), pairs.diagonal().copy(), pairs)

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance matrix with divisor n, each entry rounded once."""
        return (self.n * self.pairs - np.outer(self.ink, self.ink)) / float(self.n) ** 2


def second_moment_error(generated: ArrayLike | Moments, data: ArrayLike | Moments) -> float:
    """E(2): mean over all pairs of pixels of the squared difference of covariances; portable bits.

    Parameters
    ----------
    generated, data : array, (n, n_pixels), or Moments
        Zeros and ones, or their counts. The sets may differ in size; both sizes enter the floor.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an argument is not binary or their images differ in size.
    """
    t, s = (one if isinstance(one, Moments) else Moments.of(one) for one in (generated, data))
    if t.ink.shape != s.ink.shape:
        raise ValueError(f"generated has {len(t.ink)} pixels and data {len(s.ink)}; they must be equal")
    difference = t.covariance - s.covariance
    return math.fsum((difference * difference).ravel()) / difference.size


def second_moment_standard_error(generated: ArrayLike, data: ArrayLike | Moments) -> float:
    r"""Standard error of E(2) over the generated images, the data taken as given (bits depend on BLAS).

    Without image x the covariance is :math:`C - \frac{1}{n - 1} \bigl( \frac{n}{n - 1} y y^T - C \bigr)` with
    y = x - mean, so that all n values follow from one product of matrices. At the floor, where E(2) is all noise,
    this is up to twice the true error; well above it, it is right.

    Parameters
    ----------
    generated : array, (n, n_pixels)
        Zeros and ones; at least three images.
    data : array, (m, n_pixels), or Moments
        What they were compared with.
    """
    rows = check_binary("generated", generated)
    if len(rows) < 3:
        raise ValueError(f"generated must have at least three images, not {len(rows)}")
    reference = (data if isinstance(data, Moments) else Moments.of(data)).covariance
    if len(reference) != rows.shape[1]:
        raise ValueError(
            f"generated has {rows.shape[1]} pixels and data {len(reference)}; they must be equal"
        )
    n = len(rows)
    here = Moments.of(rows)
    centred = rows - here.ink / n
    shrunk = n / (n - 1) * here.covariance - reference
    weight = n / (n - 1) ** 2
    along = np.einsum("np,np->n", centred @ shrunk, centred)
    squares = np.einsum("np,np->n", centred, centred)
    left_out = ((shrunk**2).sum() - 2 * weight * along + weight**2 * squares**2) / shrunk.size
    return math.sqrt(jackknife_variance(left_out))


def jackknife_variance(left_out: NDArray[np.float64]) -> float:
    """Variance of a statistic from its values without each of n images in turn: (n - 1) / n times the sum of
    squares about their mean.
    """
    n = len(left_out)
    mean = math.fsum(left_out) / n
    return (n - 1) / n * math.fsum((left_out - mean) ** 2)


# --- floors ---------------------------------------------------------------------------------------------------------


def real_against_real(
    images: ArrayLike,
    size: int,
    n_pairs: int,
    seed: int,
    measures: Mapping[str, Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Measures between disjoint random subsets of real images: what a perfect model would be given.

    Parameters
    ----------
    images : array, (n, n_pixels)
        Real images.
    size : int
        Images of each subset.
    n_pairs : int
        Pairs of subsets; no image is in two subsets.
    seed : int
        Seed of the choice; portable bits.
    measures : mapping of str to callable, optional
        Functions of (first, second); ``E_AAI`` and ``E(2)`` if not given.

    Returns
    -------
    dict of str to array, (n_pairs,)

    Raises
    ------
    ValueError
        If there are too few images.
    """
    rows = check_binary("images", images)
    chosen = measures or {
        "E_AAI": lambda first, second: adversarial_accuracy(first, second).error.value,
        "E(2)": second_moment_error,
    }
    subsets = disjoint_subsets(len(rows), size, 2 * n_pairs, seed)
    return {
        name: np.array([measure(rows[a], rows[b]) for a, b in zip(subsets[::2], subsets[1::2], strict=True)])
        for name, measure in chosen.items()
    }


def _pair(generated: ArrayLike, data: ArrayLike) -> Iterable[NDArray[np.uint8]]:
    t, s = check_binary("generated", generated), check_binary("data", data)
    if t.shape[1] != s.shape[1]:
        raise ValueError(f"generated has {t.shape[1]} pixels and data {s.shape[1]}; they must be equal")
    return t, s
