"""How far a distribution is from another: Kullback-Leibler divergence, infidelity, errors of observables."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array
from rbmlib.kernels import enumeration_measures

from .configurations import MAX_ENUMERATED_SPINS, check_positive_integer, check_states, encode
from .observables import check_probabilities

# 99 % of a normal distribution lie within this many standard errors.
CONFIDENCE_FACTOR = 2.576


class Divergences(NamedTuple):
    """Kullback-Leibler divergences of a model from the exact state and from the data, and its infidelity."""

    kl: float
    kl_data: float
    infidelity: float


def empirical_distribution(samples: ArrayLike) -> NDArray[np.float64]:
    """Share of every configuration among samples.

    Parameters
    ----------
    samples : array_like, shape (n_samples, n_spins)
        Zeros and ones, at most 24 spins.

    Returns
    -------
    numpy.ndarray, shape (2**n_spins,)
        In the order of the codes.

    Raises
    ------
    ValueError
        If the chain is too long to enumerate.
    """
    states = check_states(samples, name="samples")
    n_samples, n_spins = states.shape
    if n_samples == 0:
        raise ValueError("samples must hold at least one configuration.")
    if n_spins > MAX_ENUMERATED_SPINS:
        raise ValueError(
            f"samples must have at most {MAX_ENUMERATED_SPINS} spins to be counted over all states, not "
            f"{n_spins}; compare observables instead."
        )
    return np.bincount(encode(states), minlength=2**n_spins) / n_samples


def kullback_leibler(q: ArrayLike, p: ArrayLike) -> float:
    """Divergence of a model p from a target q, the sum of q(v) log(q(v) / p(v)) (Golubeva & Melko, eq. 3).

    Parameters
    ----------
    q : array_like, shape (2**n_spins,)
        Target: the exact distribution or the empirical one (:func:`empirical_distribution`), which are
        different questions.
    p : array_like, shape (2**n_spins,)
        Model.

    Returns
    -------
    float
        In nats; infinite where p is zero and q is not.
    """
    return float(enumeration_measures.kullback_leibler(*_pair(q, p)))


def infidelity(q: ArrayLike, p: ArrayLike) -> float:
    """One minus the fidelity (sum of sqrt(q p))**2 of two states with positive amplitudes (Golubeva & Melko,
    eq. 4).

    Parameters
    ----------
    q, p : array_like, shape (2**n_spins,)
        Distributions.

    Returns
    -------
    float
        In [0, 1]. Small values are not lost to rounding.
    """
    return _infidelity(*_pair(q, p))


def _infidelity(q: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    missing = float(enumeration_measures.half_squared_distance(q, p))
    return missing * (2.0 - missing)


def divergences(model: ArrayLike, exact: ArrayLike, data: ArrayLike) -> Divergences:
    """Kullback-Leibler divergences to the exact state and to the data, and the infidelity to the exact state.

    Parameters
    ----------
    model, exact, data : array_like, shape (2**n_spins,)
        Distributions of the model, of the exact state, of the data (:func:`empirical_distribution`).

    Returns
    -------
    Divergences
    """
    checked, n_spins = check_probabilities(model, "model")
    target, n_exact = check_probabilities(exact, "exact")
    counted, n_data = check_probabilities(data, "data")
    if not n_spins == n_exact == n_data:
        raise ValueError(
            "model, exact and data must be over equally many spins, "
            f"not over {n_spins}, {n_exact} and {n_data}."
        )
    return Divergences(
        kl=float(enumeration_measures.kullback_leibler(target, checked)),
        kl_data=float(enumeration_measures.kullback_leibler(counted, checked)),
        infidelity=_infidelity(target, checked),
    )


def correlation_mse(correlation: ArrayLike, reference: ArrayLike) -> float:
    """Mean squared error of C(d) over d = 0 ... N/2.

    Golubeva & Melko's eq. 8 prints a plain sum of C; the text around it describes this quantity.

    Parameters
    ----------
    correlation, reference : array_like, shape (n_spins // 2 + 1,)
        C(d) of the model and of the reference.

    Returns
    -------
    float
    """
    model = plain_array("correlation", correlation, np.float64)
    target = plain_array("reference", reference, np.float64)
    if model.ndim != 1 or model.size == 0 or model.shape != target.shape:
        raise ValueError(
            "correlation and reference must be rows of equal length, "
            f"not of shapes {model.shape} and {target.shape}."
        )
    total = 0.0
    for difference in (model - target).tolist():
        total += difference * difference
    return total / model.size


def relative_error(value: float, exact: float) -> float:
    """Bare relative error |value - exact| / |exact|.

    Raises
    ------
    ValueError
        If a number is not finite or ``exact`` is zero.
    """
    _check_observable(value, exact)
    return abs(value - exact) / abs(exact)


def relative_observable_error(mean: float, std: float, exact: float, n: int) -> float:
    """Relative observable error with its 99 % error bar (Golubeva & Melko, eq. 6).

    ``(|mean - exact| + 2.576 std / sqrt(n)) / |exact|``, the larger of the relative errors at both ends of
    the confidence interval. Near its floor, 2.576 std / (sqrt(n) |exact|), it is its own error bar.

    Parameters
    ----------
    mean, std : float
        Mean and standard deviation of the observable over the samples.
    exact : float
        Exact value, not zero.
    n : int
        Number of independent samples.

    Returns
    -------
    float
    """
    _check_observable(mean, exact)
    if not (math.isfinite(std) and std >= 0):
        raise ValueError(f"std must be finite and not negative, not {std}.")
    n = check_positive_integer(n, "n")
    return (abs(mean - exact) + CONFIDENCE_FACTOR * std / math.sqrt(n)) / abs(exact)


def _check_observable(value: float, exact: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"The observable's value must be finite, not {value}.")
    if not (math.isfinite(exact) and exact != 0):
        raise ValueError(f"exact must be finite and not zero for a relative error, not {exact}.")


def _pair(q: ArrayLike, p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    target, n_target = check_probabilities(q, "q")
    model, n_model = check_probabilities(p, "p")
    if n_target != n_model:
        raise ValueError(f"q and p must be over equally many spins, not {n_target} and {n_model}.")
    return target, model
