r"""Estimates of the partition function of machines too large to enumerate.

*Annealed importance sampling* (Neal 2001; for RBMs Salakhutdinov & Murray 2008) takes independent chains from
a base whose partition function is known to the machine. With the hidden units summed out the path is

.. math:: \log p^*_\beta(v) = \bigl((1 - \beta)\, b^0 + \beta\, b\bigr) \cdot v
          + \sum_j \log\bigl(1 + e^{\beta (c_j + \sum_i v_i W_{ij})}\bigr), \qquad 0 \le \beta \le 1 ,

where the base (:math:`\beta = 0`) has visible biases :math:`b^0` and no weights, so that
:math:`\log Z_0 = \sum_i \log(1 + e^{b^0_i}) + n_h \log 2`. At every inverse temperature a chain's weight is
multiplied by :math:`p^*_{k + 1}(v) / p^*_k(v)` and the chain moves by one Gibbs step; then

.. math:: \mathbb{E}\, \frac{1}{n} \sum_{c = 1}^{n} w_c = \frac{Z}{Z_0} .

By Jensen's inequality the logarithm of the mean weight is too small on average, and this is how the estimate
fails when the path is too short. *Reverse* annealed importance sampling starts from samples of the machine and
runs the path backwards: the mean weight is then :math:`Z_0 / Z`, and its estimate of log Z is too large on
average. Together they bracket log Z (Grosse, Ghahramani & Adams 2015), as far as the samples that the reverse
chains start from are the machine's.

Where another distribution with known probabilities is close, such as a matrix product state that the machine
has learned, *importance sampling* from it needs no path: :math:`Z = \mathbb{E}_{p}\, \tilde p(v) / p(v)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from rbmlib.arguments import check_counter, plain_array

from .kernels import annealing as _kernels
from .kernels.elementary import log_array as _log_array
from .kernels.philox import STREAM_ANNEALING, STREAM_REVERSE_ANNEALING
from .rbm import RBM, check_binary, check_seed

if TYPE_CHECKING:
    from .quantum.mps import MatrixProductState

LARGEST_STEP = 80.0
"""Largest change of a hidden unit's field times inverse temperature that one step of a path may make."""
SMALLEST_SHARE = 0.01
"""Importance sampling is refused where the effective sample size is a smaller share of the samples."""
_LARGEST_PRODUCT = 600.0
_LOG_2 = 0.6931471805599453


class TooFewEffectiveSamples(ValueError):
    """An importance sampling estimate rests on too few of its samples.

    Attributes
    ----------
    effective_sample_size : float
    n_samples : int
    """

    def __init__(self, effective_sample_size: float, n_samples: int, smallest_share: float) -> None:
        self.effective_sample_size = effective_sample_size
        self.n_samples = n_samples
        super().__init__(
            f"importance sampling is refused: the effective sample size is {effective_sample_size:.3g} of "
            f"{n_samples} samples, below {100 * smallest_share:g} %; use annealed importance sampling instead"
        )


@dataclass(frozen=True, eq=False)
class PartitionEstimate:
    """An estimate of log Z from weighted samples.

    Attributes
    ----------
    log_partition : float
        The estimate of log Z.
    low, high : float
        Ends of its confidence interval, from the spread of the weights.
    standard_error : float
        Of ``log_partition``: standard deviation of the weights over their mean, divided by sqrt(n_samples).
    effective_sample_size : float
        (sum of weights)^2 / sum of squared weights, between 1 and n_samples. Where it is small, few chains
        carry the estimate and the interval is too narrow.
    log_weights : array, (n_samples,)
        Logarithms of the weights: of Z / Z_0 (annealed), Z_0 / Z (reverse) or Z (importance sampling).
    states : array of uint8, (n_samples, n_visible)
        Visible states at the end of the path. Those of annealed importance sampling, weighted by
        ``exp(log_weights)``, are samples of the machine.
    """

    log_partition: float
    low: float
    high: float
    standard_error: float
    effective_sample_size: float
    log_weights: NDArray[np.float64]
    states: NDArray[np.uint8]


