r"""KL divergence and fidelity from samples and amplitudes, for chains too long to enumerate.

Both compare a model, known as :math:`\tilde q(v) = Z q(v)`, with an exact distribution p through the logarithms
:math:`d(v) = \log \tilde q(v) - \log p(v)` at samples. With :math:`r = q / p = e^{d} / Z`,

.. math:: \mathrm{KL}(p \| q) = \mathbb{E}_p [\log Z - d], \qquad
          \sqrt{F} = \mathbb{E}_p \sqrt{r} = \mathbb{E}_q \sqrt{1 / r} .

Since :math:`\mathbb{E}_p (r - 1) = 0` and :math:`\mathbb{E}_q (1 / r - 1) = 0`, multiples of these may be added; the
multiple that makes the spread smallest is found by regression on the samples (a *control variate*). Close to the
exact state it removes nearly all of the noise, since :math:`r - 1 - \log r` is quadratic in the deviation; far from
it, where r is heavy-tailed, the multiple tends to zero.

The product of both means in the fidelity does not contain Z. Their ratio gives Z, the geometric bridge of Meng & Wong
(1996): :math:`Z = \mathbb{E}_p e^{d / 2} / \mathbb{E}_q e^{-d / 2}`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array


@dataclass(frozen=True)
class Sampled:
    """An estimate from samples.

    Attributes
    ----------
    value : float
    standard_error : float
        From the spread of the samples and, where it matters, the uncertainty of log Z.
    effective_share : float
        Effective sample size of the weights that the estimate averages, as a share of the samples; where it stands for
        a few samples only, the standard error is too small.
    """

    value: float
    standard_error: float
    effective_share: float


def sampled_kl_divergence(
    log_ratios: ArrayLike, log_partition: float, log_partition_error: float = 0.0
) -> Sampled:
    """KL divergence of the model from the exact distribution, in nats.

    Parameters
    ----------
    log_ratios : array, (n_samples,)
        log q~(v) - log p(v) at independent samples of the exact distribution.
    log_partition : float
        log Z of the model.
    log_partition_error : float
        Its standard error; 0 where it is exact. With a control variate of multiple c only 1 - c of it counts.

    Returns
    -------
    Sampled
        The effective share is that of the weights q / p.
    """
    logs = _checked("log_ratios", log_ratios) - _finite("log_partition", log_partition)
    controlled, multiple = _with_control(-logs, *_ratio_less_one(logs))
    error = float(np.hypot(_error_of_mean(controlled), (1.0 - multiple) * log_partition_error))
    return Sampled(float(controlled.mean()), error, _effective_share(np.exp(logs - logs.max())))


def sampled_log_fidelity(
    exact_log_ratios: ArrayLike, model_log_ratios: ArrayLike, log_partition: float
) -> Sampled:
    """log F, twice the logarithm of the overlap sum_v sqrt(p q) of the two states.

    Parameters
    ----------
    exact_log_ratios, model_log_ratios : array, (n_samples,)
        log q~(v) - log p(v) at independent samples of the exact distribution and of the model.
    log_partition : float
        log Z of the model. It serves the control variates only; to first order its error cancels.

    Returns
    -------
    Sampled
        The effective share is the smaller one of the weights sqrt(q / p) and sqrt(p / q), each at its samples.
    """
    log_z = _finite("log_partition", log_partition)
    value, variance, shares = 0.0, 0.0, []
    for name, values, sign in (
        ("exact_log_ratios", exact_log_ratios, 1.0),
        ("model_log_ratios", model_log_ratios, -1.0),
    ):
        logs = sign * (_checked(name, values) - log_z)
        shift = 0.5 * logs.max()
        root = np.exp(0.5 * logs - shift)
        controlled, _ = _with_control(root, *_ratio_less_one(logs))
        if controlled.mean() <= 0:  # only where one sample outweighs all others
            controlled = root
        value += shift + np.log(controlled.mean())
        variance += (_error_of_mean(controlled) / controlled.mean()) ** 2
        shares.append(_effective_share(root))
    return Sampled(float(value), float(np.sqrt(variance)), min(shares))


def bridged_log_partition(exact_log_ratios: ArrayLike, model_log_ratios: ArrayLike) -> Sampled:
    """log Z of the model by the geometric bridge between it and the exact distribution.

    Parameters
    ----------
    exact_log_ratios, model_log_ratios : array, (n_samples,)
        As in :func:`sampled_log_fidelity`.

    Returns
    -------
    Sampled
        The effective share is the smaller one of the two sets of weights.
    """
    value, variance, shares = 0.0, 0.0, []
    for name, values, sign in (
        ("exact_log_ratios", exact_log_ratios, 1.0),
        ("model_log_ratios", model_log_ratios, -1.0),
    ):
        half = 0.5 * sign * _checked(name, values)
        root = np.exp(half - half.max())
        value += sign * (half.max() + np.log(root.mean()))
        variance += (_error_of_mean(root) / root.mean()) ** 2
        shares.append(_effective_share(root))
    return Sampled(float(value), float(np.sqrt(variance)), min(shares))


def _ratio_less_one(logs: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """``(r - 1) * scale`` and the scale, which keeps the largest ratio r = exp(logs) from overflowing."""
    shift = max(float(logs.max()), 0.0)
    scale = float(np.exp(-shift))
    return np.exp(logs - shift) - scale, scale


def _with_control(
    values: NDArray[np.float64], control: NDArray[np.float64], scale: float
) -> tuple[NDArray[np.float64], float]:
    """``values + multiple * control / scale`` with the multiple of least spread, and the multiple."""
    deviation = control - control.mean()
    spread = float((deviation**2).sum())
    slope = -float((values * deviation).sum()) / spread if spread > 0 else 0.0
    return values + slope * control, slope * scale


def _error_of_mean(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _effective_share(weights: NDArray[np.float64]) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))


def _checked(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = plain_array(name, values, float)
    if array.ndim != 1 or array.size < 2 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a row of at least two finite numbers, not of shape {array.shape}")
    return array


def _finite(name: str, value: float) -> float:
    if not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return float(value)
