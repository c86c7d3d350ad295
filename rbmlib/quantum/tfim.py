r"""Ground states of the transverse-field Ising chain by the density-matrix renormalisation group (DMRG).

The Hamiltonian is that of Golubeva & Melko, eq. 1, on an open chain with J = 1:

.. math:: H = -\sum_{i=1}^{N-1} \sigma^z_i \sigma^z_{i+1} + h \sum_{i=1}^{N} \sigma^x_i .

Its ground state has amplitudes of sign :math:`(-1)^{n_\downarrow}`, which measurements in the sigma^z basis
do not see. What is computed here is the ground state with that sign removed, that is, of the same H with -h:
by Perron and Frobenius all its amplitudes are positive. On a finite chain it is unique and even under the
flip of all spins, also below h = J, where the gap to the odd state is exponentially small: DMRG runs with
that parity conserved, so that it cannot break the symmetry.
"""

from __future__ import annotations

import logging
import math
import numbers
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import exact_diagonalization
from .configurations import check_field, check_n_spins, check_positive_integer
from .free_fermions import ground_state_energy
from .mps import MatrixProductState


class NotConverged(RuntimeError):
    """DMRG ended too far from the exact ground-state energy."""


def ground_state(
    n_spins: int,
    field: float,
    *,
    chi_max: int = 100,
    svd_min: float = 1e-10,
    energy_tolerance: float = 1e-10,
) -> MatrixProductState:
    """Ground state of the open chain as a matrix product state in the sigma^z basis.

    Parameters
    ----------
    n_spins : int
        Length of the chain, at least 2.
    field : float
        Transverse field h in units of J, positive.
    chi_max : int
        Largest bond dimension.
    svd_min : float
        Singular values below this are dropped.
    energy_tolerance : float
        Largest difference from the exact (free-fermion) energy, relative to that energy's size where it
        exceeds 1. ``math.inf`` allows a bond dimension that is too small on purpose.

    Returns
    -------
    MatrixProductState
        Right-canonical tensors with real entries; the amplitudes are nonnegative (up to truncation), the sign
        (-1)**n_down of Golubeva & Melko's eq. 1 being removed.

    Raises
    ------
    NotConverged
        If the energy is off by more than ``energy_tolerance``.
    """
    n_spins = check_n_spins(n_spins)
    field = check_field(field)
    chi_max = check_positive_integer(chi_max, "chi_max")
    if not (isinstance(svd_min, numbers.Real) and 0 <= svd_min < 1):
        raise ValueError(f"svd_min must lie in [0, 1), not {svd_min!r}.")
    if not (isinstance(energy_tolerance, numbers.Real) and energy_tolerance > 0):
        raise ValueError(f"energy_tolerance must be positive, not {energy_tolerance!r}.")

    state = _pair(field) if n_spins == 2 else _dmrg(n_spins, field, chi_max, float(svd_min))
    exact = ground_state_energy(n_spins, field)
    error = abs(state.energy - exact) / max(1.0, abs(exact))
    if not error <= energy_tolerance:
        raise NotConverged(
            f"DMRG reached the energy {state.energy:.12g} J, but the exact one is {exact:.12g} J (n_spins = "
            f"{n_spins}, field = {field:g}): raise chi_max (now {chi_max}), lower svd_min (now "
            f"{svd_min:g}) or allow a larger energy_tolerance."
        )
    return state


def _pair(field: float) -> MatrixProductState:
    """Two spins, which are too few for two-site DMRG: one singular value decomposition."""
    exact = exact_diagonalization.ground_state(2, field)
    # The code's low bit is the first spin, hence the transpose: rows are the first spin.
    left, singular, right = np.linalg.svd(exact.amplitudes.reshape(2, 2).T)
    tensors = [(left * singular)[None, :, :], right[:, :, None]]
    return MatrixProductState(tuple(_with_positive_sign(tensors)), exact.energy)


def _dmrg(n_spins: int, field: float, chi_max: int, svd_min: float) -> MatrixProductState:
    with _quiet():
        from tenpy.algorithms.dmrg import TwoSiteDMRGEngine
        from tenpy.models.tf_ising import TFIChain
        from tenpy.networks.mps import MPS

        # TeNPy's chain is -J sum Sigmax Sigmax - g sum Sigmaz: its Sigmax is our sigma^z, its Sigmaz our
        # sigma^x.
        model = TFIChain({"L": n_spins, "J": 1.0, "g": field, "bc_MPS": "finite", "conserve": "parity"})
        psi = MPS.from_product_state(
            model.lat.mps_sites(),
            ["up"] * n_spins,
            bc="finite",
            unit_cell_width=model.lat.mps_unit_cell_width,
        )
        options = {
            "mixer": None,
            "combine": True,
            "N_sweeps_check": 1,
            "min_sweeps": 4,
            "max_sweeps": 40,
            "max_E_err": 1e-13,
            "max_S_err": 1e-8,
            # Too small a bond dimension is told by the energy, in ground_state's own words.
            "max_trunc_err": None,
            "lanczos_params": {"N_max": 6, "N_min": 2},
            "trunc_params": {"chi_max": chi_max, "svd_min": svd_min},
        }
        engine = TwoSiteDMRGEngine(psi, model, options)
        energy, psi = engine.run()
        # Small chains never read some options, which TeNPy would report when they are garbage-collected, out
        # of our reach.
        for section in (engine.options, engine.options["lanczos_params"], engine.options["trunc_params"]):
            section.touch(*section.keys())
        # DMRG ends in a mixed form, from which tensors would be converted by dividing by tiny singular values.
        psi.canonical_form()
        return MatrixProductState(tuple(_dense_tensors(psi)), float(energy))


def _dense_tensors(psi: Any) -> list[NDArray[np.float64]]:
    """Right-canonical tensors of a TeNPy state, rotated to our sigma^z basis (0 is down, 1 is up)."""
    tensors = []
    for site in range(psi.L):
        labels = psi.sites[site].state_labels
        block = psi.get_B(site, form="B").itranspose(["vL", "p", "vR"]).to_ndarray()
        if np.iscomplexobj(block):
            block = block.real
        plus, minus = block[:, labels["up"], :], block[:, labels["down"], :]
        # The eigenvectors of Sigmax with eigenvalue +1 and -1 are (up + down) / sqrt 2 and (up - down) / sqrt
        # 2.
        tensors.append(np.stack([plus - minus, plus + minus], axis=1) * math.sqrt(0.5))
    return _with_positive_sign(tensors)


def _with_positive_sign(tensors: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Fix the global sign so that the amplitude of all spins up is positive."""
    row = np.ones(1)
    for tensor in tensors:
        row = row @ tensor[:, 1, :]
        row = row / np.abs(row).max()
    return [tensors[0] * np.sign(row[0]), *tensors[1:]]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep TeNPy's log messages and warnings to itself; everything is put back afterwards."""
    logger = logging.getLogger("tenpy")
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
