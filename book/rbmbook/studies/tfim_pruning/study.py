r"""Pruning RBMs that reconstruct ground states of the transverse-field Ising chain (Golubeva & Melko, Fig. 2
and Table I).

For each field and seed: draw sigma^z measurements of the ground state, train a dense RBM on them, then remove
a tenth of the remaining weights at a time and train on after each step. Every stage is measured against the
exact state, by enumeration where the chain is short enough and from Gibbs samples beside it. The machine is
trained twice on the same data from the same initial weights: by contrastive divergence as in the paper, and
by the exact gradient of the likelihood, which shows what is the mask and what is noise of the training.

Beside the main runs stand *convergence* runs (long training at constant and decaying rates) and *checks*: the
pruning curves under other choices of what the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.collect import gather
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising import standard
from rbmbook.studies.ising.cells import train_only
from rbmbook.studies.ising.machines import TRAINING, cell_of_run, measured, pruning_cell, with_schedule
from rbmlib.likelihood import LARGEST_HIDDEN_LAYER

ALGORITHMS = ("cd", "exact")

_BOOK: dict[str, Any] = {
    **standard.BOOK,
    "algorithms": ["cd", "exact"],
    "penalty": 1e-5,
    "tolerance": 1e-5,
    "convergence_epochs": 1500,
    "constant_rate": 0.05,
    "check_seeds": 3,
}

PROFILES = {
    "book": Profile(_BOOK, "about an hour and a half on two cores"),
    "quick": Profile(
        {
            **_BOOK,
            **standard.QUICK,
            "convergence_epochs": 0,
            "check_seeds": 0,
        },
        "about one minute on two cores",
    ),
}


@dataclass(frozen=True)
class Study:
    """Results of :func:`results`.

    Attributes
    ----------
    pruning : xarray.Dataset
        The main runs: ``training`` (field, seed, epoch, measure) by contrastive divergence; ``pruning`` and
        ``sampled`` (algorithm, field, seed, stage, measure) and the machines of every stage; ``removed``
        (stage), the share of the weights removed.
    convergence : xarray.Dataset or None
        ``training`` (rate, field, seed, epoch, measure) of the long runs.
    checks : xarray.Dataset or None
        ``pruning`` (variant, field, seed, stage, measure) under other choices; missing seeds are NaN.
    """

    pruning: xr.Dataset
    convergence: xr.Dataset | None
    checks: xr.Dataset | None


def _check(p: Mapping[str, Any]) -> None:
    """Complain about parameters that no function further down would see before hours are spent."""
    standard.check(p)
    for name in ("tolerance", "constant_rate"):
        if not (isinstance(p[name], (int, float)) and np.isfinite(p[name]) and p[name] > 0):
            raise ValueError(f"{name} must be a positive number, not {p[name]!r}")
    if not (isinstance(p["penalty"], (int, float)) and np.isfinite(p["penalty"]) and p["penalty"] >= 0):
        raise ValueError(f"penalty must be a number >= 0, not {p['penalty']!r}")
    algorithms = list(p["algorithms"])
    if not algorithms or not set(algorithms) <= set(ALGORITHMS) or len(set(algorithms)) < len(algorithms):
        raise ValueError(f"algorithms must be one or both of {', '.join(ALGORITHMS)}, not {algorithms}")
    if "exact" in algorithms and p["n_hidden"] > LARGEST_HIDDEN_LAYER:
        raise ValueError(
            f"algorithms must leave out 'exact' for n_hidden = {p['n_hidden']}: "
            f"it sums over at most {LARGEST_HIDDEN_LAYER} hidden units"
        )


def variants(p: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The other choices of the hyperparameter check: name -> (algorithm, changed parameters)."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    if "cd" in p["algorithms"]:
        for k in (1, 10):
            for schedule_name, rates in (
                ("decayed", {}),
                (
                    "constant",
                    {"learning_rate": p["constant_rate"], "final_learning_rate": p["constant_rate"]},
                ),
            ):
                for epochs in (20, 100):
                    found[f"CD-{k}, {schedule_name} rate, {epochs} epochs"] = (
                        "cd", {"k": k, "finetune_epochs": epochs, **rates},
                    )  # fmt: skip
    if "exact" in p["algorithms"]:
        found["exact, 10x penalty"] = ("exact", {"penalty": 10 * p["penalty"]})
        found["exact, 1/10 penalty"] = ("exact", {"penalty": p["penalty"] / 10})
        found["exact, 10x tolerance"] = ("exact", {"tolerance": 10 * p["tolerance"]})
    return found


def convergence_rates(p: Mapping[str, Any]) -> dict[str, tuple[int, dict[str, float]]]:
    """The long runs: name -> (number of seeds, rates)."""
    constant = p["constant_rate"]
    few = min(p["n_seeds"], max(p["check_seeds"], 1))
    return {
        f"constant {constant:g}": (
            p["n_seeds"],
            {"learning_rate": constant, "final_learning_rate": constant},
        ),
        f"constant {constant / 5:g}": (
            few,
            {"learning_rate": constant / 5, "final_learning_rate": constant / 5},
        ),
        "decayed": (few, {}),
    }


def _labelled_cells(p: Mapping[str, Any]) -> list[tuple[tuple[str, str, float, int], Cell]]:
    """Every cell with its place: (part, method or rate or variant, field, seed)."""
    _check(p)
    labelled = [
        (("pruning", algorithm, field, seed), pruning_cell(algorithm, p, field, seed))
        for algorithm in p["algorithms"]
        for seed in range(p["n_seeds"])
        for field in p["fields"]
    ]
    if p["convergence_epochs"] > 0 and "cd" in p["algorithms"]:
        for rate, (n_seeds, changes) in convergence_rates(p).items():
            labelled += [
                (
                    ("convergence", rate, field, seed),
                    cell_of_run(
                        train_only, TRAINING, p, field, seed, n_epochs=p["convergence_epochs"], **changes
                    ),
                )
                for seed in range(n_seeds)
                for field in p["fields"]
            ]
    for variant, (algorithm, changes) in variants(p).items():
        labelled += [
            (("checks", variant, field, seed), pruning_cell(algorithm, p, field, seed, **changes))
            for seed in range(p["check_seeds"])
            for field in p["fields"]
        ]
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
    parts: dict[str, dict[tuple[str, float, int], xr.Dataset]] = {}
    for ((part, *place), _), dataset in zip(labelled, found, strict=True):
        parts.setdefault(part, {})[tuple(place)] = measured(dataset)
    main = with_schedule(gather(parts["pruning"], "algorithm"), p)
    if "cd" in p["algorithms"]:
        main["training"] = main["training"].sel(algorithm="cd", drop=True)
    convergence = gather(parts["convergence"], "rate") if "convergence" in parts else None
    checks = None
    if "checks" in parts:
        checks = gather({at: one[["pruning"]] for at, one in parts["checks"].items()}, "variant")
        checks = checks.assign(removed=main.removed)
    return Study(main, convergence, checks)
