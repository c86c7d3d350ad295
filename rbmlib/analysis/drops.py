r"""Where and how sharply a measure of pruned machines breaks down.

A curve is a measure of samples against f, the share removed of the weights that a machine was trained with; of
all weights :math:`p = p_0 + f (1 - p_0)` are then zero. The curve is made monotonic first (isotonic least
squares), so that noise on its plateaus moves nothing. Its *position* is the f where it has gone half of its
height, from its level without pruning to its level at the end of the grid; its *width* is the distance from
10 to 90 % of the height. A curve that does not change enough has no drop: position 1, as if everything had
to go first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression


class Measure(NamedTuple):
    """How a measure of samples is read.

    Attributes
    ----------
    falls : bool
        Whether it falls where quality is lost.
    label : str
        What it is called in a sentence.
    collapsed : float or None
        Its level when all is lost; None for its level at the end of the grid.
    """

    falls: bool
    label: str
    collapsed: float | None = None


LEAST_FALL = 0.5
"""A falling curve that keeps more than this share of its first level has no drop."""
LEAST_RISE = 1.5
"""A rising curve that ends below this multiple of its first level has none either."""
NEVER = 1.0


class Drop(NamedTuple):
    """A drop of a curve, all in shares of the weights that the machine was trained with.

    Attributes
    ----------
    position : float
        Share removed at half of the height; 1 if there is no drop.
    width : float
        From 10 to 90 % of the height; 1 if there is no drop.
    """

    position: float
    width: float


def find_drop(removed: NDArray[np.float64], curve: NDArray[np.float64], measure: Measure) -> Drop:
    """The drop of one curve.

    Parameters
    ----------
    removed : array, (n_points,)
        Shares f, ascending from 0.
    curve : array, (n_points,)
        The measure.
    measure : Measure
        How it is read.

    Returns
    -------
    Drop
    """
    smooth = isotonic_regression(curve, increasing=not measure.falls).x
    start = smooth[0]
    end = smooth[-1] if measure.collapsed is None else measure.collapsed
    enough = smooth[-1] <= LEAST_FALL * start if measure.falls else smooth[-1] >= LEAST_RISE * start
    if not enough or end == start:
        return Drop(NEVER, 1.0)
    done = (smooth - start) / (end - start)
    early, half, late = (_crossing(removed, done, share) for share in (0.1, 0.5, 0.9))
    return Drop(half, late - early)


def find_crossing(
    removed: NDArray[np.float64], curve: NDArray[np.float64], level: float, measure: Measure
) -> float:
    """Where a curve, made monotonic, first reaches a level that it does not take from itself.

    Parameters
    ----------
    removed, curve, measure
        As in :func:`find_drop`.
    level : float
        In units of the measure.

    Returns
    -------
    float
        Share removed; 1 if the level is not reached.
    """
    sign = -1.0 if measure.falls else 1.0
    return _crossing(removed, sign * isotonic_regression(curve, increasing=not measure.falls).x, sign * level)


def _crossing(removed: NDArray[np.float64], done: NDArray[np.float64], share: float) -> float:
    """Where a rising curve first reaches a level, on straight lines between its points."""
    at = int(np.argmax(done >= share))
    if done[at] < share:
        return NEVER
    if at == 0:
        return float(removed[0])
    fraction = (share - done[at - 1]) / (done[at] - done[at - 1])
    return float(removed[at - 1] + fraction * (removed[at] - removed[at - 1]))


def drops(removed: NDArray[np.float64], curves: NDArray[np.float64], measure: Measure) -> NDArray[np.float64]:
    """Position and width of the mean curve over replicas, for every dilution.

    Parameters
    ----------
    removed : array, (n_points,)
        Shares f.
    curves : array, (n_replicas, n_dilutions, n_points)
        The measure.
    measure : Measure
        How it is read.

    Returns
    -------
    array, (n_dilutions, 2)
    """
    return np.array([find_drop(removed, curve, measure) for curve in curves.mean(axis=0)])


def total_removed(dilution: ArrayLike, removed: ArrayLike) -> NDArray[np.float64]:
    """Total share p of zero weights, from the dilution p0 and the share f removed of what it left.

    Raises
    ------
    ValueError
        If p0 lies outside [0, 1) or f outside [0, 1].
    """
    p0, f = _shares("p0", dilution), _shares("f", removed, closed=True)
    return p0 + f * (1 - p0)


def removed_of_the_rest(dilution: ArrayLike, total: ArrayLike) -> NDArray[np.float64]:
    """The inverse: share f removed of the weights that the dilution p0 left, from the total share p.

    Raises
    ------
    ValueError
        If a share lies outside [0, 1), or p below p0.
    """
    p0, p = _shares("p0", dilution), _shares("p", total)
    if np.any(p < p0):
        raise ValueError(
            f"p must be at least p0, the share that was zero from the start, not {np.min(p):g} for p0 = {np.max(p0):g}"
        )
    return (p - p0) / (1 - p0)


def _shares(name: str, values: ArrayLike, closed: bool = False) -> NDArray[np.float64]:
    shares = np.asarray(values, dtype=np.float64)
    wrong = ~((shares >= 0) & ((shares <= 1) if closed else (shares < 1)))
    if wrong.any():
        raise ValueError(f"{name} must lie in [0, 1{']' if closed else ')'}, not {shares[wrong].flat[0]:g}")
    return shares
