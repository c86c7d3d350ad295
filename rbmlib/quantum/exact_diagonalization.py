r"""Ground states of short transverse-field Ising chains by exact diagonalisation in the even-parity sector.

With the sign :math:`(-1)^{n_\downarrow}` removed the Hamiltonian is :math:`-\sum \sigma^z_i \sigma^z_{i+1} -
h \sum \sigma^x_i`. It commutes with the flip of all spins, and its ground state is even under it, so that
half of the states are enough: those whose last spin is down, each standing for :math:`(|v\rangle +
|{-v}\rangle) / \sqrt 2`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from .configurations import check_field, check_n_spins

MAX_SPINS = 18


class GroundState(NamedTuple):
    """Energy (in J) and the nonnegative amplitudes of all 2**N states, in the order of their codes."""

    energy: float
    amplitudes: NDArray[np.float64]


def ground_state(n_spins: int, field: float) -> GroundState:
    """Exact ground state of the open chain.

    Parameters
    ----------
    n_spins : int
        Length of the chain, 2 to 18.
    field : float
        Transverse field h in units of J, positive.

    Returns
    -------
    GroundState
        Energy and the amplitudes of all states, shape (2**n_spins,), nonnegative.

    Raises
    ------
    ValueError
        If the chain is too long: :func:`rbmlib.quantum.ground_state` (DMRG) has no such limit.
    """
    n_spins = check_n_spins(
        n_spins, largest=MAX_SPINS, instead="for longer chains use rbmlib.quantum.ground_state (DMRG)"
    )
    field = check_field(field)
    codes = np.arange(2 ** (n_spins - 1))
    walls = np.zeros(codes.size)
    for site in range(n_spins - 1):
        walls += ((codes >> site) ^ (codes >> (site + 1))) & 1
    bonds = 2.0 * walls - (n_spins - 1)

    def apply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        vector = vector.ravel()
        # Flipping the last spin leaves the half that is kept; its even partner has all the other spins
        # flipped.
        flipped = vector[::-1].copy()
        for site in range(n_spins - 1):
            pairs = vector.reshape(-1, 2, 2**site)
            flipped += pairs[:, ::-1, :].reshape(-1)
        return bonds * vector - field * flipped

    if codes.size <= 8:
        matrix = np.stack([apply(column) for column in np.eye(codes.size)])
        energies, vectors = np.linalg.eigh(matrix)
        energy, even = float(energies[0]), vectors[:, 0]
    else:
        operator = LinearOperator((codes.size, codes.size), matvec=apply, dtype=np.float64)
        energies, vectors = eigsh(operator, k=1, which="SA", v0=np.ones(codes.size), tol=0)
        energy, even = float(energies[0]), vectors[:, 0]
    # By Perron and Frobenius all amplitudes have one sign.
    half = np.abs(even) / np.sqrt(2.0)
    return GroundState(energy, np.concatenate([half, half[::-1]]))
