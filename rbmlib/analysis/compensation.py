r"""Biases that make up for removed weights, in mean field, without training.

Removing weights :math:`\Delta W` takes a term out of the energy, :math:`-\sum_{ij} v_i \Delta W_{ij} h_j`. With mean
activities :math:`m_i = \langle v_i \rangle` and :math:`q_j = \langle h_j \rangle` each product is

.. math:: v_i h_j = m_i h_j + v_i q_j - m_i q_j + (v_i - m_i)(h_j - q_j) .

The last product is what only a weight can carry; the first two are fields, and the third is a constant. So the biases

.. math:: c_j' = c_j + \sum_i m_i \Delta W_{ij}, \qquad b_i' = b_i + \sum_j \Delta W_{ij} q_j

keep all of the removed term but the correlation of fluctuations. A machine that is pruned without them has lost the mean
field of its removed weights, too: every unit's field is off by what those weights gave it on average.

The means come from data, as the whole machine sees them, or from the machine's own samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.kernels import mean_field as _kernels
from rbmlib.rbm import RBM, check_binary


class Activities(NamedTuple):
    """Mean activities of a machine's units.

    Attributes
    ----------
    visible : array of float64, (n_visible,)
        m, between 0 and 1.
    hidden : array of float64, (n_hidden,)
        q, between 0 and 1.
    """

    visible: NDArray[np.float64]
    hidden: NDArray[np.float64]


def mean_activities(rbm: RBM, visible: ArrayLike) -> Activities:
    """Mean activities over a set of visible states and the hidden probabilities that a machine gives them; portable bits.

    Parameters
    ----------
    rbm : RBM
        The machine, before weights are removed.
    visible : array, (n_samples, n_visible)
        Zeros and ones: data, or samples of the machine.

    Returns
    -------
    Activities

    Raises
    ------
    ValueError
        If the states are not the machine's, or there are none.
    """
    states = check_binary("visible", visible, rbm.n_visible)
    if len(states) == 0:
        raise ValueError("visible must have at least one row")
    hidden = np.empty(rbm.n_hidden)
    _kernels.mean_hidden_probabilities(
        states, rbm.weights.astype(np.float64), rbm.hidden_bias.astype(np.float64), hidden
    )
    return Activities(states.sum(axis=0, dtype=np.int64) / len(states), hidden)


def compensate(whole: RBM, pruned: RBM, activities: Activities) -> RBM:
    """The pruned machine with biases that make up for its removed weights in mean field; portable bits.

    Parameters
    ----------
    whole : RBM
        The machine before weights were removed or changed; its biases are those that are corrected.
    pruned : RBM
        The machine afterwards, with the same units.
    activities : Activities
        What :func:`mean_activities` gives for `whole`.

    Returns
    -------
    RBM
        Weights and mask of `pruned`; `whole` itself if they are equal.

    Raises
    ------
    ValueError
        If the machines, or the activities, have other numbers of units.
    """
    shape = whole.weights.shape
    if pruned.weights.shape != shape:
        raise ValueError(f"pruned must have the units of whole, {shape}, not {pruned.weights.shape}")
    sizes = len(activities.visible), len(activities.hidden)
    if sizes != shape:
        raise ValueError(f"activities must be those of the machine's units, {shape}, not {sizes}")
    removed = whole.weights.astype(np.float64) - pruned.weights.astype(np.float64)
    on_visible, on_hidden = np.empty(shape[0]), np.empty(shape[1])
    _kernels.mean_fields(
        removed, *(np.asarray(means, np.float64) for means in activities), on_visible, on_hidden
    )
    return pruned.replace(
        visible_bias=whole.visible_bias + on_visible, hidden_bias=whole.hidden_bias + on_hidden
    )
