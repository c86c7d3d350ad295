r"""The exact likelihood of an RBM and its gradient, by summing over the states of both layers, and an L-BFGS
fit.

For a distribution q over visible states the log-likelihood per sample and its gradient are

.. math:: \mathcal{L} = \sum_v q(v) \log p(v), \qquad
          \frac{\partial \mathcal{L}}{\partial W_{ij}} = \sum_v q(v)\, v_i\, p(h_j | v) - \sum_h p(h)\, p(v_i | h)\, h_j ,

the first sum over the distinct rows of the data, the second over all 2^n_hidden hidden states. A fit
maximises
:math:`\mathcal{L} - \tfrac{\lambda}{2} \sum W^2`: the likelihood is nearly flat towards infinite weights, so a fit
without a penalty ends where it is stopped rather than where it should be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import ArrayLike, NDArray

from .kernels import enumeration as _enumeration
from .rbm import RBM, check_binary

LARGEST_HIDDEN_LAYER = 16


@dataclass(frozen=True)
class Empirical:
    """The distinct rows of a data set and their frequencies.

    Attributes
    ----------
    states : array of uint8, (n_distinct, n_units)
    probability : array of float64, (n_distinct,)
    """

    states: NDArray[np.uint8]
    probability: NDArray[np.float64]

    @classmethod
    def of(cls, data: ArrayLike) -> Empirical:
        """Count the distinct rows of ``data``, (n_samples, n_units) of 0 and 1."""
        samples = check_binary("data", data)
        if len(samples) == 0:
            raise ValueError("data must have at least one row")
        packed = np.packbits(samples, axis=1)
        _, first, counts = np.unique(packed, axis=0, return_index=True, return_counts=True)
        return cls(samples[first], counts / len(samples))


@dataclass(frozen=True)
class Fit:
    """Result of :func:`fit`.

    Attributes
    ----------
    rbm : RBM
    log_likelihood : float
        Per sample, in nats, without the penalty.
    n_iterations : int
    converged : bool
        Whether the stopping rule was met before ``max_iterations``.
    largest_gradient : float
        Largest absolute component of the penalised gradient at the end.
    """

    rbm: RBM
    log_likelihood: float
    n_iterations: int
    converged: bool
    largest_gradient: float


class _Sums:
    """Sums over weighted rows of one layer, with the other summed out."""

    def __init__(self, states: NDArray[np.uint8]) -> None:
        self.n, self.n_own = states.shape
        self.tiles = np.empty(((self.n + 7) // 8, self.n_own, 8))
        _enumeration.tiles_of_rows(states, self.tiles)
        self.padded = np.zeros(8 * len(self.tiles))

    def log_weights(
        self, weights: NDArray[np.float64], own_bias: NDArray[np.float64], other_bias: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        out = np.empty(8 * len(self.tiles))
        _enumeration.log_weights_of_tiles(self.tiles, weights, own_bias, other_bias, out)
        return out[: self.n]

    def expectations(
        self, probability: NDArray[np.float64], weights: NDArray[np.float64], other_bias: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        self.padded[: self.n] = probability
        products, own, other = np.empty(weights.shape), np.empty(self.n_own), np.empty(weights.shape[1])
        _enumeration.expectations_over_tiles(
            self.tiles, self.padded, weights, other_bias, products, own, other
        )
        return products, own, other


class ExactLikelihood:
    """Log-likelihood per sample of a data set and its exact gradient.

    Parameters
    ----------
    data : Empirical or array, (n_samples, n_visible)
        Visible states, 0 or 1.
    n_hidden : int
        Number of hidden units; all 2**n_hidden states are summed.

    Raises
    ------
    ValueError
        If n_hidden is above 16 (train by contrastive divergence instead).
    """

    def __init__(self, data: Empirical | ArrayLike, n_hidden: int) -> None:
        if not 1 <= n_hidden <= LARGEST_HIDDEN_LAYER:
            raise ValueError(
                f"the exact gradient sums over at most {LARGEST_HIDDEN_LAYER} hidden units, not {n_hidden}; "
                "train by contrastive divergence instead"
            )
        empirical = data if isinstance(data, Empirical) else Empirical.of(data)
        self.probability = empirical.probability
        self._data = _Sums(empirical.states)
        codes = np.arange(2**n_hidden)[:, None]
        self._hidden = _Sums(((codes >> np.arange(n_hidden)) & 1).astype(np.uint8))

    def value_and_gradient(
        self,
        weights: NDArray[np.float64],
        visible_bias: NDArray[np.float64],
        hidden_bias: NDArray[np.float64],
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The log-likelihood per sample and its derivatives by W, b and c (arrays of their shapes)."""
        transposed = np.ascontiguousarray(weights.T)
        log_weights = self._hidden.log_weights(transposed, hidden_bias, visible_bias)
        largest = log_weights.max()
        relative = np.exp(log_weights - largest)
        total = relative.sum()
        log_z = largest + np.log(total)
        model = self._hidden.expectations(relative / total, transposed, visible_bias)
        data = self._data.expectations(self.probability, weights, hidden_bias)
        log_p = self._data.log_weights(weights, visible_bias, hidden_bias)
        value = float((self.probability * log_p).sum() - log_z)
        return value, data[0] - model[0].T, data[1] - model[2], data[2] - model[1]

    def of(self, rbm: RBM) -> float:
        """The log-likelihood per sample of a machine, in nats."""
        parameters = (x.astype(np.float64) for x in (rbm.weights, rbm.visible_bias, rbm.hidden_bias))
        return self.value_and_gradient(*parameters)[0]


