"""How much can be pruned through the transition of the Ising chain: the standard runs at more fields.

Golubeva & Melko prune at h/J = 1 and at h/J = 2. Here the standard runs of
:mod:`rbmlib.experiments.tfim_pruning` are made from deep in the ordered phase to the paramagnet; the two of
the paper are among them. What the state itself has to say, its entanglement, stands beside them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from rbmlib.lab.cell import Cell
from rbmlib.lab.profiles import Profile, resolve
from rbmlib.lab.sweep import sweep
from rbmlib.quantum.entanglement import entanglement_entropies
from rbmlib.quantum.mps import MatrixProductState

from . import tfim_standard
from .tfim_cells import ground_state

_BOOK: dict[str, Any] = {
    **tfim_standard.BOOK,
    # Wide at the ends, close where eighteen spins cross over: there |h - J| N is about one.
    "fields": [0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0],
}

PROFILES = {
    "book": Profile(_BOOK, "about an hour on two cores, beside the standard runs"),
    "quick": Profile(
        {
            **_BOOK,
            "n_spins": 10,
            "n_hidden": 5,
            "fields": [0.5, 1.0, 2.0],
            "n_seeds": 3,
            "n_samples": 10_000,
            "n_epochs": 100,
        },
        "about one minute on two cores",
    ),
}


def _states(p: dict[str, Any]) -> list[Cell]:
    return [Cell(ground_state, {"n_spins": p["n_spins"], "field": float(field)}) for field in p["fields"]]


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    p = resolve(PROFILES, "book", parameters)
    runs = tfim_standard.cells(p)
    return [*_states(p), *runs]


def results(**parameters: Any) -> xr.Dataset:
    """The pruning curves at all fields: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    xarray.Dataset
        As :func:`rbmlib.experiments.tfim_standard.results`, and ``entropy`` (field), the entanglement
        entropy of the exact state's two halves in nats.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = resolve(PROFILES, "book", parameters)
    computed = sweep(cells(**p))[: len(p["fields"])]
    middle = p["n_spins"] // 2 - 1
    states = [MatrixProductState.from_dataset(one) for one in computed]
    entropy = np.array([entanglement_entropies(state)[middle] for state in states])
    return tfim_standard.results(p).assign(entropy=("field", entropy))
