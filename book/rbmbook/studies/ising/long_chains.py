"""Machines for chains of any length: standard ones where those can be enumerated, else measured by Gibbs chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rbmbook.lab.cell import Cell

from .cells import ground_state
from .long_chain_cells import prune_large
from .machines import pruning_cell, seeds_of_run
from .reference import LONGEST_ENUMERATED_CHAIN

Place = tuple[int, float]
"""A chain's length and its field."""
BOOK: dict[str, Any] = {
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
}
"""The parameters that studies of these machines share and their values in the profile of this name."""
QUICK: dict[str, Any] = {
    **BOOK,
    "n_spins": [10, 24],
    "small_seeds": 3,
    "large_seeds": [3, 3],
    "n_samples": 10_000,
    "n_epochs": 100,
}

TRAINING = ("k", "batch_size", "n_epochs", "learning_rate", "final_learning_rate", "gibbs_steps")
PRUNING = ("finetune_epochs", "finetune_rate", "final_finetune_rate", "prune_fraction", "n_iterations")


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


def check(p: Mapping[str, Any]) -> None:
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
        ("n_iterations", 1), ("gibbs_steps", 1),
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


def main_cell(p: Mapping[str, Any], n_spins: int, field: float, seed: int) -> Cell:
    """The machines of one length, field and seed, dense and pruned.

    Other studies of these machines take this cell as an input. Seeds are those of
    :mod:`rbmbook.studies.tfim_pruning.study`, which shares the cells of its length.
    """
    field = float(field)
    here = {**p, "n_spins": n_spins, "n_hidden": n_hidden(p, n_spins)}
    if is_enumerated(n_spins):
        return pruning_cell("cd", here, field, seed)
    return large_cell(prune_large, (*TRAINING, *PRUNING), here, field, seed)


def large_cell(compute: Any, names: Sequence[str], p: Mapping[str, Any], field: float, seed: int) -> Cell:
    """A cell of a chain too long to enumerate: its own parameters by name, and those that all of them have."""
    shared = {"n_hidden": p["n_hidden"], "field": field, "n_samples": p["n_samples"]}
    values = {**shared, **seeds_of_run(field, seed), **{name: p[name] for name in names}}
    return Cell(compute, values, {"ground_state": state_cell(p["n_spins"], field)})


def state_cell(n_spins: int, field: float) -> Cell:
    """The cell of a ground state."""
    return Cell(ground_state, {"n_spins": n_spins, "field": field})
