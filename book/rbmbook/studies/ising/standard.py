"""The standard pruning runs, as other studies take them up: contrastive divergence and nothing beside it.

A study that is about these runs, or compares others with them, has their parameters under the names of
:mod:`rbmbook.studies.tfim_pruning.study` and asks for the same cells, so that no machine is trained twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.collect import gather
from rbmbook.lab.sweep import sweep

from .machines import measured, pruning_cell, with_schedule

CRITICAL, PARAMAGNETIC = 1.0, 2.0
MEASURE_NAMES = {
    "kl": "KL",
    "infidelity": "infidelity",
    "eroe": "eROE",
    "mroe": "mROE",
    "correlation_mse": "C_MSE",
}
"""What the measures are called in a sentence."""
PLOTTED = tuple(MEASURE_NAMES)
"""The measures of the paper's Fig. 2."""
PHYSICAL = ("eroe", "mroe", "correlation_mse")
FEWEST_SEEDS = 5

BOOK: dict[str, Any] = {
    "n_spins": 18,
    "n_hidden": 9,
    "fields": [1.0, 2.0],
    "n_seeds": 10,
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
}
"""The parameters of a standard run and their values in the profile of this name."""
QUICK: dict[str, Any] = {
    **BOOK,
    "n_spins": 10,
    "n_hidden": 5,
    "n_seeds": 5,
    "n_samples": 10_000,
    "batch_size": 10,
    "n_epochs": 200,
}

NAMES = tuple(BOOK)
"""The parameters of a standard run."""
RECIPE = NAMES[NAMES.index("k") : NAMES.index("prune_fraction")]
"""Those of them that make a :class:`rbmbook.studies.ising.cells.Recipe`."""


def check(p: Mapping[str, Any]) -> None:
    """Complain about parameters that cannot be meant, before hours are spent; those of parts that a study may leave out count
    where it has them.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    for name in (
        "n_spins",
        "n_hidden",
        "n_seeds",
        "n_samples",
        "k",
        "batch_size",
        "n_epochs",
        "finetune_epochs",
        "n_iterations",
    ):
        least = 2 if name == "n_spins" else 1
        if isinstance(p[name], bool) or not isinstance(p[name], int) or p[name] < least:
            raise ValueError(f"{name} must be an integer >= {least}, not {p[name]!r}")
    for name in (given for given in ("convergence_epochs", "check_seeds") if given in p):
        if isinstance(p[name], bool) or not isinstance(p[name], int) or p[name] < 0:
            raise ValueError(f"{name} must be an integer >= 0 (0 leaves that part out), not {p[name]!r}")
    for name in (
        "learning_rate", "final_learning_rate", "finetune_rate", "final_finetune_rate",
    ):  # fmt: skip
        if not (isinstance(p[name], (int, float)) and np.isfinite(p[name]) and p[name] > 0):
            raise ValueError(f"{name} must be a positive number, not {p[name]!r}")
    if not 0 <= p["prune_fraction"] < 1:
        raise ValueError(f"prune_fraction must lie in [0, 1), not {p['prune_fraction']!r}")
    fields = list(p["fields"])
    if not fields or not all(np.isfinite(h) and h > 0 for h in fields) or len(set(fields)) < len(fields):
        raise ValueError(f"fields must be different positive numbers (h / J), at least one, not {fields}")
    if p.get("check_seeds", 0) > p["n_seeds"]:
        raise ValueError(f"check_seeds must be at most n_seeds = {p['n_seeds']}, not {p['check_seeds']}")


def cells(p: Mapping[str, Any]) -> list[Cell]:
    """The runs of all seeds and fields, the fields of a seed together.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    check(p)
    return [pruning_cell("cd", p, field, seed) for seed in range(p["n_seeds"]) for field in p["fields"]]


def results(p: Mapping[str, Any]) -> xr.Dataset:
    """Their results: ``training`` (field, seed, epoch, measure), ``pruning`` (field, seed, stage, measure),
    the machines of every stage, ``kept`` and ``removed`` (stage).
    """
    places = [("cd", field, seed) for seed in range(p["n_seeds"]) for field in p["fields"]]
    found = dict(zip(places, map(measured, sweep(cells(p))), strict=True))
    return with_schedule(gather(found, "algorithm"), p).sel(algorithm="cd", drop=True)


def missing_fields(fields: Iterable[float]) -> str | None:
    """The critical point or the paramagnet is not among the fields."""
    given = [float(field) for field in fields]
    if {CRITICAL, PARAMAGNETIC} <= set(given):
        return None
    return f"needs h/J = 1 and 2; this run has {', '.join(f'{h:g}' for h in given)}"


def too_few_seeds(n_seeds: int) -> str | None:
    """An interval over so few seeds says nothing."""
    return f"needs at least {FEWEST_SEEDS} seeds; this run has {n_seeds}" if n_seeds < FEWEST_SEEDS else None


def at_field(field: float) -> str:
    """A field in the names of parts."""
    return f"h/J = {field:g}"
