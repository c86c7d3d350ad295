"""Divergences of machines from an even state, whichever way their magnetization leans."""

from __future__ import annotations

import numpy as np
import xarray as xr

from rbmbook.studies.ising.cells import PORTABLE
from rbmbook.studies.ising.reference import LONGEST_ENUMERATED_CHAIN
from rbmlib.quantum.errors import infidelity, kullback_leibler
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.rbm import RBM


def measure_even(ground_state: xr.Dataset, trained: xr.Dataset) -> xr.Dataset:
    """KL divergence and infidelity of the even part of the machines of every stage: ``even`` (stage,
    measure); portable bits, NaN for more than 20 spins.

    The even part of p is (p(v) + p(-v)) / 2, where -v is v with all spins flipped. The exact state being
    even, KL is the divergence of the even part plus a term that vanishes where p is even itself.
    """
    state = MatrixProductState.from_dataset(ground_state)
    measures = ["kl", "infidelity"]
    found = np.full((trained.sizes["stage"], len(measures)), np.nan)
    if state.n_spins <= LONGEST_ENUMERATED_CHAIN:
        exact = state.probabilities()
        for stage, row in enumerate(found):
            one = trained.isel(stage=stage)
            weights = one.weights.values
            machine = RBM(weights, one.visible_bias.values, one.hidden_bias.values, weights != 0)
            probabilities = machine.probabilities()
            # The codes of v and -v add up to 2**N - 1.
            even = (probabilities + probabilities[::-1]) / 2
            row[:] = kullback_leibler(exact, even), infidelity(exact, even)
    stages = {"stage": trained.stage.values, "measure": measures}
    return xr.Dataset({"even": (("stage", "measure"), found)}, stages, {"bits": PORTABLE})
