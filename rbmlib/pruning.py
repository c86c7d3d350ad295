r"""Pruning schedules, masks and the connectivity of what is left.

Iterative magnitude pruning (Golubeva & Melko, section III.A and appendix A) takes a fraction f of the
*remaining* weights away at each iteration and trains on for a while before the next. From n weights that
leaves

.. math:: \mathrm{kept}(k) = \operatorname{round}\bigl((1 - f)^k \, n\bigr)

after iteration k. The count always follows from the original n, so that rounding never accumulates. The
products are exact rationals, which makes every count the same on every machine; an exact half goes to the
even neighbour, as in IEEE arithmetic and Python's own ``round``.

Only weights are pruned, never biases. A pruned weight stays pruned: each mask returned here lies within the
one given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from numbers import Real
from operator import index
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csgraph

from rbmlib.arguments import plain_array
from rbmlib.kernels.philox import STREAM_PRUNING, fill_words
from rbmlib.rbm import RBM, check_seed

CRITERIA = ("magnitude", "largest", "random")


class PruningStage(NamedTuple):
    """Iteration of `prune_and_finetune` (0 before any pruning) and the machine that it leaves."""

    iteration: int
    rbm: RBM


# --- schedules ----------------------------------------------------------------------------------------------


def schedule(n_weights: int, fraction: float | Fraction = 0.1, n_iterations: int = 18) -> NDArray[np.int64]:
    """Weights kept after each iteration when every iteration removes the same fraction of what remains.

    With 162 weights the defaults give Table I of Golubeva & Melko: 162, 146, 131, ..., 27, 24.

    Parameters
    ----------
    n_weights : int
        Weights before pruning, at least 1.
    fraction : float or Fraction
        Share of the remaining weights that an iteration removes, in [0, 1). A float stands for the decimal
        number that it prints as.
    n_iterations : int
        Number of iterations, 0 or more.

    Returns
    -------
    ndarray of int64, shape (n_iterations + 1,)
        kept(k) for k = 0 ... n_iterations; never rising, kept(0) = n_weights.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the stated kind or range.
    """
    return schedule_from_fractions(n_weights, [fraction] * _integer("n_iterations", n_iterations, 0))


def schedule_from_fractions(n_weights: int, fractions: Sequence[float | Fraction]) -> NDArray[np.int64]:
    """Weights kept after each iteration when iteration k removes ``fractions[k - 1]`` of what remains.

    The other schedules of Golubeva & Melko, appendix A, are ``[first] + [0.05] * m`` with first from 0.1 to
    0.4.

    Parameters
    ----------
    n_weights : int
        Weights before pruning, at least 1.
    fractions : sequence of float or Fraction
        One share of the remaining weights an iteration, each in [0, 1).

    Returns
    -------
    ndarray of int64, shape (len(fractions) + 1,)
        round(n_weights * product of (1 - fraction)), halves to even.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the stated kind or range.
    """
    n_weights = _integer("n_weights", n_weights, 1)
    return np.array([round(n_weights * share) for share in _remaining_shares(fractions)], dtype=np.int64)


def nominal_remaining(fractions: Sequence[float | Fraction]) -> NDArray[np.float64]:
    """Share of the weights that a schedule means to leave, before rounding to whole weights.

    Parameters
    ----------
    fractions : sequence of float or Fraction
        One share of the remaining weights an iteration, each in [0, 1).

    Returns
    -------
    ndarray of float64, shape (len(fractions) + 1,)
        Products of (1 - fraction), starting with 1; ``[0.1] * 18`` gives Table I's percentages divided by
        100.
    """
    return np.array([float(share) for share in _remaining_shares(fractions)])


def actual_remaining(kept: ArrayLike) -> NDArray[np.float64]:
    """Share of the weights that a schedule leaves in fact: kept(k) / kept(0), shape (n_iterations + 1,)."""
    counts = _counts(kept)
    return counts / counts[0]


# --- masks --------------------------------------------------------------------------------------------------


def prune_mask(
    weights: ArrayLike,
    mask: ArrayLike | None,
    n_keep: int,
    criterion: str = "magnitude",
    seed: int | None = None,
) -> NDArray[np.bool_]:
    """Mask that keeps `n_keep` of the weights that are still alive.

    One stable sort decides: pruned weights come first, then the live ones in the order of the criterion. Of
    equal magnitudes the one with the lower flat (row-major) index goes first.

    Parameters
    ----------
    weights : array_like of float, shape (n_visible, n_hidden)
        The weights; all finite. Values at pruned places play no part.
    mask : array_like of bool, shape (n_visible, n_hidden), or None
        True where a weight is alive; None means everywhere.
    n_keep : int
        Weights to keep, from 0 to the number alive.
    criterion : {"magnitude", "largest", "random"}
        Remove the smallest magnitudes first, the largest first, or at random. The random order is a function
        of the seed and a weight's flat index alone, so that calls with one seed walk down a single
        permutation.
    seed : int, optional
        In [0, 2**64); needed by "random" and refused by the others.

    Returns
    -------
    ndarray of bool, shape (n_visible, n_hidden)
        A new mask with exactly `n_keep` True entries, each of them True in `mask`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the stated kind, shape or range.
    """
    weights = _finite("weights", weights)
    if weights.ndim != 2:
        raise ValueError(f"weights must have the shape (n_visible, n_hidden), not {weights.shape}")
    alive = np.ones(weights.shape, dtype=np.bool_) if mask is None else _mask(mask)
    if alive.shape != weights.shape:
        raise ValueError(f"mask has shape {alive.shape} but weights has {weights.shape}; they must agree")
    live_index = np.flatnonzero(alive)
    n_keep = _integer("n_keep", n_keep, 0)
    if n_keep > live_index.size:
        raise ValueError(f"n_keep is {n_keep} but must be at most {live_index.size}, the weights alive")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(map(repr, CRITERIA))}, not {criterion!r}")
    if (seed is None) == (criterion == "random"):
        raise ValueError(f"seed goes with criterion 'random' and no other; got {seed!r} with {criterion!r}")

    if criterion == "random":
        rank = _random_ranks(seed, weights.size)[live_index]
    else:
        magnitude = np.abs(weights.ravel()[live_index])
        rank = magnitude if criterion == "magnitude" else -magnitude
    pruned = alive.ravel().copy()
    pruned[live_index[np.argsort(rank, kind="stable")[: live_index.size - n_keep]]] = False
    return pruned.reshape(weights.shape)


def prune(rbm: RBM, n_keep: int, criterion: str = "magnitude", seed: int | None = None) -> RBM:
    """Machine with `n_keep` weights left, the others exactly zero, biases untouched; see `prune_mask`."""
    return rbm.replace(mask=prune_mask(rbm.weights, rbm.mask, n_keep, criterion, seed))


def prune_and_finetune(
    rbm: RBM,
    kept: Sequence[int] | NDArray[np.integer],
    finetune: Callable[[RBM, int], RBM],
    criterion: str = "magnitude",
    seed: int | None = None,
) -> Iterator[PruningStage]:
    """Prune along a schedule and train on after each step (Golubeva & Melko, section III.A).

    Parameters
    ----------
    rbm : RBM
        The trained machine.
    kept : sequence of int
        Weights alive at each stage, as `schedule` gives them; the first is the number alive in `rbm`.
    finetune : callable (RBM, int) -> RBM
        Trains a pruned machine at the given iteration (1, 2, ...) and keeps its mask.
    criterion, seed
        As in `prune_mask`.

    Yields
    ------
    PruningStage
        Iteration 0 with `rbm` itself, then each iteration's machine after fine-tuning.

    Raises
    ------
    TypeError, ValueError
        If the schedule does not fit the machine or fine-tuning changed the mask.
    """
    counts = _counts(kept)
    n_alive = int(np.count_nonzero(rbm.mask))
    if counts[0] != n_alive:
        raise ValueError(f"kept must start at the machine's {n_alive} live weights, not at {counts[0]}")
    yield PruningStage(0, rbm)
    for iteration, n_keep in enumerate(counts[1:].tolist(), start=1):
        pruned = prune(rbm, n_keep, criterion, seed)
        rbm = finetune(pruned, iteration)
        if not np.array_equal(rbm.mask, pruned.mask):
            raise ValueError(f"finetune must keep the mask that it gets; iteration {iteration} changed it")
        yield PruningStage(iteration, rbm)


# --- connectivity -------------------------------------------------------------------------------------------


def connected_components(mask: ArrayLike) -> int:
    """Number of connected components of the bipartite graph that a mask leaves.

    Parameters
    ----------
    mask : array_like of bool, shape (n_visible, n_hidden)
        True where a weight joins a visible and a hidden unit.

    Returns
    -------
    int
        Components among all n_visible + n_hidden units; a unit without weights is one by itself.

    Raises
    ------
    ValueError
        If `mask` is not a two-dimensional boolean array.
    """
    alive = _mask(mask)
    n_visible, n_hidden = alive.shape
    visible, hidden = np.nonzero(alive)
    edges = (visible, n_visible + hidden)
    graph = coo_array((np.ones(visible.size), edges), shape=(n_visible + n_hidden, n_visible + n_hidden))
    return int(csgraph.connected_components(graph, directed=False, return_labels=False))


def is_connected(mask: ArrayLike) -> bool:
    """Whether the weights of a mask, shape (n_visible, n_hidden), join all units to one another."""
    return connected_components(mask) == 1


def min_weights_to_connect(n_visible: int, n_hidden: int) -> int:
    """Fewest weights that can join all units, n_visible + n_hidden - 1: the edges of a spanning tree.

    26 of 162 (16.05 %) for 18 visible and 9 hidden units (Golubeva & Melko, Table I).
    """
    return _integer("n_visible", n_visible, 1) + _integer("n_hidden", n_hidden, 1) - 1


def first_necessarily_disconnected(kept: ArrayLike, n_visible: int, n_hidden: int) -> int | None:
    """First iteration of a schedule with too few weights to join all units, whichever weights they are.

    Parameters
    ----------
    kept : array_like of int, shape (n_iterations + 1,)
        A schedule's counts.
    n_visible, n_hidden : int
        Size of the machine.

    Returns
    -------
    int or None
        The iteration (18 for Table I of Golubeva & Melko), or None if the schedule ends before.
    """
    too_few = np.flatnonzero(_counts(kept) < min_weights_to_connect(n_visible, n_hidden))
    return int(too_few[0]) if too_few.size else None


# --- concentration ------------------------------------------------------------------------------------------


def weight_concentration(weights: ArrayLike, share: float | Fraction = 0.2) -> float:
    """Part of the summed magnitude that the largest weights hold.

    Parameters
    ----------
    weights : array_like of float, any shape
        The weights (pruned zeros count as weights); finite and not all zero.
    share : float or Fraction
        Which share of the weights counts as the largest, in (0, 1]; rounded to whole weights, at least one.

    Returns
    -------
    float
        In (0, 1]. For many Gaussian weights and share 0.2 about exp(-q**2 / 2) = 0.44, q being the 90 %
        quantile.

    Raises
    ------
    TypeError, ValueError
        If `weights` is empty, not finite or zero everywhere, or `share` out of range.
    """
    magnitude = np.sort(np.abs(_finite("weights", weights)), axis=None)[::-1]
    exact_share = _rational("share", share)
    if not 0 < exact_share <= 1:
        raise ValueError(f"share must lie in (0, 1], not {share!r}")
    if not magnitude[0]:
        raise ValueError("weights must have at least one entry other than zero")
    # fsum rounds once, so the result depends on no order of summation.
    return math.fsum(magnitude[: max(1, round(exact_share * magnitude.size))]) / math.fsum(magnitude)


# --- arguments ----------------------------------------------------------------------------------------------


def _remaining_shares(fractions: Sequence[float | Fraction]) -> list[Fraction]:
    shares = [Fraction(1)]
    for fraction in fractions:
        exact = _rational("fraction", fraction)
        if not 0 <= exact < 1:
            raise ValueError(f"fraction must lie in [0, 1), not {fraction!r}")
        shares.append(shares[-1] * (1 - exact))
    return shares


def _random_ranks(seed: int, n_weights: int) -> NDArray[np.uint64]:
    words = np.empty(2 * n_weights, dtype=np.uint32)
    fill_words(words, 0, 0, STREAM_PRUNING, np.uint64(check_seed("seed", seed)))
    return (words[0::2].astype(np.uint64) << np.uint64(32)) | words[1::2]


def _rational(name: str, value: float | Fraction) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value!r}")
    # 0.1 is meant as 1/10, not as the binary fraction nearest to it.
    return Fraction(repr(float(value)))


def _integer(name: str, value: int, smallest: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if index(value) < smallest:
        raise ValueError(f"{name} must be at least {smallest}, not {value}")
    return index(value)


def _counts(kept: ArrayLike) -> NDArray[np.int64]:
    counts = plain_array("kept", kept)
    if counts.ndim != 1 or counts.size == 0 or counts.dtype.kind not in "iu":
        raise ValueError(f"kept must be a non-empty list of integers, not {kept!r}")
    if counts[0] < 1 or counts[-1] < 0 or np.any(counts[1:] > counts[:-1]):
        raise ValueError(f"kept must start at 1 or more, never rise or turn negative; got {counts.tolist()}")
    return counts.astype(np.int64)


def _finite(name: str, values: ArrayLike) -> NDArray[np.floating]:
    array = plain_array(name, values)
    if array.dtype.kind not in "fiu" or array.size == 0:
        raise ValueError(f"{name} must be one or more numbers, not {array.dtype} of shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite; {np.count_nonzero(~np.isfinite(array))} entries are not")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _mask(mask: ArrayLike) -> NDArray[np.bool_]:
    array = plain_array("mask", mask)
    if array.dtype != np.bool_ or array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"mask must be boolean of shape (n_visible, n_hidden), not {array.dtype} of shape {array.shape}"
        )
    return array
