r"""Spin correlations of pruned RBMs against the length of the chain (Golubeva & Melko, Fig. 4).

For each length, field and seed a dense RBM is trained on measurements of the ground state and pruned a tenth of the
remaining weights at a time; at every stage the correlation C(d) from the middle of the chain is measured. Chains that
can be enumerated are the cells of :mod:`rbmbook.studies.tfim_pruning`, where C(d) is exact; for longer ones
(:mod:`rbmbook.studies.tfim_large_cells`) it comes from Gibbs chains.

Beside the long chains stand two checks of what their results rest on: training that goes on for longer, and Gibbs
chains from the extremes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.pruning import schedule

from . import tfim_pruning
from .tfim_cells import ground_state
from .tfim_large_cells import mix_large, prune_large, train_large
from .tfim_measures import LONGEST_ENUMERATED_CHAIN

_BOOK: dict[str, Any] = {
    "n_spins": [18, 50, 100],
    "field": [1.0, 2.0],
    "hidden_per_visible": 0.5,
    "small_seeds": 10,
    "large_seeds": [5, 3],
    "n_samples": 100_000,
    "k": 10,
    "batch_size": 100,
    "n_epochs": 500,
    "learning_rate": 0.1,
    "final_learning_rate": 0.001,
    "finetune_epochs": 20,
    "finetune_rate": 0.01,
    "final_finetune_rate": 0.001,
    "prune_fraction": 0.1,
    "n_iterations": 18,
    "gibbs_steps": 100,
    "longer_epochs": 1000,
    "mixing_chains": 10_000,
}

PROFILES = {
    "book": Profile(_BOOK, "about an hour on two cores, beside the results of the chapter on pruning"),
    "quick": Profile(
        {
            **_BOOK,
            "n_spins": [10, 24],
            "small_seeds": 3,
            "large_seeds": [3, 3],
            "n_samples": 10_000,
            "n_epochs": 100,
            "longer_epochs": 0,
            "mixing_chains": 1000,
        },
        "about two minutes on two cores",
    ),
}

MIXING_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

Place = tuple[int, float]
"""A chain's length and its field."""


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
        Gibbs chains from the extremes; see :func:`rbmbook.studies.tfim_large_cells.mix_large`.
    """

    machines: dict[Place, xr.Dataset]
    longer: dict[Place, xr.Dataset]
    mixing: dict[Place, xr.Dataset]


def n_hidden(p: Mapping[str, Any], n_spins: int) -> int:
    """Hidden units of the machine for a chain of this length, at least one."""
    return max(1, round(n_spins * p["hidden_per_visible"]))


def is_enumerated(n_spins: int) -> bool:
    """Whether the machines for a chain of this length are measured over all configurations."""
    return n_spins <= LONGEST_ENUMERATED_CHAIN


def n_seeds(p: Mapping[str, Any], n_spins: int, field: float) -> int:
    """Seeds at a length and a field; the last number of ``large_seeds`` counts for all further fields."""
    if is_enumerated(n_spins):
        return p["small_seeds"]
    index = list(p["field"]).index(field)
    return p["large_seeds"][min(index, len(p["large_seeds"]) - 1)]


def _check(p: Mapping[str, Any]) -> None:
    """Complain about parameters that no function further down would see before hours are spent."""
    for name, least in (("n_spins", 4), ("large_seeds", 1)):
        values = list(p[name])
        if not values or not all(type(value) is int and value >= least for value in values):
            raise ValueError(f"{name} must be a list of integers >= {least}, at least one, not {values}")
    if len(set(p["n_spins"])) < len(p["n_spins"]):
        raise ValueError(f"n_spins must be different lengths, not {list(p['n_spins'])}")
    fields = list(p["field"])
    if not fields or not all(np.isfinite(h) and h > 0 for h in fields) or len(set(fields)) < len(fields):
        raise ValueError(f"field must be different positive numbers (h / J), at least one, not {fields}")
    for name, least in (
        ("small_seeds", 1), ("n_samples", 1), ("k", 1), ("batch_size", 1), ("n_epochs", 1), ("finetune_epochs", 1),
        ("n_iterations", 1), ("gibbs_steps", 1), ("longer_epochs", 0), ("mixing_chains", 0),
    ):  # fmt: skip
        if type(p[name]) is not int or p[name] < least:
            raise ValueError(f"{name} must be an integer >= {least}, not {p[name]!r}")
    for name in (
        "hidden_per_visible", "learning_rate", "final_learning_rate", "finetune_rate", "final_finetune_rate",
    ):  # fmt: skip
        if not (isinstance(p[name], (int, float)) and np.isfinite(p[name]) and p[name] > 0):
            raise ValueError(f"{name} must be a positive number, not {p[name]!r}")
    if not 0 <= p["prune_fraction"] < 1:
        raise ValueError(f"prune_fraction must lie in [0, 1), not {p['prune_fraction']!r}")


_TRAINING = ("k", "batch_size", "n_epochs", "learning_rate", "final_learning_rate", "gibbs_steps")
_PRUNING = ("finetune_epochs", "finetune_rate", "final_finetune_rate", "prune_fraction", "n_iterations")


def main_cell(p: Mapping[str, Any], n_spins: int, field: float, seed: int) -> Cell:
    """The machines of one length, field and seed, dense and pruned.

    Other studies of these machines take this cell as an input. Seeds are those of
    :mod:`rbmbook.studies.tfim_pruning`, which shares the cells of its length.
    """
    field = float(field)
    here = {**p, "n_spins": n_spins, "n_hidden": n_hidden(p, n_spins)}
    if is_enumerated(n_spins):
        return tfim_pruning._main_cell("cd", here, field, seed)
    return _large_cell(prune_large, (*_TRAINING, *_PRUNING), here, field, seed)


def _large_cell(compute: Any, names: Sequence[str], p: Mapping[str, Any], field: float, seed: int) -> Cell:
    shared = {"n_hidden": p["n_hidden"], "field": field, "n_samples": p["n_samples"]}
    values = {**shared, **tfim_pruning._seeds(field, seed), **{name: p[name] for name in names}}
    return Cell(compute, values, {"ground_state": _state_cell(p["n_spins"], field)})


def _state_cell(n_spins: int, field: float) -> Cell:
    return Cell(ground_state, {"n_spins": n_spins, "field": field})


def _longer_cell(p: Mapping[str, Any], n_spins: int, field: float) -> Cell:
    here = {**p, "n_spins": n_spins, "n_hidden": n_hidden(p, n_spins), "n_epochs": p["longer_epochs"]}
    return _large_cell(train_large, _TRAINING, here, field, 0)


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
        "seed": int(derived_seed(np.uint64(tfim_pruning._seeds(field, 0)["training_seed"]), 0, 3)),
    }
    needs = {"ground_state": _state_cell(n_spins, field), "machines": main_cell(p, n_spins, field, 0)}
    return Cell(mix_large, values, needs)


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
