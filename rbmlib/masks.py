"""Masks of machines that are sparse before they are trained.

Golubeva & Melko, section III.B, build masks by two rules: each hidden unit reads one cluster of adjacent visible
units, three or more, and the graph is connected. Beside these stand masks whose entries have been moved, which
take the clusters of a mask apart and keep its number of weights.

Random choices are those of :func:`rbmlib.pruning.prune_mask` and of seeds derived from one: portable bits.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.pruning import is_connected, min_weights_to_connect, prune_mask
from rbmlib.rbm import check_seed

_ATTEMPTS = 1000


def random_mask(n_visible: int, n_hidden: int, n_keep: int, seed: int) -> NDArray[np.bool_]:
    """A mask of `n_keep` weights anywhere, shape (n_visible, n_hidden)."""
    return prune_mask(np.ones((n_visible, n_hidden)), None, n_keep, "random", seed)


def constructed_mask(
    n_visible: int, n_hidden: int, n_keep: int, seed: int | None = None
) -> NDArray[np.bool_]:
    """A mask with one cluster of adjacent visible units for each hidden unit (Golubeva & Melko, section III.B).

    Parameters
    ----------
    n_visible, n_hidden : int
        Size of the machine.
    n_keep : int
        Weights in all. Clusters are as equal as possible; the first hidden units have the larger ones.
    seed : int, optional
        Draws the places of the clusters, again and again until the graph is connected. Without it the
        clusters are evenly spaced from one end of the chain to the other.

    Returns
    -------
    ndarray of bool, shape (n_visible, n_hidden)
        The chain is open: no cluster reaches around its ends.

    Raises
    ------
    ValueError
        If `n_keep` is out of range, or such clusters do not make a connected graph.
    """
    if not n_hidden <= n_keep <= n_visible * n_hidden:
        raise ValueError(
            f"n_keep must lie between {n_hidden}, one weight a hidden unit, and {n_visible * n_hidden}, not {n_keep}"
        )
    larger = n_keep % n_hidden
    sizes = [n_keep // n_hidden + (hidden < larger) for hidden in range(n_hidden)]
    mask = np.zeros((n_visible, n_hidden), dtype=np.bool_)
    attempts = 1 if seed is None else _ATTEMPTS
    for attempt in range(attempts if n_keep >= min_weights_to_connect(n_visible, n_hidden) else 0):
        mask[:] = False
        for hidden, size in enumerate(sizes):
            free = n_visible - size
            if seed is None:
                start = round(Fraction(hidden * free, max(n_hidden - 1, 1)))
            else:
                word = derived_seed(np.uint64(check_seed("seed", seed)), attempt, hidden)
                start = int(word) % (free + 1)
            mask[start : start + size, hidden] = True
        if is_connected(mask):
            return mask
    raise ValueError(
        f"n_keep must be larger than {n_keep}: {n_hidden} clusters with so few weights do not connect "
        f"{n_visible} visible units"
    )


def shuffled_mask(mask: ArrayLike, share: float, seed: int) -> NDArray[np.bool_]:
    """A mask some of whose entries have moved, each within its hidden unit.

    Of each hidden unit's weights, the share to move is taken out at random and put back at random places that
    are free by then, those just left included. With one seed, entries that move at a small share also move at
    a larger one.

    Parameters
    ----------
    mask : array_like of bool, shape (n_visible, n_hidden)
        Where weights are.
    share : float
        Share of each hidden unit's weights to move, from 0 to 1; rounded to whole weights.
    seed : int
        Seed of the choice.

    Returns
    -------
    ndarray of bool, shape (n_visible, n_hidden)
        As many weights for each hidden unit as before. Nothing keeps the graph connected.

    Raises
    ------
    ValueError
        If `mask` is not a boolean matrix, or `share` or `seed` out of range.
    """
    before = plain_array("mask", mask)
    if before.ndim != 2 or before.dtype != np.bool_:
        raise ValueError(
            f"mask must be a boolean array of shape (n_visible, n_hidden), not {before.dtype} of shape {before.shape}"
        )
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], not {share!r}")
    base = np.uint64(check_seed("seed", seed))
    after = np.empty_like(before)
    for hidden in range(before.shape[1]):
        column = before[:, [hidden]]
        leaving, arriving = (int(derived_seed(base, hidden, part)) for part in (0, 1))
        moved = round(share * int(column.sum()))
        places = np.ones(column.shape)
        staying = prune_mask(places, column, int(column.sum()) - moved, "random", leaving)
        after[:, [hidden]] = staying | prune_mask(places, ~staying, moved, "random", arriving)
    return after
