"""Cells of one machine of a short chain: where its seeds come from, and how it is trained and pruned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.pruning import schedule

from .cells import ground_state, prune_fitted, prune_trained

TRAINING = ("k", "batch_size", "n_epochs", "learning_rate", "final_learning_rate")
FINETUNING = ("finetune_epochs", "finetune_rate", "final_finetune_rate")
PRUNING = ("prune_fraction", "n_iterations")


def seeds_of_run(field: float, seed: int) -> dict[str, int]:
    """Independent seeds of data, initial weights and training; different fields share nothing."""
    word = np.uint64(round(field * 1e6))
    base = derived_seed(np.uint64(seed), 0, word)
    names = ("data_seed", "init_seed", "training_seed")
    return {name: int(derived_seed(np.uint64(base), part, 0)) for part, name in enumerate(names, start=1)}


def cell_of_run(
    compute: Any, names: Sequence[str], p: Mapping[str, Any], field: float, seed: int, **changes: Any
) -> Cell:
    """A cell of one repetition at a field: its own parameters by name, and those that all of them have."""
    field = float(field)
    values = {**p, **changes}
    shared = {
        "n_hidden": p["n_hidden"],
        "field": field,
        "n_samples": p["n_samples"],
        **seeds_of_run(field, seed),
    }
    state = Cell(ground_state, {"n_spins": p["n_spins"], "field": field})
    return Cell(compute, {**shared, **{name: values[name] for name in names}}, {"ground_state": state})


def pruning_cell(algorithm: str, p: Mapping[str, Any], field: float, seed: int, **changes: Any) -> Cell:
    """The cell that trains and prunes one machine, by contrastive divergence (``cd``) or by the exact gradient."""
    if algorithm == "cd":
        return cell_of_run(prune_trained, (*TRAINING, *FINETUNING, *PRUNING), p, field, seed, **changes)
    return cell_of_run(prune_fitted, ("penalty", "tolerance", *PRUNING), p, field, seed, **changes)


def measured(dataset: xr.Dataset) -> xr.Dataset:
    """A result as it is read: a chain too long to enumerate is measured from samples only."""
    return (
        dataset.assign(pruning=dataset.pruning.fillna(dataset.sampled)) if "pruning" in dataset else dataset
    )


def with_schedule(results: xr.Dataset, p: Mapping[str, Any]) -> xr.Dataset:
    """Add what the schedule leaves: ``kept`` weights and the share ``removed`` of all (stage)."""
    n_weights = p["n_spins"] * p["n_hidden"]
    kept = schedule(n_weights, p["prune_fraction"], p["n_iterations"])
    return results.assign(kept=("stage", kept), removed=("stage", 1 - kept / n_weights))
