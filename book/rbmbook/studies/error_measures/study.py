"""Error measures against the Kullback-Leibler divergence, through training and pruning (Golubeva & Melko,
Fig. 6 and App. B).

Machines are trained and pruned as in :mod:`rbmbook.studies.tfim_pruning.study`, with seeds of their own; every
measure is known by enumeration, every few epochs and at every pruning stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising import fresh_seeds as tfim_machines
from rbmbook.studies.ising.reference import LONGEST_ENUMERATED_CHAIN

_OWN: dict[str, Any] = {"fields": [1.0, 2.0]}

PROFILES = {
    "book": Profile({**tfim_machines.standard("book"), **_OWN}, "about seven minutes on two cores"),
    "quick": Profile({**tfim_machines.standard("quick"), **_OWN}, "about half a minute on two cores"),
}


def _labelled_cells(p: Mapping[str, Any]) -> dict[tuple[float, int], Cell]:
    tfim_machines.check(p, p["fields"])
    if p["n_spins"] > LONGEST_ENUMERATED_CHAIN:
        raise ValueError(
            f"n_spins must be at most {LONGEST_ENUMERATED_CHAIN}, because the KL divergence is summed over all "
            f"configurations, not {p['n_spins']}"
        )
    return {
        (float(field), seed): tfim_machines.machine_cell(p, field, seed)
        for seed in tfim_machines.seeds(p)
        for field in p["fields"]
    }


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    return list(_labelled_cells(resolve(PROFILES, "book", parameters)).values())


def results(**parameters: Any) -> xr.Dataset:
    """The study's results: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    xarray.Dataset
        ``training`` (field, seed, epoch, measure) and ``pruning`` (field, seed, stage, measure), the measures
        being those of :data:`rbmbook.studies.ising.reference.MEASURES`; ``kept`` and ``removed`` (stage).

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = resolve(PROFILES, "book", parameters)
    labelled = _labelled_cells(p)
    found = sweep(labelled.values())
    return tfim_machines.together(
        {
            at: one[["training", "pruning", "exact_correlation"]]
            for at, one in zip(labelled, found, strict=True)
        },
        p,
    )