def fit(
    rbm: RBM,
    data: Empirical | ArrayLike,
    *,
    penalty: float = 1e-5,
    tolerance: float = 1e-5,
    max_iterations: int = 3000,
    callback: Callable[[RBM, int], object] | None = None,
) -> Fit:
    """Maximise the penalised likelihood by L-BFGS with the exact gradient, from ``rbm``; masked weights stay
    zero.

    Parameters
    ----------
    rbm : RBM
        Where to start.
    data : Empirical or array, (n_samples, n_visible)
        Visible states, 0 or 1.
    penalty : float
        lambda of the L2 penalty lambda / 2 * sum W^2 (biases are free).
    tolerance : float
        The stopping rule: stop where no component of the gradient of the penalised log-likelihood per sample
        exceeds it.
    max_iterations : int
        Stop after this many iterations in any case; the result's ``converged`` is False then.
    callback : callable, optional
        Called with the machine and the iteration after every iteration.

    Returns
    -------
    Fit
        The fit does not promise portable bits: L-BFGS uses BLAS.
    """
    for name, value in (("penalty", penalty), ("tolerance", tolerance)):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number >= 0, not {value!r}")
    if (
        isinstance(max_iterations, (bool, np.bool_))
        or not isinstance(max_iterations, (int, np.integer))
        or max_iterations < 1
    ):
        raise ValueError(f"max_iterations must be an integer >= 1, not {max_iterations!r}")
    likelihood = ExactLikelihood(data, rbm.n_hidden)
    mask, shape = rbm.mask, rbm.weights.shape
    n_weights = int(mask.sum())

    def unpack(
        x: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        weights = np.zeros(shape)
        weights[mask] = x[:n_weights]
        return weights, x[n_weights : n_weights + shape[0]].copy(), x[n_weights + shape[0] :].copy()

    def objective(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, visible_bias, hidden_bias = unpack(x)
        value, by_weights, by_visible, by_hidden = likelihood.value_and_gradient(
            weights, visible_bias, hidden_bias
        )
        by_weights = by_weights - penalty * weights
        gradient = np.concatenate([by_weights[mask], by_visible, by_hidden])
        return 0.5 * penalty * float((weights**2).sum()) - value, -gradient

    start = np.concatenate([rbm.weights[mask], rbm.visible_bias, rbm.hidden_bias]).astype(np.float64)
    iterations = 0

    def each_iteration(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        nonlocal iterations
        iterations += 1
        if callback is not None:
            callback(RBM(*unpack(intermediate_result.x), mask), iterations)

    result = scipy.optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", callback=each_iteration,
        options={"maxiter": max_iterations, "maxfun": 20 * max_iterations, "gtol": tolerance, "ftol": 0.0, "maxcor": 30},
    )  # fmt: skip
    largest = float(np.abs(result.jac).max())
    weights, visible_bias, hidden_bias = unpack(result.x)
    return Fit(
        rbm=RBM(weights, visible_bias, hidden_bias, mask),
        log_likelihood=likelihood.value_and_gradient(weights, visible_bias, hidden_bias)[0],
        n_iterations=int(result.nit),
        converged=largest <= tolerance,
        largest_gradient=largest,
    )
