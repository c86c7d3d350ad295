r"""KL divergence and fidelity of pruned RBMs at lengths where no one can enumerate the configurations.

The machines are those of :mod:`rbmbook.studies.correlations.study`, all pruning stages of all seeds. The exact state
gives independent samples and their probabilities at any length, so that with :math:`\tilde p = Z p` of the machine

.. math:: \mathrm{KL} = \log Z + \mathbb{E}_{\mathrm{exact}} [\log p_{\mathrm{exact}}(v) - \log \tilde p(v)], \qquad
          F = \bigl( \mathbb{E}_{\mathrm{exact}} \sqrt{p(v) / p_{\mathrm{exact}}(v)} \bigr)^2 .

log Z is a sum over the hidden layer where that is short enough; else it is bracketed by annealed importance sampling
from both ends. Chains that can be enumerated go through the same estimates, which are thereby put to the test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising.cells import ground_state
from rbmbook.studies.ising.long_chains import (
    BOOK,
    QUICK,
    Place,
    check,
    is_enumerated,
    main_cell,
    n_hidden,
    n_seeds,
)
from rbmbook.studies.ising.machines import seeds_of_run
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.pruning import schedule

from .cells import compare_large

_BOOK: dict[str, Any] = {
    **BOOK,
    "exact_samples": 50_000,
    "model_samples": 20_000,
    "chain_steps": 200,
    "n_chains": 256,
    "temperatures_per_spin": 100,
    "largest_enumerated": 25,
}

PROFILES = {
    "book": Profile(
        _BOOK, "about half an hour on two cores, beside the machines of the chapter on correlations"
    ),
    "quick": Profile(
        {
            **_BOOK,
            **{name: QUICK[name] for name in ("small_seeds", "large_seeds", "n_samples", "n_epochs")},
            "n_spins": [10, 14, 24],
            "exact_samples": 10_000,
            "model_samples": 10_000,
            "largest_enumerated": 7,
        },
        "about two minutes on two cores",
    ),
}

_COMPARED = ("exact_samples", "model_samples", "chain_steps", "n_chains", "largest_enumerated")


def _check(p: Mapping[str, Any]) -> None:
    """Complain about parameters that no function further down would see before hours are spent."""
    check(p)
    for name, least in (
        ("exact_samples", 2), ("model_samples", 2), ("chain_steps", 1), ("n_chains", 2), ("temperatures_per_spin", 1),
        ("largest_enumerated", 0),
    ):  # fmt: skip
        if type(p[name]) is not int or p[name] < least:
            raise ValueError(f"{name} must be an integer >= {least}, not {p[name]!r}")
    if p["n_chains"] > p["model_samples"]:
        raise ValueError(
            f"n_chains must be at most model_samples = {p['model_samples']}, where the reverse chains start, "
            f"not {p['n_chains']}"
        )
    if p["largest_enumerated"] > 28:
        raise ValueError(f"largest_enumerated must be at most 28 units, not {p['largest_enumerated']}")


def _cell(p: Mapping[str, Any], n_spins: int, field: float, seed: int) -> Cell:
    parameters = {
        **{name: p[name] for name in _COMPARED},
        "n_temperatures": p["temperatures_per_spin"] * n_spins,
        "seed": int(derived_seed(np.uint64(seeds_of_run(field, seed)["training_seed"]), 0, 4)),
    }
    state = Cell(ground_state, {"n_spins": n_spins, "field": field})
    machines = main_cell(p, n_spins, field, seed)
    return Cell(compare_large, parameters, {"ground_state": state, "machines": machines})


def _labelled_cells(p: Mapping[str, Any]) -> list[tuple[tuple[int, float, int], Cell]]:
    """Every cell with its place: (length, field, seed)."""
    _check(p)
    return [
        ((n, float(h), seed), _cell(p, n, float(h), seed))
        for n in sorted(p["n_spins"], reverse=True)
        for h in p["field"]
        for seed in range(n_seeds(p, n, h))
    ]


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    return [cell for _, cell in _labelled_cells(resolve(PROFILES, "book", parameters))]


def results(**parameters: Any) -> dict[Place, xr.Dataset]:
    """The study's results: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    dict of (int, float) -> xarray.Dataset
        By length and field: the variables of :func:`rbmbook.studies.large_systems.cells.compare_large` with a
        dimension ``seed``, ``removed`` (stage), the share of the weights removed, and for chains that can be
        enumerated ``exact_kl`` and ``exact_log_fidelity`` (seed, stage).

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = resolve(PROFILES, "book", parameters)
    labelled = _labelled_cells(p)
    found = sweep([cell for _, cell in labelled])
    machines = sweep([cell.needs["machines"] for (n, *_), cell in labelled if is_enumerated(n)])
    enumerated = iter(machines)
    by_place: dict[Place, list[xr.Dataset]] = {}
    for ((n, field, _), _), dataset in zip(labelled, found, strict=True):
        if is_enumerated(n):
            measured = next(enumerated).pruning
            dataset = dataset.assign(
                exact_kl=("stage", measured.sel(measure="kl").values),
                exact_log_fidelity=("stage", np.log1p(-measured.sel(measure="infidelity").values)),
            )
        by_place.setdefault((n, field), []).append(dataset)
    joined = {}
    for (n, field), datasets in sorted(by_place.items()):
        index = xr.DataArray(range(len(datasets)), dims="seed", name="seed")
        kept = schedule(n * n_hidden(p, n), p["prune_fraction"], p["n_iterations"])
        joined[n, field] = xr.concat(datasets, dim=index, combine_attrs="drop").assign(
            removed=("stage", 1 - kept / kept[0]), kept=("stage", kept)
        )
    return joined
