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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.likelihood import LARGEST_HIDDEN_LAYER
from rbmlib.pruning import schedule

from .tfim_cells import ground_state, prune_fitted, prune_trained, train_only

ALGORITHMS = ("cd", "exact")

_BOOK: dict[str, Any] = {
    "n_spins": 18,
    "n_hidden": 9,
    "fields": [1.0, 2.0],
    "n_seeds": 10,
    "n_samples": 100_000,
    "algorithms": ["cd", "exact"],
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
            "n_spins": 10,
            "n_hidden": 5,
            "n_seeds": 5,
            "n_samples": 10_000,
            "batch_size": 10,
            "n_epochs": 200,
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
    for name in ("convergence_epochs", "check_seeds"):
        if isinstance(p[name], bool) or not isinstance(p[name], int) or p[name] < 0:
            raise ValueError(f"{name} must be an integer >= 0 (0 leaves that part out), not {p[name]!r}")
    for name in (
        "learning_rate", "final_learning_rate", "finetune_rate", "final_finetune_rate", "tolerance", "constant_rate",
    ):  # fmt: skip
        if not (isinstance(p[name], (int, float)) and np.isfinite(p[name]) and p[name] > 0):
            raise ValueError(f"{name} must be a positive number, not {p[name]!r}")
    if not (isinstance(p["penalty"], (int, float)) and np.isfinite(p["penalty"]) and p["penalty"] >= 0):
        raise ValueError(f"penalty must be a number >= 0, not {p['penalty']!r}")
    if not 0 <= p["prune_fraction"] < 1:
        raise ValueError(f"prune_fraction must lie in [0, 1), not {p['prune_fraction']!r}")
    fields = list(p["fields"])
    if not fields or not all(np.isfinite(h) and h > 0 for h in fields) or len(set(fields)) < len(fields):
        raise ValueError(f"fields must be different positive numbers (h / J), at least one, not {fields}")
    algorithms = list(p["algorithms"])
    if not algorithms or not set(algorithms) <= set(ALGORITHMS) or len(set(algorithms)) < len(algorithms):
        raise ValueError(f"algorithms must be one or both of {', '.join(ALGORITHMS)}, not {algorithms}")
    if "exact" in algorithms and p["n_hidden"] > LARGEST_HIDDEN_LAYER:
        raise ValueError(
            f"algorithms must leave out 'exact' for n_hidden = {p['n_hidden']}: "
            f"it sums over at most {LARGEST_HIDDEN_LAYER} hidden units"
        )
    if p["check_seeds"] > p["n_seeds"]:
        raise ValueError(f"check_seeds must be at most n_seeds = {p['n_seeds']}, not {p['check_seeds']}")


def _seeds(field: float, seed: int) -> dict[str, int]:
    """Independent seeds of data, initial weights and training; different fields share nothing."""
    word = np.uint64(round(field * 1e6))
    base = derived_seed(np.uint64(seed), 0, word)
    names = ("data_seed", "init_seed", "training_seed")
    return {name: int(derived_seed(np.uint64(base), part, 0)) for part, name in enumerate(names, start=1)}


_TRAINING = ("k", "batch_size", "n_epochs", "learning_rate", "final_learning_rate")
_FINETUNING = ("finetune_epochs", "finetune_rate", "final_finetune_rate")
_PRUNING = ("prune_fraction", "n_iterations")


def _cell(
    compute: Any, names: Sequence[str], p: Mapping[str, Any], field: float, seed: int, **changes: Any
) -> Cell:
    field = float(field)
    values = {**p, **changes}
    shared = {"n_hidden": p["n_hidden"], "field": field, "n_samples": p["n_samples"], **_seeds(field, seed)}
    state = Cell(ground_state, {"n_spins": p["n_spins"], "field": field})
    return Cell(compute, {**shared, **{name: values[name] for name in names}}, {"ground_state": state})


def _main_cell(algorithm: str, p: Mapping[str, Any], field: float, seed: int, **changes: Any) -> Cell:
    if algorithm == "cd":
        return _cell(prune_trained, (*_TRAINING, *_FINETUNING, *_PRUNING), p, field, seed, **changes)
    return _cell(prune_fitted, ("penalty", "tolerance", *_PRUNING), p, field, seed, **changes)


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
        (("pruning", algorithm, field, seed), _main_cell(algorithm, p, field, seed))
        for algorithm in p["algorithms"]
        for seed in range(p["n_seeds"])
        for field in p["fields"]
    ]
    if p["convergence_epochs"] > 0 and "cd" in p["algorithms"]:
        for rate, (n_seeds, changes) in convergence_rates(p).items():
            labelled += [
                (
                    ("convergence", rate, field, seed),
                    _cell(train_only, _TRAINING, p, field, seed, n_epochs=p["convergence_epochs"], **changes),
                )
                for seed in range(n_seeds)
                for field in p["fields"]
            ]
    for variant, (algorithm, changes) in variants(p).items():
        labelled += [
            (("checks", variant, field, seed), _main_cell(algorithm, p, field, seed, **changes))
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
        if "pruning" in dataset:
            # A chain too long to enumerate is measured from samples only.
            dataset = dataset.assign(pruning=dataset.pruning.fillna(dataset.sampled))
        parts.setdefault(part, {})[tuple(place)] = dataset
    main = _together(parts["pruning"], "algorithm")
    n_weights = p["n_spins"] * p["n_hidden"]
    kept = schedule(n_weights, p["prune_fraction"], p["n_iterations"])
    main = main.assign(kept=("stage", kept), removed=("stage", 1 - kept / n_weights))
    if "cd" in p["algorithms"]:
        main["training"] = main["training"].sel(algorithm="cd", drop=True)
    convergence = _together(parts["convergence"], "rate") if "convergence" in parts else None
    checks = None
    if "checks" in parts:
        checks = _together({at: one[["pruning"]] for at, one in parts["checks"].items()}, "variant")
        checks = checks.assign(removed=("stage", 1 - kept / n_weights))
    return Study(main, convergence, checks)


def _together(datasets: Mapping[tuple[str, float, int], xr.Dataset], name: str) -> xr.Dataset:
    """Join cells along (name, field, seed), in the order in which they come; what is missing is NaN."""

    def ordered(values: Iterable[Any]) -> list[Any]:
        return list(dict.fromkeys(values))

    def joined(parts: Sequence[xr.Dataset], dim: str, values: list[Any]) -> xr.Dataset:
        index = xr.DataArray(values, dims=dim, name=dim)
        return xr.concat(parts, dim=index, data_vars="all", coords="minimal", join="outer", compat="override")

    firsts = ordered(first for first, _, _ in datasets)
    outer = []
    for first in firsts:
        fields = ordered(field for label, field, _ in datasets if label == first)
        rows = []
        for field in fields:
            seeds = [seed for label, h, seed in datasets if label == first and h == field]
            rows.append(joined([datasets[first, field, seed] for seed in seeds], "seed", seeds))
        outer.append(joined(rows, "field", fields))
    return joined(outer, name, firsts)
