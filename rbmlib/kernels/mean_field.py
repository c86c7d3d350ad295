"""Mean activities of hidden units over a set of states, and what removed weights gave to the other layer: portable bits.

Every sum runs over rows in their order, so that it has the same bits wherever it is made.
"""

from __future__ import annotations

import numpy as np

from .elementary import exp
from .options import jit


@jit
def mean_hidden_probabilities(states, weights, hidden_bias, means):
    """Mean of p(h_j = 1 | v) over rows of zeros and ones, into ``means`` (n_hidden,); all but the states are float64."""
    n, n_visible = states.shape
    n_hidden = len(means)
    field = np.empty(n_hidden)
    means[:] = 0.0
    for row in range(n):
        field[:] = hidden_bias
        for i in range(n_visible):
            if states[row, i]:
                for j in range(n_hidden):
                    field[j] += weights[i, j]
        for j in range(n_hidden):
            means[j] += 1.0 / (1.0 + exp(-field[j]))
    for j in range(n_hidden):
        means[j] /= n


@jit
def mean_fields(weights, mean_visible, mean_hidden, on_visible, on_hidden):
    """Fields that weights give to units whose other layer has mean activities; all float64, results in the last two."""
    n_visible, n_hidden = weights.shape
    on_hidden[:] = 0.0
    for i in range(n_visible):
        total = 0.0
        for j in range(n_hidden):
            total += weights[i, j] * mean_hidden[j]
            on_hidden[j] += weights[i, j] * mean_visible[i]
        on_visible[i] = total
