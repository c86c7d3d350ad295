r"""Spin correlations of pruned RBMs against the length of the chain (Golubeva & Melko, Fig. 4).

For each length, field and seed a dense RBM is trained on measurements of the ground state and pruned a tenth of the
remaining weights at a time; at every stage the correlation C(d) from the middle of the chain is measured. Chains that
can be enumerated are the cells of :mod:`rbmbook.studies.tfim_pruning.study`, where C(d) is exact; for longer ones
(:mod:`rbmbook.studies.ising.long_chain_cells`) it comes from Gibbs chains.

Beside the long chains stand two checks of what their results rest on: training that goes on for longer, and Gibbs
chains from the extremes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising.long_chain_cells import mix_large, train_large
from rbmbook.studies.ising.long_chains import (
    BOOK,
    QUICK,
    TRAINING,
    Place,
    check,
    is_enumerated,
    large_cell,
    main_cell,
    n_hidden,
    n_seeds,
    state_cell,
)
from rbmbook.studies.ising.machines import seeds_of_run
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.pruning import schedule

_BOOK: dict[str, Any] = {
    **BOOK,
    "longer_epochs": 1000,
    "mixing_chains": 10_000,
}

PROFILES = {
    "book": Profile(_BOOK, "about an hour on two cores, beside the results of the chapter on pruning"),
    "quick": Profile(
        {
            **_BOOK,
            **QUICK,
            "longer_epochs": 0,
            "mixing_chains": 1000,
        },
        "about two minutes on two cores",
    ),
}

MIXING_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Study:
    """Results of :func:`results`.

    Attributes
    ----------
    machines : dict of (int, float) -> xarray.Dataset
        By length and field: ``correlation`` (seed, stage, distance), ``sampled`` (seed, stage, measure),
        ``components`` (seed, stage), ``weights`` (seed, stage, visible, hidden), ``removed`` (stage), the share of the
        weights removed, exact and data curves; chains too long to enumerate also have a training history.
    longer : dict of (int, float) -> xarray.Dataset
        Histories of training for longer: ``training`` (epoch, measure) and observables.
    mixing : dict of (int, float) -> xarray.Dataset
        Gibbs chains from the extremes; see :func:`rbmbook.studies.ising.long_chain_cells.mix_large`.
    """

    machines: dict[Place, xr.Dataset]
    longer: dict[Place, xr.Dataset]
    mixing: dict[Place, xr.Dataset]


def _longer_cell(p: Mapping[str, Any], n_spins: int, field: float) -> Cell:
    here = {**p, "n_spins": n_spins, "n_hidden": n_hidden(p, n_spins), "n_epochs": p["longer_epochs"]}
    return large_cell(train_large, TRAINING, here, field, 0)


def mixed_stages(p: Mapping[str, Any]) -> tuple[int, ...]:
    """The stages whose chains are followed from the extremes: dense, half of the weights removed, and the last."""
    kept = schedule(1000, p["prune_fraction"], p["n_iterations"])
    half = int(np.argmin(np.abs(kept - kept[0] / 2)))
    return tuple(sorted({0, half, p["n_iterations"]}))


def _mixing_cell(p: Mapping[str, Any], n_spins: int, field: float) -> Cell:
    values = {
        "stages": mixed_stages(p),
        "steps": MIXING_STEPS,
        "n_chains": p["mixing_chains"],
        "seed": int(derived_seed(np.uint64(seeds_of_run(field, 0)["training_seed"]), 0, 3)),
    }
    needs = {"ground_state": state_cell(n_spins, field), "machines": main_cell(p, n_spins, field, 0)}
    return Cell(mix_large, values, needs)


def _check(p: Mapping[str, Any]) -> None:
    """Complain about parameters that no function further down would see before hours are spent."""
    check(p)
    for name in ("longer_epochs", "mixing_chains"):
        if type(p[name]) is not int or p[name] < 0:
            raise ValueError(f"{name} must be an integer >= 0, not {p[name]!r}")


def _labelled_cells(p: Mapping[str, Any]) -> list[tuple[tuple[str, int, float, int], Cell]]:
    """Every cell with its place: (part, length, field, seed); long chains first, for they take longest."""
    _check(p)
    lengths = sorted(p["n_spins"], reverse=True)
    labelled = [
        (("machines", n, float(h), seed), main_cell(p, n, h, seed))
        for n in lengths
        for h in p["field"]
        for seed in range(n_seeds(p, n, h))
    ]
    # The checks stand at the first field, which is the critical point in the book: the slowest chains are there.
    first = float(p["field"][0])
    for n in lengths:
        if p["longer_epochs"] > 0 and not is_enumerated(n):
            labelled.append((("longer", n, first, 0), _longer_cell(p, n, first)))
        if p["mixing_chains"] > 0 and not is_enumerated(n):
            labelled.append((("mixing", n, first, 0), _mixing_cell(p, n, first)))
    return labelled


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    return [cell for _, cell in _labelled_cells(resolve(PROFILES, "book", parameters))]


def results(**parameters: Any) -> Study:
    """The study's results: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = resolve(PROFILES, "book", parameters)
    labelled = _labelled_cells(p)
    found = sweep([cell for _, cell in labelled])
    by_place: dict[Place, list[xr.Dataset]] = {}
    study = Study({}, {}, {})
    for ((part, n, field, _), _), dataset in zip(labelled, found, strict=True):
        if part == "machines":
            by_place.setdefault((n, field), []).append(dataset)
        else:
            (study.longer if part == "longer" else study.mixing)[n, field] = dataset
    for (n, field), datasets in sorted(by_place.items()):
        index = xr.DataArray(range(len(datasets)), dims="seed", name="seed")
        joined = xr.concat(datasets, dim=index, data_vars="all", coords="minimal", compat="override")
        kept = schedule(n * n_hidden(p, n), p["prune_fraction"], p["n_iterations"])
        study.machines[n, field] = joined.assign(removed=("stage", 1 - kept / kept[0]), kept=("stage", kept))
    return study
