r"""The magnetization of pruned machines (Golubeva & Melko, Fig. 3).

Machines are trained on measurements of a ground state and pruned as in
:mod:`rbmbook.studies.tfim_pruning.study`, with seeds of their own. Of every stage the distribution of the number
of up spins, and with it of :math:`m = \frac{1}{N} \sum_i \sigma^z_i`, is known by enumeration where the chain
is short enough. Beside it stand Gibbs samples, as many as the paper draws, from chains that started in both
ordered states. How often v occurs for one -v is counted in the samples and in the training set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising import fresh_seeds as tfim_machines
from rbmbook.studies.ising.reference import LONGEST_ENUMERATED_CHAIN
from rbmlib.kernels.initialisation import derived_seed

from .cells import data_ratio, gibbs_magnetization

_OWN: dict[str, Any] = {"field": 1.0, "gibbs_steps": 300, "min_counts": [10, 20, 30, 50, 100, 200]}

PROFILES = {
    "book": Profile({**tfim_machines.standard("book"), **_OWN}, "about ten minutes on two cores"),
    "quick": Profile({**tfim_machines.standard("quick"), **_OWN}, "about half a minute on two cores"),
}


def _check(p: Mapping[str, Any]) -> None:
    field = p["field"]
    if (
        isinstance(field, bool)
        or not isinstance(field, (int, float))
        or not (np.isfinite(field) and field > 0)
    ):
        raise ValueError(f"field must be a positive number (h / J), not {field!r}")
    tfim_machines.check(p, [field])
    steps = p["gibbs_steps"]
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"gibbs_steps must be an integer >= 1, not {steps!r}")
    if p["n_samples"] < 2:
        raise ValueError(f"n_samples must be at least 2, a chain from either start, not {p['n_samples']}")
    counts = list(p["min_counts"])
    whole = all(isinstance(one, int) and not isinstance(one, bool) and one >= 1 for one in counts)
    if not counts or not whole or sorted(set(counts)) != counts:
        raise ValueError(f"min_counts must be integers >= 1 in ascending order, at least one, not {counts}")


def _cells_of(p: Mapping[str, Any], seed: int) -> dict[str, Cell]:
    """A repetition's cells: machines, samples of them, training set."""
    field = float(p["field"])
    machines = tfim_machines.machine_cell(p, field, seed)
    parts = tfim_machines.seeds_of_parts(field, seed)
    counts = tuple(p["min_counts"])
    sampling_seed = int(derived_seed(np.uint64(parts["training_seed"]), 0, 2))
    return {
        "machines": machines,
        "samples": Cell(
            gibbs_magnetization,
            {
                "n_samples": p["n_samples"],
                "gibbs_steps": p["gibbs_steps"],
                "min_counts": counts,
                "sampling_seed": sampling_seed,
            },
            {"machines": machines},
        ),
        "data": Cell(
            data_ratio,
            {"n_samples": p["n_samples"], "data_seed": parts["data_seed"], "min_counts": counts},
            {"ground_state": machines.needs["ground_state"]},
        ),
    }


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    p = resolve(PROFILES, "book", parameters)
    _check(p)
    return [cell for seed in tfim_machines.seeds(p) for cell in _cells_of(p, seed).values()]


def results(**parameters: Any) -> xr.Dataset:
    """The study's results: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    xarray.Dataset
        By seed: ``up_spins`` (seed, stage, up), probability of every number of up spins of the machines, and
        ``gibbs_up_spins`` of their samples; ``data_up_spins`` and ``exact_up_spins`` (seed, up);
        ``correlation`` (seed, stage, distance), ``data_correlation`` and ``exact_correlation`` (seed,
        distance); ``relaxation`` (seed, stage, start, step); the occurrence ratios of samples (seed, stage,
        min_count) and, as ``data_...``, of training sets (seed, min_count); ``m`` (up), ``kept`` and
        ``removed`` (stage). Attributes: ``field``, ``n_samples``, and ``enumerated``, 1 if ``up_spins`` is
        exact and 0 if the chain is too long and it rests on samples.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = resolve(PROFILES, "book", parameters)
    _check(p)
    wanted = {
        (seed, name): cell for seed in tfim_machines.seeds(p) for name, cell in _cells_of(p, seed).items()
    }
    found = dict(zip(wanted, sweep(wanted.values()), strict=True))
    field = float(p["field"])
    by_seed = {
        (field, seed): xr.merge(
            [found[seed, "machines"], found[seed, "samples"], found[seed, "data"]], combine_attrs="drop"
        )
        for seed in tfim_machines.seeds(p)
    }
    joined = tfim_machines.together(by_seed, p).sel(field=field, drop=True)
    n = p["n_spins"]
    return joined.assign(m=("up", (2 * np.arange(n + 1) - n) / n)).assign_attrs(
        field=field, n_samples=p["n_samples"], enumerated=int(n <= LONGEST_ENUMERATED_CHAIN)
    )
