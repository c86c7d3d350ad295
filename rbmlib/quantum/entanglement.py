r"""Entanglement of matrix product states.

A cut between two neighbouring sites divides a pure state into two parts. With the Schmidt values
:math:`\lambda_k` of the cut the entanglement entropy of either part is

.. math:: S = -\sum_k \lambda_k^2 \ln \lambda_k^2 .

It vanishes where the state is a product and is :math:`\ln 2` for an equal superposition of two product states
that differ on both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mps import MatrixProductState


def schmidt_values(state: MatrixProductState) -> list[NDArray[np.float64]]:
    """Schmidt values of a state for every cut.

    Parameters
    ----------
    state : MatrixProductState
        Normalised and right-canonical, as all of them are.

    Returns
    -------
    list of numpy.ndarray
        For the cut to the right of site 0, 1, ..., n_spins - 2: the Schmidt values in descending order, their
        squares summing to 1.
    """
    values = []
    carried = np.ones((1, 1))
    for tensor in state.tensors[:-1]:
        # To the right of the cut all tensors are isometries, so the values of what is carried are Schmidt values.
        block = np.tensordot(carried, tensor, axes=1)
        _, singular, right = np.linalg.svd(block.reshape(-1, tensor.shape[2]), full_matrices=False)
        values.append(singular / np.sqrt((singular**2).sum()))
        carried = singular[:, None] * right
    return values


def entanglement_entropies(state: MatrixProductState) -> NDArray[np.float64]:
    """Entanglement entropy of every cut, in nats, shape (n_spins - 1,); the arguments are those of
    :func:`schmidt_values`.
    """
    entropies = []
    for values in schmidt_values(state):
        weights = values[values > 0] ** 2
        entropies.append(max(0.0, -float((weights * np.log(weights)).sum())))
    return np.array(entropies)
