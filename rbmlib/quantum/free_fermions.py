r"""Exact ground-state energy and correlations of the open transverse-field Ising chain, for any length.

A Jordan-Wigner transformation turns :math:`H = -\sum_i \sigma^z_i \sigma^z_{i+1} - h \sum_i \sigma^x_i` (J =
1) into free Majorana fermions, :math:`H = i \sum_{kl} M_{kl} b_k a_l` up to ordering, with the N x N
bidiagonal matrix

.. math:: M_{kk} = h, \qquad M_{k,k+1} = 1 .

With the singular value decomposition :math:`M = U \Sigma V^T` the ground-state energy is :math:`-\sum_k
\Sigma_k`, and by Wick's theorem every correlation is a determinant of the orthogonal matrix :math:`G = U
V^T`. The ground state that is meant is the one with even parity, which is the unique one on a finite chain at
any h > 0. The sign of h drops out of both results.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .configurations import center_site, check_field, check_n_spins


def _bidiagonal(n_spins: int, field: float) -> NDArray[np.float64]:
    n_spins = check_n_spins(n_spins)
    return np.diag(np.full(n_spins, check_field(field))) + np.diag(np.ones(n_spins - 1), 1)


def _contractions(n_spins: int, field: float) -> NDArray[np.float64]:
    left, _, right = np.linalg.svd(_bidiagonal(n_spins, field))
    return left @ right


def ground_state_energy(n_spins: int, field: float) -> float:
    """Exact ground-state energy of the open chain.

    Parameters
    ----------
    n_spins : int
        Length of the chain, at least 2.
    field : float
        Transverse field h in units of J, positive.

    Returns
    -------
    float
        Energy in units of J.

    Notes
    -----
    Pfeuty, Ann. Phys. 57, 79 (1970). At h = J it equals ``1 - 1 / sin(pi / (4 n_spins + 2))``.
    """
    return -float(np.linalg.svd(_bidiagonal(n_spins, field), compute_uv=False).sum())


def correlations(n_spins: int, field: float) -> NDArray[np.float64]:
    """Exact spin-spin correlations <sigma^z_i sigma^z_j> of the ground state.

    Parameters
    ----------
    n_spins : int
        Length of the chain, at least 2.
    field : float
        Transverse field h in units of J, positive.

    Returns
    -------
    numpy.ndarray, shape (n_spins, n_spins)
        Symmetric, with ones on the diagonal. Since <sigma^z_i> = 0 these are also the connected correlations
        (Golubeva & Melko, eq. 7).

    Notes
    -----
    For i < j the correlation is the determinant of rows i ... j-1, columns i+1 ... j of G (see the module's
    docstring).
    """
    contractions = _contractions(n_spins, field)
    result = np.eye(n_spins)
    for i in range(n_spins):
        for j in range(i + 1, n_spins):
            result[i, j] = result[j, i] = np.linalg.det(contractions[i:j, i + 1 : j + 1])
    return result


def correlation_from_center(n_spins: int, field: float) -> NDArray[np.float64]:
    """Exact correlation C(d) between the centre site and the site d to its right, d = 0 ... N // 2.

    The centre site is :func:`rbmlib.quantum.center_site`. Arguments as for :func:`correlations`; the result
    has the shape (n_spins // 2 + 1,) and C(0) = 1.
    """
    contractions = _contractions(n_spins, field)
    center = center_site(n_spins)
    result = np.ones(n_spins // 2 + 1)
    for distance in range(1, n_spins // 2 + 1):
        other = center + distance
        result[distance] = np.linalg.det(contractions[center:other, center + 1 : other + 1])
    return result
