"""How much can be pruned through the transition of the Ising chain: the standard runs at more fields.

Golubeva & Melko prune at h/J = 1 and at h/J = 2. Here the standard runs of
:mod:`rbmbook.studies.tfim_pruning.study` are made from deep in the ordered phase to the paramagnet; the two of
the paper are among them. What the state itself has to say, its entanglement, stands beside them.

Below h/J = 1 the ground state of a finite chain is a superposition of two wells, magnetization up and down,
and the training hardly ever crosses from one to the other. A machine that knows both wells but not that they
weigh the same is far from the state by any divergence. So the even part of each machine, the average of p(v)
and p(-v), is measured as well: what it lacks is not the balance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.collect import gather
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising import standard as tfim_standard
from rbmbook.studies.ising.cells import ground_state
from rbmbook.studies.ising.machines import pruning_cell
from rbmlib.quantum.entanglement import entanglement_entropies
from rbmlib.quantum.mps import MatrixProductState

from .cells import measure_even

_BOOK: dict[str, Any] = {
    **tfim_standard.BOOK,
    # Wide at the ends, close where eighteen spins cross over: there |h - J| N is about one.
    "fields": [0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0],
}

PROFILES = {
    "book": Profile(_BOOK, "about half an hour on two cores, beside the standard runs"),
    "quick": Profile(
        {
            **_BOOK,
            "n_spins": 10,
            "n_hidden": 5,
            "fields": [0.5, 1.0, 2.0],
            "n_seeds": 3,
            "n_samples": 10_000,
            "batch_size": 10,
            "n_epochs": 200,
        },
        "about one minute on two cores",
    ),
}


def _states(p: dict[str, Any]) -> list[Cell]:
    return [Cell(ground_state, {"n_spins": p["n_spins"], "field": float(field)}) for field in p["fields"]]


def _even(p: dict[str, Any]) -> dict[tuple[str, float, int], Cell]:
    """The cells of the even parts by their place."""
    trained = {
        (field, seed): pruning_cell("cd", p, field, seed)
        for seed in range(p["n_seeds"])
        for field in p["fields"]
    }
    return {
        ("cd", *place): Cell(measure_even, {}, {"ground_state": one.needs["ground_state"], "trained": one})
        for place, one in trained.items()
    }


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    p = resolve(PROFILES, "book", parameters)
    runs = tfim_standard.cells(p)
    return [*_states(p), *_even(p).values(), *runs]


def results(**parameters: Any) -> xr.Dataset:
    """The pruning curves at all fields: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    xarray.Dataset
        As :func:`rbmbook.studies.ising.standard.results`; ``even`` (field, seed, stage, even_measure), KL
        divergence and infidelity of the machines' even parts; ``entropy`` (field), the entanglement entropy
        of the exact state's two halves in nats.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = resolve(PROFILES, "book", parameters)
    computed = sweep(cells(**p))
    n_states, places = len(p["fields"]), _even(p)
    middle = p["n_spins"] // 2 - 1
    states = [MatrixProductState.from_dataset(one) for one in computed[:n_states]]
    entropy = np.array([entanglement_entropies(state)[middle] for state in states])
    even = gather(dict(zip(places, computed[n_states:], strict=False)), "algorithm").isel(
        algorithm=0, drop=True
    )
    renamed = even.even.rename(measure="even_measure")
    return tfim_standard.results(p).assign(entropy=("field", entropy), even=renamed)