def effective_sample_size(log_weights: ArrayLike) -> float:
    """(sum of weights)^2 / sum of squared weights, from the weights' logarithms."""
    values = plain_array("log_weights", log_weights, float)
    weights = np.exp(values - values.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def base_rate_biases(data: ArrayLike) -> NDArray[np.float32]:
    """Biases of independent visible units that have the means of ``data``, the usual base of annealing.

    Parameters
    ----------
    data : array, (n_samples, n_visible)
        Visible states, 0 or 1.

    Returns
    -------
    array of float32, (n_visible,)
        ``log(p / (1 - p))`` with ``p = (ones + 1) / (n_samples + 2)``, which is finite where a unit never
        changes; portable bits.
    """
    states = check_binary("data", data)
    if len(states) == 0:
        raise ValueError("data must have at least one row")
    ones = states.sum(axis=0, dtype=np.int64)
    odds = (ones + 1.0) / (len(states) - ones + 1.0)
    biases = np.empty_like(odds)
    _log_array(odds, biases)
    return biases.astype(np.float32)


def annealed_importance_sampling(
    rbm: RBM,
    n_chains: int,
    temperatures: int | ArrayLike,
    seed: int,
    *,
    base: ArrayLike | None = None,
    confidence: float = 0.95,
    first_chain: int = 0,
) -> PartitionEstimate:
    """Estimate log Z by annealed importance sampling: from below, on average.

    Parameters
    ----------
    rbm : RBM
    n_chains : int
        Number of independent chains; time grows with it, memory hardly does.
    temperatures : int or array
        Number of steps of equal size from the base to the machine, or the inverse temperatures themselves,
        rising from 0 to 1. Each costs a Gibbs step.
    seed : int
        Seed in [0, 2**64); chain c's step k depends on (seed, c, k) alone.
    base : array, (n_visible,), optional
        Visible biases of the base; zero if not given. :func:`base_rate_biases` fits them to data.
    confidence : float
        Of the interval.
    first_chain : int
        Number of the first chain, so that a set of chains can be run in parts with the same bits.

    Returns
    -------
    PartitionEstimate
        The chains' states and weights have portable bits.

    Raises
    ------
    ValueError
        If an argument is out of range, or the steps are too long for the machine's fields.

    Notes
    -----
    Salakhutdinov & Murray, On the quantitative analysis of deep belief networks (ICML 2008), section 4.1.
    """
    n_chains = _at_least("n_chains", n_chains, 1)
    base_bias = _checked_base(base, rbm)
    states = np.empty((n_chains, rbm.n_visible), np.uint8)
    first_chain = _at_least("first_chain", first_chain, 0)
    check_counter("first_chain", first_chain, n_chains, "n_chains")
    word = np.uint64(check_seed("seed", seed))
    betas = _inverse_temperatures(temperatures)
    _kernels.draw_base(base_bias, first_chain, STREAM_ANNEALING, word, states)
    log_weights = _anneal(rbm, base_bias, betas, first_chain, STREAM_ANNEALING, word, states)
    return _estimate(log_weights, states, _log_partition_of_base(rbm, base_bias), 1.0, confidence)


def reverse_annealed_importance_sampling(
    rbm: RBM,
    samples: ArrayLike,
    temperatures: int | ArrayLike,
    seed: int,
    *,
    base: ArrayLike | None = None,
    confidence: float = 0.95,
    first_chain: int = 0,
) -> PartitionEstimate:
    """Estimate log Z by annealing backwards from the machine's own samples: from above, on average.

    Parameters
    ----------
    rbm : RBM
    samples : array, (n_samples, n_visible)
        Independent samples of the machine, exact or from long Gibbs chains; one chain starts from each.
        Samples of anything else void the bound.
    temperatures, seed, base, confidence, first_chain
        As in :func:`annealed_importance_sampling`; the random numbers are others.

    Returns
    -------
    PartitionEstimate
        ``states`` are those at the base.
    """
    states = check_binary("samples", samples, rbm.n_visible).copy()
    if len(states) == 0:
        raise ValueError("samples must have at least one row")
    base_bias = _checked_base(base, rbm)
    first_chain = _at_least("first_chain", first_chain, 0)
    check_counter("first_chain", first_chain, len(states), "n_chains")
    word = np.uint64(check_seed("seed", seed))
    betas = np.ascontiguousarray(_inverse_temperatures(temperatures)[::-1])
    log_weights = _anneal(rbm, base_bias, betas, first_chain, STREAM_REVERSE_ANNEALING, word, states)
    return _estimate(log_weights, states, _log_partition_of_base(rbm, base_bias), -1.0, confidence)


def importance_sampling_from(
    state: MatrixProductState,
    rbm: RBM,
    n_samples: int,
    seed: int,
    *,
    confidence: float = 0.95,
    smallest_share: float = SMALLEST_SHARE,
) -> PartitionEstimate:
    """Estimate log Z by importance sampling from a matrix product state: the mean of p~(v) / p(v).

    Parameters
    ----------
    state : MatrixProductState
        Of as many spins as the machine has visible units.
    rbm : RBM
    n_samples : int
        Exact samples of the state to draw.
    seed : int
        Seed in [0, 2**64).
    confidence : float
        Of the interval.
    smallest_share : float
        The estimate is refused where the effective sample size is a smaller share of ``n_samples``.

    Returns
    -------
    PartitionEstimate

    Raises
    ------
    TooFewEffectiveSamples
        If the state and the machine overlap too little.
    """
    if state.n_spins != rbm.n_visible:
        raise ValueError(
            f"state must have the machine's {rbm.n_visible} visible units, not {state.n_spins} spins"
        )
    if not 0 <= smallest_share <= 1:
        raise ValueError(f"smallest_share must lie in [0, 1], not {smallest_share!r}")
    states = state.sample(_at_least("n_samples", n_samples, 1), seed)
    log_weights = -rbm.free_energy(states) - state.log_probability(states)
    return partition_from_log_weights(
        log_weights, states, confidence=confidence, smallest_share=smallest_share
    )


def partition_from_log_weights(
    log_weights: ArrayLike,
    states: ArrayLike,
    *,
    confidence: float = 0.95,
    smallest_share: float = SMALLEST_SHARE,
) -> PartitionEstimate:
    """What :func:`importance_sampling_from` makes of log p~(v) - log p(v), (n_samples,), at samples of p."""
    found = _estimate(
        plain_array("log_weights", log_weights, float), plain_array("states", states), 0.0, 1.0, confidence
    )
    if found.effective_sample_size < smallest_share * len(found.log_weights):
        raise TooFewEffectiveSamples(found.effective_sample_size, len(found.log_weights), smallest_share)
    return found


def _anneal(
    rbm: RBM,
    base_bias: NDArray[np.float32],
    betas: NDArray[np.float32],
    first_chain: int,
    stream: np.uint32,
    word: np.uint64,
    states: NDArray[np.uint8],
) -> NDArray[np.float64]:
    """Run the chains in place; the logarithms of their weights."""
    weights = rbm.weights.astype(np.float64)
    fields = np.abs(rbm.hidden_bias) + np.maximum(
        np.maximum(weights, 0).sum(axis=0), np.maximum(-weights, 0).sum(axis=0)
    )
    longest = float(np.abs(np.diff(betas)).max()) * float(fields.max())
    if longest > LARGEST_STEP:
        raise ValueError(
            f"temperatures must be more: with fields up to {fields.max():.4g} a step changes them by up to "
            f"{longest:.4g}, and {LARGEST_STEP:.0f} is allowed"
        )
    # A factor lies between 1/2 and exp(longest).
    chunk = max(1, int(_LARGEST_PRODUCT / max(longest, 0.7)))
    log_weights = np.empty(len(states))
    _kernels.anneal(
        rbm.weights, rbm.visible_bias, rbm.hidden_bias, base_bias, rbm.visible_bias - base_bias, betas, chunk,
        first_chain, stream, word, states, log_weights,
    )  # fmt: skip
    return log_weights


def _estimate(
    log_weights: NDArray[np.float64], states: NDArray[np.uint8], offset: float, sign: float, confidence: float
) -> PartitionEstimate:
    """log Z = offset + sign * log(mean weight), with its interval by the delta method."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence!r}")
    if log_weights.ndim != 1 or log_weights.size == 0 or np.isnan(log_weights).any():
        raise ValueError("log_weights must be a row of numbers, at least one, none of them NaN")
    largest = log_weights.max()
    weights = np.exp(log_weights - largest)
    mean, n = weights.mean(), len(weights)
    error = float(weights.std(ddof=1) / mean / np.sqrt(n)) if n > 1 else float("inf")
    value = float(offset + sign * (largest + np.log(mean)))
    width = float(ndtri(0.5 + confidence / 2)) * error
    return PartitionEstimate(
        value, value - width, value + width, error, effective_sample_size(log_weights), log_weights, states
    )


def _log_partition_of_base(rbm: RBM, base_bias: NDArray[np.float32]) -> float:
    return float(_kernels.log_partition_of_independent_units(base_bias)) + rbm.n_hidden * _LOG_2


def _checked_base(base: ArrayLike | None, rbm: RBM) -> NDArray[np.float32]:
    if base is None:
        return np.zeros(rbm.n_visible, np.float32)
    biases = np.array(plain_array("base", base), dtype=np.float32)
    if biases.shape != (rbm.n_visible,):
        raise ValueError(
            f"base must have the shape ({rbm.n_visible},) to fit the machine, not {biases.shape}"
        )
    if not np.isfinite(biases).all():
        raise ValueError("base must be finite, not NaN or infinite")
    return biases


def _inverse_temperatures(temperatures: int | ArrayLike) -> NDArray[np.float32]:
    if np.ndim(temperatures) == 0:
        n = _at_least("temperatures", temperatures, 1)
        return (np.arange(n + 1) / n).astype(np.float32)
    betas = np.array(plain_array("temperatures", temperatures), dtype=np.float32)
    if betas.ndim != 1 or len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or not (np.diff(betas) > 0).all():
        raise ValueError(f"temperatures must be an integer or rise from 0 to 1, not {temperatures!r}")
    return betas


def _at_least(name: str, value: Any, least: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, not {value!r}")
    return int(value)
