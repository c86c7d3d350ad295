"""The graph of a small machine before and after pruning (Golubeva & Melko, Fig. 1).

Ten spins and five hidden units, trained, pruned and trained on as in the standard runs of
:mod:`rbmbook.studies.tfim_pruning.study`. Beside the machines of every stage stands the one that training
started from, which follows from its seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.studies.ising import standard as tfim_standard
from rbmbook.studies.ising.machines import seeds_of_run
from rbmlib.rbm import RBM

_BOOK: dict[str, Any] = {**tfim_standard.BOOK, "n_spins": 10, "n_hidden": 5}

PROFILES = {
    "book": Profile(_BOOK, "about eight minutes on two cores"),
    "quick": Profile(
        {**_BOOK, "n_seeds": 5, "n_samples": 10_000, "batch_size": 10, "n_epochs": 200},
        "half a minute on two cores",
    ),
}


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    return tfim_standard.cells(resolve(PROFILES, "book", parameters))


def results(**parameters: Any) -> xr.Dataset:
    """The machines and their measures: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    xarray.Dataset
        As :func:`rbmbook.studies.ising.standard.results`, and ``initial`` (field, seed, visible, hidden),
        the weights that training started from.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = resolve(PROFILES, "book", parameters)
    found = tfim_standard.results(p)
    initial = [
        [
            RBM.random(
                p["n_spins"], p["n_hidden"], seeds_of_run(float(field), int(seed))["init_seed"]
            ).weights
            for seed in found.seed.values
        ]
        for field in found.field.values
    ]
    return found.assign(initial=(("field", "seed", "visible", "hidden"), np.array(initial)))
