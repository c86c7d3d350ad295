r"""Whether curves of machines of different dilution fall on one another, and on which scale.

A curve is a measure y of pruned machines. Of all weights a share :math:`p_0` was zero in training; of the rest the
share f is removed afterwards, so that :math:`p = p_0 + f (1 - p_0)` are zero in all. Two scales are asked for:

.. math:: p^* = p - \alpha\, p_0 \quad \text{(the paper's eq. 7, in shares from 0 to 1)}, \qquad
          f = \frac{p - p_0}{1 - p_0} .

The first has a parameter, the second none. They are closer than they look. Let every machine break where the same share
:math:`f_c` of its own weights is gone. Then :math:`p_c = f_c + (1 - f_c)\, p_0`, and with :math:`\alpha = 1 - f_c`

.. math:: p^* - f_c = (1 - p_0) (f - f_c) :

on :math:`p^*` all steps then lie at :math:`f_c = 1 - \alpha`, whatever the dilution. That they do (at 1/2 for
:math:`\alpha = 1/2`) says no more than that f is the scale. What tells the two apart is the width: curves alike in f
have widths in proportion to :math:`1 - p_0` on :math:`p^*`.

*Overlap.* Every point of a curve is compared with every other curve, on the straight line between its neighbours there.
The cost is the squared difference, averaged over the comparisons of a pair of curves, then over pairs, divided by the
square of the measure's range (after Bhattacharjee & Seno, J. Phys. A 34, 6375 (2001)). The points are the measured ones
and stay the same whatever the scale does to their distances. A point outside another curve's support is not compared
with it, but a scale on which two curves hardly share any points overlaps by default, so it is refused: the cost is
infinite unless, of every pair, one curve has at least half of its points on the support of the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bootstrap import Interval, bootstrap
from .drops import NEVER, Measure, find_drop, total_removed

LEAST_OVERLAP = 0.5
"""Of every two curves one must have this share of its points on the support of the other."""
BOUNDS = (-0.5, 1.5)
"""Where alpha is looked for."""
FEWEST_REPLICAS = 3
_COARSE = 21
_ROUNDS = 4
_Array = NDArray[np.float64]


class Collapse(NamedTuple):
    """How curves overlap on both scales: numbers, or each with its interval.

    Attributes
    ----------
    alpha : float or Interval
        Of the smallest cost on p*, to 0.0002.
    cost : float or Interval
        That cost.
    step : float or Interval
        p* at half of the height of the isotonic regression of all points together.
    cost_remaining : float or Interval
        Cost on f, over the same comparisons.
    difference : float or Interval
        ``cost_remaining - cost``: positive where p* overlaps better.
    """

    alpha: Any
    cost: Any
    step: Any
    cost_remaining: Any
    difference: Any


def rescaled_total(dilution: ArrayLike, removed: ArrayLike, alpha: float) -> _Array:
    """The scale p* = p - alpha p0 of eq. 7, in shares.

    Parameters
    ----------
    dilution : array, (n_dilutions,)
        Shares p0.
    removed : array, (n_points,) or (n_dilutions, n_points)
        Shares f.
    alpha : float

    Returns
    -------
    array, (n_dilutions, n_points)

    Raises
    ------
    ValueError
        If p0 lies outside [0, 1) or f outside [0, 1].
    """
    p0 = np.asarray(dilution, np.float64)[:, None]
    return total_removed(p0, removed) - alpha * p0


def overlap_cost(abscissas: ArrayLike, curves: ArrayLike) -> float:
    """Mean squared difference of curves where they can be compared, in units of the measure's squared range.

    Parameters
    ----------
    abscissas : array, (n_curves, n_points)
        Of each curve, ascending.
    curves : array, (n_curves, n_points)
        The measure; NaN where it has no value. Straight lines do not bridge a NaN.

    Returns
    -------
    float
        0 where all curves coincide, of the order of 1 where they have nothing in common; infinite if a pair overlaps
        too little.

    Raises
    ------
    ValueError
        If shapes differ, there are fewer than 2 curves, an abscissa is not ascending, or the curves have no range.
    """
    x, y = np.asarray(abscissas, np.float64), np.asarray(curves, np.float64)
    if y.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"abscissas must have the shape {y.shape} of the curves, not {x.shape}")
    if len(y) < 2:
        raise ValueError(f"curves must be at least 2, not {len(y)}")
    if not (np.diff(x) > 0).all():
        raise ValueError("abscissas must be ascending, not fall or repeat themselves")
    return _cost(_differences(x, y), y)


def estimate_alpha(
    dilution: ArrayLike,
    removed: ArrayLike,
    curves: ArrayLike,
    measure: Measure,
    bounds: tuple[float, float] = BOUNDS,
) -> Collapse:
    """The alpha of the best overlap on p*, the step there, and how f does without a parameter.

    Parameters
    ----------
    dilution : array, (n_dilutions,)
        Shares p0.
    removed : array, (n_points,) or (n_dilutions, n_points)
        Shares f, ascending.
    curves : array, (n_dilutions, n_points)
        The measure, averaged over replicas; NaN where it has no value.
    measure : Measure
        How it is read.
    bounds : (float, float)
        Where alpha is looked for.

    Returns
    -------
    Collapse

    Raises
    ------
    ValueError
        If there are fewer than 2 dilutions, shapes or shares are wrong, a curve does not reach its half-height (then
        nothing is known of where it breaks), or the best alpha lies at a bound.
    """
    p0, f, y = _checked(dilution, removed, curves)
    _check_bracket(p0, f, y, measure)
    found = _collapse(p0, f, y, measure, bounds)
    if min(abs(found.alpha - bound) for bound in bounds) < 1e-3:
        raise ValueError(f"bounds must hold the best alpha, not end at it: {bounds}")
    return found


def bootstrap_collapse(
    dilution: ArrayLike,
    removed: ArrayLike,
    curves: ArrayLike,
    measure: Measure,
    *,
    bounds: tuple[float, float] = BOUNDS,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Collapse:
    """:func:`estimate_alpha` of the mean curves, with percentile bootstrap intervals.

    A replica's curves of all dilutions are drawn together. Costs are sums of squares, to which the noise of a resample
    adds: their intervals lie a little high.

    Parameters
    ----------
    dilution, removed, measure, bounds
        As in :func:`estimate_alpha`.
    curves : array, (n_replicas, n_dilutions, n_points)
        The measure. The mean is over the replicas that have a value; NaN if none has.
    confidence, n_resamples, seed
        As in :func:`rbmlib.analysis.bootstrap.bootstrap`.

    Returns
    -------
    Collapse
        Of :class:`rbmlib.analysis.bootstrap.Interval`.

    Raises
    ------
    ValueError
        If there are fewer than 3 replicas, and as :func:`estimate_alpha`.
    """
    values = np.asarray(curves, np.float64)
    if values.ndim != 3 or len(values) < FEWEST_REPLICAS:
        raise ValueError(
            f"curves must have the shape (n_replicas, n_dilutions, n_points) with at least {FEWEST_REPLICAS} replicas, "
            f"not {values.shape}"
        )
    estimate_alpha(dilution, removed, _mean(values), measure, bounds)
    p0, f, _ = _checked(dilution, removed, values[0])
    found = bootstrap(
        values,
        lambda drawn: _collapse(p0, f, _mean(drawn), measure, bounds),
        confidence=confidence,
        n_resamples=n_resamples,
        seed=seed,
    )
    columns = zip(*found, strict=True)
    return Collapse(*(Interval(*(float(x) for x in column)) for column in columns))


def _collapse(p0: _Array, f: _Array, y: _Array, measure: Measure, bounds: tuple[float, float]) -> Collapse:
    total, shift = total_removed(p0[:, None], f), p0[:, None]
    alphas = np.linspace(*bounds, _COARSE)
    spacing = alphas[1] - alphas[0]
    for _ in range(_ROUNDS + 1):
        costs = [_cost(_differences(total - alpha * shift, y), y) for alpha in alphas]
        alpha, cost = float(alphas[np.argmin(costs)]), min(costs)
        alphas = np.clip(alpha + spacing * np.linspace(-1, 1, 11), *bounds)
        spacing /= 5
    scale, known = total - alpha * shift, np.isfinite(y)
    order = np.argsort(scale[known], kind="stable")
    step = find_drop(scale[known][order], y[known][order], measure).position
    compared = np.isfinite(_differences(scale, y))
    remaining = _cost(np.where(compared, _differences(f, y), np.nan), y)
    return Collapse(alpha, cost, step, remaining, remaining - cost)


def _differences(x: _Array, y: _Array) -> _Array:
    """(n_curves, n_curves, n_points): point i of curve k minus curve l there; NaN where l has no value, or k = l."""
    found = np.empty((len(y), *y.shape))
    rounding = 1e-9 * np.ptp(x)
    for other, (x_other, y_other) in enumerate(zip(x, y, strict=True)):
        within = np.clip(x, x_other[0], x_other[-1])
        at = np.where(np.abs(x - within) <= rounding, within, x)  # an end belongs to the support
        found[:, other] = y - np.interp(at, x_other, y_other, left=np.nan, right=np.nan)
        found[other, other] = np.nan
    return found


def _cost(differences: _Array, y: _Array) -> float:
    known = np.isfinite(y)
    extent = np.ptp(y[known])
    if extent == 0:
        raise ValueError(f"curves must vary, not be {y[known][0]:g} everywhere")
    pairs = np.triu_indices(len(y), 1)
    possible = np.isfinite(differences)
    compared = possible.sum(axis=2)
    share = compared / known.sum(axis=1)[:, None]
    if (np.maximum(share, share.T)[pairs] < LEAST_OVERLAP).any():
        return float("inf")
    squares = np.where(possible, differences, 0.0)
    squares = np.einsum("kli,kli->kl", squares, squares)
    return float(((squares + squares.T)[pairs] / (compared + compared.T)[pairs]).mean() / extent**2)


def _mean(curves: _Array) -> _Array:
    known = np.isfinite(curves)
    number = known.sum(axis=0)
    total = np.where(known, curves, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _checked(dilution: ArrayLike, removed: ArrayLike, curves: ArrayLike) -> tuple[_Array, _Array, _Array]:
    p0, y = np.asarray(dilution, np.float64), np.asarray(curves, np.float64)
    if p0.ndim != 1 or len(np.unique(p0)) < 2 or len(np.unique(p0)) < len(p0):
        raise ValueError(f"dilution must be at least 2 different shares, not {p0.tolist()}")
    if y.ndim != 2 or len(y) != len(p0):
        raise ValueError(
            f"curves must have a row for each of the {len(p0)} dilutions, not the shape {y.shape}"
        )
    try:
        f = np.broadcast_to(np.asarray(removed, np.float64), y.shape)
    except ValueError:
        raise ValueError(
            f"removed must fit the curves' shape {y.shape}, not have the shape {np.shape(removed)}"
        ) from None
    if not (np.diff(f) > 0).all():
        raise ValueError("removed must be ascending, not fall or repeat itself")
    total_removed(p0[:, None], f)
    return p0, f, y


def _check_bracket(p0: _Array, f: _Array, y: _Array, measure: Measure) -> None:
    for share, removed, curve in zip(p0, f, y, strict=True):
        known = np.isfinite(curve)
        if not known.any() or find_drop(removed[known], curve[known], measure).position == NEVER:
            raise ValueError(
                f"removed must bracket the drop of every curve, not end before that of p0 = {share:g} reaches its half-height"
            )
