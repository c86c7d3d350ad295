r"""The visible layer of a machine as an Ising model: its effective fields and pair couplings.

With spins :math:`\sigma_a = 2 v_a - 1 = \pm 1` and the hidden layer summed out, a machine is

.. math:: \log \tilde p(\sigma) = \text{const} + \sum_a \eta_a \sigma_a
          + \sum_i \log 2 \cosh\Bigl(\zeta_i + \sum_a w_{ia} \sigma_a\Bigr) ,

.. math:: w_{ia} = \tfrac14 W_{ai} , \qquad \eta_a = \tfrac12 \Bigl(b_a + \tfrac12 \sum_i W_{ai}\Bigr) , \qquad
          \zeta_i = \tfrac12 \Bigl(c_i + \tfrac12 \sum_a W_{ai}\Bigr)

(eq. 11). Every function of spins is one Ising model of many bodies,
:math:`\log \tilde p = \text{const} + \sum_a J_a \sigma_a + \sum_{a < b} J_{ab} \sigma_a \sigma_b + \dots` (eq. 8), whose
coefficients are means over all states, each counted once:

.. math:: J_a = \langle \sigma_a \log \tilde p \rangle , \qquad J_{ab} = \langle \sigma_a \sigma_b \log \tilde p \rangle .

Only hidden units that both spins have a weight with contribute to :math:`J_{ab}`. The mean over the spins in question is
written out, that over all others is a mean over their field :math:`X` on the hidden unit (eq. 12), which leaves (eqs 9
and 10)

.. math:: J_a = \eta_a + \frac12 \sum_i \mathbb{E}_X \log \frac{\cosh(\zeta + w_a + X)}{\cosh(\zeta - w_a + X)} ,

.. math:: J_{ab} = \frac14 \sum_i \mathbb{E}_X \log
          \frac{\cosh(\zeta + (w_a + w_b) + X) \cosh(\zeta - (w_a + w_b) + X)}
               {\cosh(\zeta + (w_a - w_b) + X) \cosh(\zeta - (w_a - w_b) + X)} .

This is exact. Decelle et al. take X for Gaussian, of mean zero and the variance of what it sums: the squared weights of
all spins *but the one or the two in question*.

**No table, no integral.** The second derivative of log cosh is :math:`\operatorname{sech}^2`, whose Fourier transform is
:math:`S(k) = \pi k / \sinh(\pi k / 2)`. The four cosines of a pair make a product of sines, and a Gaussian becomes a factor,
so that with the sum of squares :math:`s^2 = \sum_a w_a^2`

.. math:: J_{ab} = \sum_i \frac1\pi \int_0^\infty dk\, S(k) \cos(k \zeta)\, \frac{\sin k w_a}{k}\, \frac{\sin k w_b}{k}\,
          e^{-\frac12 k^2 (s^2 - w_a^2 - w_b^2)} ,

.. math:: J_a = \eta_a + \sum_i \frac1\pi \int_0^\infty dk\, S(k) \frac{\sin(k \zeta)}{k}\, \frac{\sin k w_a}{k}\,
          e^{-\frac12 k^2 (s^2 - w_a^2)} .

The exponential of a pair is a product of one factor a spin: with k on a grid the couplings are a product of matrices. The
integrands are analytic and even, so that the trapezoidal rule errs by the images of the result at multiples of
:math:`2 \pi / h` only, which the spacing h keeps apart. Nothing here divides by the variance: it may vanish.

References
----------
The effective Ising model is eqs 8 to 12 of *Diluting Restricted Boltzmann Machines* (2025), after Decelle et al.
Read line by line, eq. 10 as printed there has the second factors of its numerator and denominator exchanged; the variance
printed contains the spins in question; and the formulas are said to hold for a lattice gas, where they hold for spins -1
and 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import couplings as _kernels
from ..rbm import RBM

MOST_ENUMERATED_WEIGHTS = 20
"""Most weights of a hidden unit whose states :func:`exact_couplings` enumerates."""
LARGEST_WEIGHT = 1000.0
"""Largest magnitude of a weight; the number of terms grows with it."""


@dataclass(frozen=True, eq=False)
class EffectiveIsingModel:
    """Fields and pair couplings of the visible spins -1 and 1, in units of the temperature.

    Attributes
    ----------
    fields : array of float64, (n_visible,)
        J_a, the coefficient of sigma_a in log p.
    couplings : array of float64, (n_visible, n_visible)
        J_ab, the coefficient of sigma_a sigma_b; symmetric, with a diagonal of zeros.
    """

    fields: NDArray[np.float64]
    couplings: NDArray[np.float64]


def gaussian_couplings(rbm: RBM) -> EffectiveIsingModel:
    """Fields and couplings with the field of all other spins on a hidden unit taken for Gaussian.

    Parameters
    ----------
    rbm : RBM
        Any size. Time grows with the square of the number of weights of a hidden unit.

    Returns
    -------
    EffectiveIsingModel
        A hidden unit's share of J_ab errs by less than 1e-11 abs(w_a w_b), that of J_a by less than 1e-11 abs(w_a),
        apart from rounding and from the Gaussian approximation itself; portable bits. Couplings are exact where
        hidden units have no more than two weights, fields where they have one.

    Raises
    ------
    TypeError
        If ``rbm`` is no machine.
    ValueError
        If a weight is beyond 1000.

    Notes
    -----
    Diluting Restricted Boltzmann Machines, eqs 9 to 12.
    """
    _check(rbm)
    return _model(rbm, _kernels.add_gaussian_couplings)


def exact_couplings(rbm: RBM) -> EffectiveIsingModel:
    """Fields and couplings with the other spins enumerated: the exact coefficients of log p.

    Parameters
    ----------
    rbm : RBM
        Of any number of visible units, but few weights a hidden unit: n of them take 2**n states.

    Returns
    -------
    EffectiveIsingModel
        Portable bits.

    Raises
    ------
    TypeError
        If ``rbm`` is no machine.
    ValueError
        If a hidden unit has more than 20 weights other than zero, or a weight is beyond 1000.

    Notes
    -----
    Diluting Restricted Boltzmann Machines, eqs 8 to 12. log p is a sum over hidden units, so that each is enumerated by
    itself, over the spins that it has a weight with, by a fast Walsh-Hadamard transform.
    """
    _check(rbm)
    most = int(np.count_nonzero(rbm.weights, axis=0).max())
    if most > MOST_ENUMERATED_WEIGHTS:
        raise ValueError(
            f"rbm must have at most {MOST_ENUMERATED_WEIGHTS} weights other than zero on each hidden unit to be "
            f"enumerated, not {most}; use gaussian_couplings instead"
        )
    return _model(rbm, _kernels.add_exact_couplings)


def _check(rbm: RBM) -> None:
    if not isinstance(rbm, RBM):
        raise TypeError(f"rbm must be an RBM, not {type(rbm).__name__}")
    largest = float(np.abs(rbm.weights).max())
    if largest > LARGEST_WEIGHT:
        raise ValueError(f"rbm must have weights of at most {LARGEST_WEIGHT:g} in magnitude, not {largest:g}")


def _model(rbm: RBM, add: Callable[..., None]) -> EffectiveIsingModel:
    w = np.empty((rbm.n_hidden, rbm.n_visible))
    fields, zeta = np.empty(rbm.n_visible), np.empty(rbm.n_hidden)
    weights, visible_bias, hidden_bias = (
        x.astype(np.float64) for x in (rbm.weights, rbm.visible_bias, rbm.hidden_bias)
    )
    _kernels.reduced_parameters(weights, visible_bias, hidden_bias, w, fields, zeta)
    couplings = np.zeros((rbm.n_visible, rbm.n_visible))
    add(w, zeta, fields, couplings)
    return EffectiveIsingModel(fields, couplings)
