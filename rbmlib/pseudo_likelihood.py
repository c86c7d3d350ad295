r"""The pseudo-likelihood, which needs no partition function.

It is the probability of every visible unit given all others (Besag 1975),

.. math:: \log \mathrm{PL}(v) = \sum_i \log p(v_i \mid v_{-i})
          = -\sum_i \log\Bigl(1 + \frac{p(v^{(i)})}{p(v)}\Bigr) ,

where :math:`v^{(i)}` is v with unit i flipped. With :math:`s_j = p(h_j = 1 \mid v)` the ratio is

.. math:: \frac{p(v^{(i)})}{p(v)} = e^{\pm b_i} \prod_j \bigl(1 - s_j + s_j e^{\pm W_{ij}}\bigr) ,

the upper sign where unit i turns on: one multiplication a weight, and no flipped state is ever evaluated.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .kernels.elementary import exp_array as _exp_array
from .kernels.elementary import log_array as _log_array
from .rbm import RBM, check_binary

_BLOCK = 16
_GRID = 2.0**24
_LARGEST_PRODUCT = 600.0


def log_pseudo_likelihood(rbm: RBM, visible: ArrayLike) -> NDArray[np.float64]:
    """log PL of visible states, every unit counted; portable bits.

    Parameters
    ----------
    rbm : RBM
    visible : array, (n_samples, n_visible)
        Zeros and ones.

    Returns
    -------
    array of float64, (n_samples,)
        In nats. Fields are sums of weights rounded to 2**-24, which no order of summation can change.

    Raises
    ------
    ValueError
        If the states are not binary, or a weight is beyond 600 in absolute value.
    """
    states = check_binary("visible", visible, rbm.n_visible)
    weights = rbm.weights.astype(np.float64)
    # A hidden unit whose probability underflows counts again where one weight lifts it back: not below this size.
    if np.abs(weights).max() > _LARGEST_PRODUCT:
        raise ValueError(
            f"weights must lie within {_LARGEST_PRODUCT:.0f} of zero for the pseudo-likelihood, "
            f"not up to {np.abs(weights).max():.4g}"
        )
    turned_on, turned_off = (_exp(sign * weights.T) for sign in (1.0, -1.0))
    whole = np.rint(weights * _GRID)
    longest = max(float(np.abs(weights).max()), 1e-30)
    group = max(1, int(_LARGEST_PRODUCT / longest))
    out = np.empty(len(states))
    for start in range(0, len(states), _BLOCK):
        block = states[start : start + _BLOCK]
        active, inactive = _hidden_probabilities(rbm, whole, block)
        on = block.astype(bool)
        change = np.where(on, -1.0, 1.0) * rbm.visible_bias
        for first in range(0, rbm.n_hidden, group):
            ratio, factor = np.ones(block.shape), np.empty(block.shape)
            for unit in range(first, min(first + group, rbm.n_hidden)):
                factor[:] = turned_on[unit]
                np.copyto(factor, turned_off[unit], where=on)  # three times as fast as np.where
                factor *= active[:, unit, None]
                factor += inactive[:, unit, None]
                ratio *= factor
            change += _log(ratio)
        # log(1 + e^x) without overflow.
        losses = np.maximum(change, 0.0) + _log(1.0 + _exp(-np.abs(change)))
        out[start : start + len(block)] = [-math.fsum(row) for row in losses]
    return out


def _hidden_probabilities(
    rbm: RBM, whole: NDArray[np.float64], states: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """p(h_j = 1 | v) and p(h_j = 0 | v) from sums of whole numbers, the weights in units of the grid."""
    fields = (states.astype(np.float64) @ whole) / _GRID + rbm.hidden_bias
    return 1.0 / (1.0 + _exp(-fields)), 1.0 / (1.0 + _exp(fields))


def _exp(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.ascontiguousarray(x)
    out = np.empty_like(x)
    _exp_array(x, out)
    return out


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty_like(x)
    _log_array(x, out)
    return out
