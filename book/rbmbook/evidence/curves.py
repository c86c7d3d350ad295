"""Where curves along the pruning rise, fall and cross levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DOUBLING = 2.0
"""An error of this many times the dense one counts as damage."""


def onsets(
    values: NDArray[np.float64],
    removed: NDArray[np.float64],
    threshold: str = "2 SD",
    dense_sd: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Share of the weights removed at which each measure's seed mean first exceeds a threshold, twice in a row.

    Parameters
    ----------
    values : array, (n_seeds, n_stages, n_measures)
        Errors along the pruning stages, stage 0 being dense.
    removed : array, (n_stages,)
        Share of the weights removed.
    threshold : {"2 SD", "1.5x", "2x"}
        Dense mean plus two standard deviations over seeds, or a multiple of the dense mean.
    dense_sd : array, (n_measures,), optional
        The standard deviations to use, those of ``values`` if not given.

    Returns
    -------
    array, (n_measures,)
        1.0 where a measure never rises.
    """
    mean = values.mean(axis=0)
    if threshold == "2 SD":
        limit = mean[0] + 2 * (values[:, 0].std(axis=0, ddof=1) if dense_sd is None else dense_sd)
    else:
        limit = float(threshold.removesuffix("x")) * mean[0]
    above = mean > limit
    twice = above[:-1] & above[1:]
    return np.where(twice.any(axis=0), removed[:-1][twice.argmax(axis=0)], 1.0)


def crossing(curve: NDArray[np.float64], removed: NDArray[np.float64], level: float) -> float:
    """Where a curve (stage,) on a logarithmic scale first reaches a level, interpolated; 1.0 if it never does, 0.0
    if it starts there.
    """
    logs = np.log(curve)
    reached = np.flatnonzero(logs >= np.log(level))
    if not reached.size:
        return 1.0
    stage = reached[0]
    if stage == 0:
        return 0.0
    part = (np.log(level) - logs[stage - 1]) / (logs[stage] - logs[stage - 1])
    return float(removed[stage - 1] + part * (removed[stage] - removed[stage - 1]))


def log_growth(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the errors (..., stage) over their dense values."""
    logs = np.log(errors)
    return logs - logs[..., :1]


def grown(errors: NDArray[np.float64], removed: NDArray[np.float64], growth: float) -> float:
    """Share removed when an error (seed, stage) has grown by a factor: geometric mean over seeds of the growth over
    the same seed's dense value.
    """
    return crossing(np.exp(log_growth(errors).mean(axis=0)), removed, growth)


def doubled(errors: NDArray[np.float64], removed: NDArray[np.float64]) -> float:
    """Share removed when an error (seed, stage) has doubled."""
    return grown(errors, removed, DOUBLING)


def falls_below(share: NDArray[np.float64], level: float) -> NDArray[np.bool_]:
    """Where a share (n_seeds, n_stages) is below a level and stays there for the next stage."""
    under = share < level
    return under & np.concatenate([under[:, 1:], under[:, -1:]], axis=1)


def removed_at(share: NDArray[np.float64], removed: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Share of the weights removed when a share (n_seeds, n_stages) first falls below a level and stays there for the
    next stage, (n_seeds,).

    Interpolated between stages. A machine that never falls so low gets the largest share removed, which can only
    make it look less robust than it is.
    """
    found = np.empty(len(share))
    for i, (row, falls) in enumerate(zip(share, falls_below(share, level), strict=True)):
        stage = int(np.argmax(falls))
        if not falls.any():
            found[i] = removed[-1]
        elif stage == 0:
            found[i] = removed[0]
        else:
            part = np.clip((row[stage - 1] - level) / (row[stage - 1] - row[stage]), 0, 1)
            found[i] = removed[stage - 1] + part * (removed[stage] - removed[stage - 1])
    return found
