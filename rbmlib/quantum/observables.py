r"""Physical observables of a distribution over spin configurations, exactly by enumeration or from samples.

A distribution p stands for the state with the amplitudes :math:`\sqrt{p(v)}`: the sign
:math:`(-1)^{n_\downarrow}` of the ground state of Golubeva & Melko's eq. 1 is removed, so that the energy is
that of :math:`-\sum \sigma^z_i \sigma^z_{i+1} - h \sum \sigma^x_i`, the mean under p of the local energy

.. math:: E_{loc}(v) = -\sum_i \sigma_i \sigma_{i+1} - h \sum_i \sqrt{p(v^i) / p(v)},

where :math:`v^i` is v with spin i flipped. Spins are :math:`\sigma = 2 v - 1`; probabilities stand in the
order of the configurations' codes (:func:`rbmlib.quantum.encode`). Standard deviations have the divisor n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array
from rbmlib.kernels import enumeration_measures, sample_measures

from .configurations import (
    MAX_ENUMERATED_SPINS,
    center_site,
    check_field,
    check_positive_integer,
    check_states,
)

FreeEnergy = Callable[[NDArray[np.uint8]], ArrayLike]
_CHUNK = 16384
_NORMALISATION_TOLERANCE = 1e-6


class Estimate(NamedTuple):
    """Mean and standard deviation of an observable under a distribution."""

    mean: float
    std: float


class OccurrenceRatio(NamedTuple):
    """Mean and standard deviation of count(v) / count(-v) over pairs, and how many pairs there are."""

    mean: float
    std: float
    n_pairs: int


@dataclass(frozen=True, eq=False)
class Observables:
    """The observables of one distribution.

    Attributes
    ----------
    energy : Estimate
        Local energy, in units of J.
    magnetization : Estimate
        m, the mean of sigma over the chain (Golubeva & Melko, eq. 5).
    absolute_magnetization : Estimate
        |m|.
    up_spins : numpy.ndarray, shape (n_spins + 1,)
        Probability of every number of up spins k, that is, of m = 2 k / N - 1.
    correlation : numpy.ndarray, shape (n_spins // 2 + 1,)
        Connected correlation C(d) from the centre site (Golubeva & Melko, eq. 7).
    """

    energy: Estimate
    magnetization: Estimate
    absolute_magnetization: Estimate
    up_spins: NDArray[np.float64]
    correlation: NDArray[np.float64]


def exact_observables(probabilities: ArrayLike, field: float) -> Observables:
    """All observables of a distribution by enumeration.

    Parameters
    ----------
    probabilities : array_like, shape (2**n_spins,)
        Normalised probabilities in the order of the codes.
    field : float
        Transverse field h in units of J, positive.

    Returns
    -------
    Observables
    """
    padded, n_spins = check_probabilities(probabilities)
    histogram = np.zeros(n_spins + 1)
    enumeration_measures.up_histogram(padded, n_spins, histogram)
    magnetization, absolute = magnetization_estimates(histogram)
    return Observables(
        energy=_exact_energy(padded, n_spins, check_field(field)),
        magnetization=magnetization,
        absolute_magnetization=absolute,
        up_spins=histogram,
        correlation=_exact_correlation(padded, n_spins),
    )


def sampled_observables(samples: ArrayLike, free_energy: FreeEnergy, field: float) -> Observables:
    """All observables from samples; the arguments are those of :func:`energy_from_samples`."""
    states = _nonempty(samples)
    histogram = up_spin_distribution(states)
    magnetization, absolute = magnetization_estimates(histogram)
    return Observables(
        energy=energy_from_samples(states, free_energy, field),
        magnetization=magnetization,
        absolute_magnetization=absolute,
        up_spins=histogram,
        correlation=correlation_from_samples(states),
    )


def exact_energy(probabilities: ArrayLike, field: float) -> Estimate:
    """Mean and standard deviation of the local energy by enumeration (see :func:`exact_observables`)."""
    padded, n_spins = check_probabilities(probabilities)
    return _exact_energy(padded, n_spins, check_field(field))


def _exact_energy(padded: NDArray[np.float64], n_spins: int, field: float) -> Estimate:
    mean, variance = enumeration_measures.local_energy_moments(padded, n_spins, field)
    return Estimate(mean, float(np.sqrt(variance)))


def energy_from_samples(samples: ArrayLike, free_energy: FreeEnergy, field: float) -> Estimate:
    """Mean and standard deviation of the local energy over samples.

    Parameters
    ----------
    samples : array_like, shape (n_samples, n_spins)
        Zeros and ones, drawn from the distribution of ``free_energy``.
    free_energy : callable
        Maps uint8 configurations (n, n_spins) to their free energies F(v) = -log p(v) up to a constant, shape
        (n,), float64. It is called with at most 16384 configurations at a time, n_spins + 1 times each.
    field : float
        Transverse field h in units of J, positive.

    Returns
    -------
    Estimate
        In units of J.
    """
    states = _nonempty(samples)
    field = check_field(field)
    local = np.empty(len(states))
    for start in range(0, len(states), _CHUNK):
        chunk = states[start : start + _CHUNK].copy()
        base = _free_energies(free_energy, chunk)
        ratios = np.zeros(len(chunk))
        for site in range(chunk.shape[1]):
            chunk[:, site] ^= 1
            sample_measures.add_flip_ratios(base, _free_energies(free_energy, chunk), ratios)
            chunk[:, site] ^= 1
        walls = (chunk[:, 1:] != chunk[:, :-1]).sum(axis=1, dtype=np.int64)
        bonds = (chunk.shape[1] - 1) - 2 * walls
        local[start : start + _CHUNK] = -bonds - field * ratios
    return Estimate(*sample_measures.mean_and_deviation(local))


def _free_energies(free_energy: FreeEnergy, states: NDArray[np.uint8]) -> NDArray[np.float64]:
    # The callee gets its own array: the caller's chunk is changed in place afterwards.
    values = np.ascontiguousarray(free_energy(states.copy()), dtype=np.float64)
    if values.shape != (len(states),):
        raise ValueError(f"free_energy must return the shape ({len(states)},), not {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("free_energy must return finite numbers, but returned NaN or infinity.")
    return values


def up_spin_distribution(samples: ArrayLike) -> NDArray[np.float64]:
    """Share of the samples with k up spins, k = 0 ... n_spins, that is, the histogram of m = 2 k / n_spins -
    1.

    Parameters
    ----------
    samples : array_like, shape (n_samples, n_spins)
        Zeros and ones.

    Returns
    -------
    numpy.ndarray, shape (n_spins + 1,)
    """
    states = _nonempty(samples)
    ups = states.sum(axis=1, dtype=np.int64)
    return np.bincount(ups, minlength=states.shape[1] + 1) / len(states)


def magnetization_estimates(up_spins: ArrayLike) -> tuple[Estimate, Estimate]:
    """Estimates of m and of |m| from the distribution of the number of up spins.

    Parameters
    ----------
    up_spins : array_like, shape (n_spins + 1,)
        Probability of every number of up spins.

    Returns
    -------
    tuple of Estimate
        m and |m| (Golubeva & Melko, eq. 5).
    """
    weights = plain_array("up_spins", up_spins, np.float64)
    if weights.ndim != 1 or weights.size < 2:
        raise ValueError(f"up_spins must have the shape (n_spins + 1,), not {weights.shape}.")
    n_spins = weights.size - 1
    values = (2.0 * np.arange(n_spins + 1) - n_spins) / n_spins
    return _weighted(values, weights), _weighted(np.abs(values), weights)


def _weighted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    # Plain sums from left to right: numpy's own order is not part of its contract.
    mean = 0.0
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean += value * weight
    variance = 0.0
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        variance += (value - mean) * (value - mean) * weight
    return Estimate(mean, float(np.sqrt(variance)))


def exact_correlation(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Connected correlation C(d) from the centre site by enumeration.

    Parameters
    ----------
    probabilities : array_like, shape (2**n_spins,)
        Normalised probabilities in the order of the codes.

    Returns
    -------
    numpy.ndarray, shape (n_spins // 2 + 1,)
        C(d) = <s_c s_(c+d)> - <s_c> <s_(c+d)> (Golubeva & Melko, eq. 7), where c is
        :func:`rbmlib.quantum.center_site`.
    """
    return _exact_correlation(*check_probabilities(probabilities))


def _exact_correlation(padded: NDArray[np.float64], n_spins: int) -> NDArray[np.float64]:
    center = center_site(n_spins)
    marginal = np.empty(2 ** (n_spins - center))
    enumeration_measures.marginal_of_high_bits(padded, center, marginal)
    products, means = np.empty(n_spins // 2 + 1), np.empty(n_spins // 2 + 1)
    enumeration_measures.correlations_from_lowest_bit(marginal, products, means)
    products[0] = 1.0
    return products - means[0] * means


def correlation_from_samples(samples: ArrayLike) -> NDArray[np.float64]:
    """Connected correlation C(d) from the centre site over samples, shape (n_spins // 2 + 1,).

    Definition as for :func:`exact_correlation`, means over the samples.
    """
    states = _nonempty(samples)
    n_samples, n_spins = states.shape
    center = center_site(n_spins)
    right = states[:, center : center + n_spins // 2 + 1]
    equal = (right == right[:, :1]).sum(axis=0, dtype=np.int64)
    up = right.sum(axis=0, dtype=np.int64)
    products = (2 * equal - n_samples) / n_samples
    means = (2 * up - n_samples) / n_samples
    return products - means[0] * means


def occurrence_ratio(samples: ArrayLike, *, min_count: int) -> OccurrenceRatio:
    """How often a configuration v occurs for one occurrence of its mirror image -v.

    Parameters
    ----------
    samples : array_like, shape (n_samples, n_spins)
        Zeros and ones.
    min_count : int
        Only pairs that occur at least ``2 * min_count`` times together count. The standard deviation is
        mostly counting noise, about ``sqrt(2 / count)``, so it falls with this threshold.

    Returns
    -------
    OccurrenceRatio
        Mean and standard deviation over the pairs, each counted once, of count(v) / count(-v), v being the
        one whose last spin is down; infinite if some -v never occurs. NaN if there is no such pair.
    """
    states = _nonempty(samples)
    min_count = check_positive_integer(min_count, "min_count")
    up = states[:, -1]
    _, pair = np.unique(np.packbits(states ^ up[:, None], axis=1), axis=0, return_inverse=True)
    up_counts = np.bincount(pair.ravel(), weights=up)
    down_counts = np.bincount(pair.ravel()) - up_counts
    frequent = up_counts + down_counts >= 2 * min_count
    n_pairs = int(frequent.sum())
    if n_pairs == 0:
        return OccurrenceRatio(np.nan, np.nan, 0)
    if (up_counts[frequent] == 0).any():
        return OccurrenceRatio(np.inf, np.inf, n_pairs)
    ratios = down_counts[frequent] / up_counts[frequent]
    return OccurrenceRatio(*sample_measures.mean_and_deviation(ratios), n_pairs)


def check_probabilities(
    probabilities: ArrayLike, name: str = "probabilities"
) -> tuple[NDArray[np.float64], int]:
    """The probabilities as kernels read them (padded to at least eight), the number of spins; or an error."""
    array = np.ascontiguousarray(probabilities, dtype=np.float64)
    n_spins = array.size.bit_length() - 1
    if array.ndim != 1 or array.size < 4 or array.size != 1 << n_spins:
        raise ValueError(
            f"{name} must have the shape (2**n_spins,) with n_spins at least 2, not {array.shape}."
        )
    if n_spins > MAX_ENUMERATED_SPINS:
        raise ValueError(
            f"{name} must be of at most {MAX_ENUMERATED_SPINS} spins, not {n_spins}; "
            "use samples for longer chains."
        )
    if array.size < 8:
        array = np.concatenate([array, np.zeros(8 - array.size)])
    total, n_negative = enumeration_measures.total_probability(array)
    if n_negative > 0:
        raise ValueError(f"{name} must not be negative, but hold {array.min()}.")
    if not abs(total - 1.0) <= _NORMALISATION_TOLERANCE:
        raise ValueError(f"{name} must sum to 1, but sum to {total:.9g}.")
    return array, n_spins


def _nonempty(samples: ArrayLike) -> NDArray[np.uint8]:
    states = check_states(samples, name="samples")
    if len(states) == 0:
        raise ValueError("samples must hold at least one configuration.")
    if states.shape[1] < 2:
        raise ValueError("samples must have at least 2 columns, one for each spin.")
    return states
