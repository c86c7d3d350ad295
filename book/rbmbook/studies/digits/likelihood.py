"""How well a machine knows its images: likelihood by annealing, and the pseudo-likelihood along the way.

All with portable bits: exponentials and logarithms are the package's own, and sums are rounded once.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmlib.annealing import (
    annealed_importance_sampling,
    base_rate_biases,
    reverse_annealed_importance_sampling,
)
from rbmlib.kernels.annealing import log_partition_of_independent_units
from rbmlib.kernels.elementary import exp_array, log_array
from rbmlib.mnist.images import Images
from rbmlib.pseudo_likelihood import log_pseudo_likelihood
from rbmlib.rbm import RBM

PARTS = ("train", "test")
LOOKED_AT = 100
"""Images of each part whose pseudo-likelihood is followed."""
MEASURED = 10_000
"""Images of each part, at most, whose likelihood is measured at the end."""
_LOG_2 = 0.6931471805599453
_BLOCK = 2000


def pseudo_likelihoods(rbm: RBM, digits: Images) -> list[float]:
    """Mean log pseudo-likelihood of a fixed set of training and of test images, in nats."""
    return [_mean(log_pseudo_likelihood(rbm, _evenly(getattr(digits, part), LOOKED_AT))) for part in PARTS]


def annealed_likelihood(
    rbm: RBM, digits: Images, n_chains: int, n_temperatures: int, seed: int
) -> xr.Dataset:
    """Log-likelihood of training and test images by annealed importance sampling; portable bits.

    The base has the visible means of the training images.

    Returns
    -------
    xarray.Dataset
        ``log_likelihood`` (part): mean of log p(v) over up to 10,000 images, in nats. ``log_likelihood_error``: standard
        error of log Z, which all images share. ``log_likelihood_spread`` (part): standard deviation of log p(v) over
        the images. ``log_partition``, and ``effective_chains``, the effective sample size of the chains' weights: the
        error can be trusted where it is not small.
    """
    base = base_rate_biases(digits.train)
    annealed = annealed_importance_sampling(rbm, n_chains, n_temperatures, seed, base=base)
    log_ratio, error, effective = _log_mean(annealed.log_weights)
    log_partition = _log_partition_of_base(rbm, base) + log_ratio
    values = [_log_weights_of(rbm, getattr(digits, part)) for part in PARTS]
    spreads = [math.sqrt(math.fsum((one - _mean(one)) ** 2) / max(len(one) - 1, 1)) for one in values]
    return xr.Dataset(
        {
            "log_likelihood": ("part", [_mean(one) - log_partition for one in values]),
            "log_likelihood_spread": ("part", spreads),
            "log_likelihood_error": ((), error),
            "log_partition": ((), log_partition),
            "effective_chains": ((), effective),
        },
        {"part": list(PARTS)},
    )


def likelihood_from_below(
    rbm: RBM, digits: Images, samples: NDArray[np.uint8], n_temperatures: int, seed: int
) -> xr.Dataset:
    """Log-likelihood by annealing backwards from a machine's samples; portable bits.

    :func:`annealed_likelihood` overestimates on average, since its log Z is too small. This one's log Z is too large, as far
    as `samples` are the machine's: the likelihood lies between the two.

    Returns
    -------
    xarray.Dataset
        ``log_likelihood_below`` (part), ``log_likelihood_below_error`` and ``effective_chains_below``, which mean what
        they do there.
    """
    base = base_rate_biases(digits.train)
    annealed = reverse_annealed_importance_sampling(rbm, samples, n_temperatures, seed, base=base)
    log_ratio, error, effective = _log_mean(annealed.log_weights)
    log_partition = _log_partition_of_base(rbm, base) - log_ratio
    means = [_mean(_log_weights_of(rbm, getattr(digits, part))) - log_partition for part in PARTS]
    return xr.Dataset(
        {
            "log_likelihood_below": ("part", means),
            "log_likelihood_below_error": ((), error),
            "effective_chains_below": ((), effective),
        },
        {"part": list(PARTS)},
    )


def _log_mean(log_weights: NDArray[np.float64]) -> tuple[float, float, float]:
    """Logarithm of the mean weight, its standard error and the weights' effective sample size.

    The logarithms of the weights are portable; so are these, from exponentials that are.
    """
    n = len(log_weights)
    largest = float(log_weights.max())
    weights = np.empty(n)
    exp_array(log_weights - largest, weights)
    average = _mean(weights)
    deviation = math.sqrt(math.fsum((weights / average - 1) ** 2) / (n - 1))
    effective = math.fsum(weights) ** 2 / math.fsum(weights * weights)
    return largest + _log(average), deviation / math.sqrt(n), effective


def _log_partition_of_base(rbm: RBM, base: NDArray[np.float32]) -> float:
    return float(log_partition_of_independent_units(base)) + rbm.n_hidden * _LOG_2


def _log_weights_of(rbm: RBM, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """log of the unnormalised probabilities of up to 10,000 images."""
    rows = _evenly(images, MEASURED)
    blocks = [-rbm.free_energy(rows[at : at + _BLOCK]) for at in range(0, len(rows), _BLOCK)]
    return np.concatenate(blocks)


def _evenly(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Images at equal distances through a set, all of them if there are no more than `size`."""
    n = min(size, len(images))
    return images[np.arange(n) * len(images) // n]


def _mean(values: NDArray[np.float64]) -> float:
    return math.fsum(values) / len(values)


def _log(value: float) -> float:
    out = np.empty(1)
    log_array(np.array([value]), out)
    return float(out[0])
