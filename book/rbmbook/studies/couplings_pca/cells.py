"""What the comparison of machines by their weights and by their effective couplings rests on: inner products."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.studies.digits.cells import machine_of
from rbmbook.studies.ising.cells import PORTABLE
from rbmlib.analysis.couplings import gaussian_couplings
from rbmlib.kernels.overlaps import gram_matrix


def compare_machines(**machines: xr.Dataset) -> xr.Dataset:
    """Inner products of machines' weights and of their effective pair couplings J(2); portable bits.

    Principal components, distances and angles of the machines all follow from these (kernel PCA), while the machines
    themselves, a third of a million numbers each, can be thrown away.

    Parameters
    ----------
    **machines : xarray.Dataset
        Trained machines by name, as :func:`rbmbook.studies.digits.cells.machine_dataset` lays them out.

    Returns
    -------
    xarray.Dataset
        ``weights`` (machine, other): sums over all weights; ``couplings`` (machine, other): sums over all pairs of visible
        units of :func:`rbmlib.analysis.couplings.gaussian_couplings`; ``shared`` (machine, other): weights that both have.

    Raises
    ------
    ValueError
        If the machines differ in size, or there are fewer than two.
    """
    names = sorted(machines)
    if len(names) < 2:
        raise ValueError(f"machines must be at least two, not {len(names)}")
    rbms = [machine_of(machines[name]) for name in names]
    if len({rbm.weights.shape for rbm in rbms}) > 1:
        raise ValueError(
            f"machines must have equal numbers of units, not {sorted({rbm.weights.shape for rbm in rbms})}"
        )
    pairs = np.triu_indices(rbms[0].n_visible, 1)
    weights = np.array([rbm.weights.ravel() for rbm in rbms], dtype=np.float64)
    couplings = np.array([gaussian_couplings(rbm).couplings[pairs] for rbm in rbms])
    masks = np.array([rbm.mask.ravel() for rbm in rbms], dtype=np.float64)
    both = ("machine", "other")
    return xr.Dataset(
        {
            "weights": (both, _gram(weights)),
            "couplings": (both, _gram(couplings)),
            "shared": (both, _gram(masks).astype(np.int64)),
        },
        {"machine": names, "other": names},
    ).assign_attrs(bits=PORTABLE)


def _gram(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    gram = np.empty((len(rows), len(rows)))
    gram_matrix(rows, gram)
    return gram
