"""Other ways to prune the same machines (Golubeva & Melko, appendix A).

Every run starts from the dense machine of a standard run of :mod:`rbmbook.studies.tfim_pruning.study`, on the
same data. *Schedules* take a tenth to four tenths of the weights at once and go on in small steps, until as
few are left as at the end of the standard schedule. Each step is followed by the standard fine-tuning, so that
small steps add up to more of it; one more run halves the epochs of the small steps, which makes the training
for each weight removed about that of the standard schedule. *Controls* follow the standard schedule but
remove weights at random, or the largest first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.collect import gather
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising import standard as tfim_standard
from rbmbook.studies.ising.machines import pruning_cell, seeds_of_run
from rbmlib.pruning import CRITERIA, schedule, schedule_from_fractions

from .cells import prune_along

STANDARD = "standard"
LONGEST = 1000
"""Small steps of a schedule, at most: each is followed by fine-tuning, and all of them by a stage of the results."""
CONTROLS = tuple(name for name in CRITERIA if name != "magnitude")

_BOOK: dict[str, Any] = {
    **tfim_standard.BOOK,
    "n_seeds": 5,
    "first_fractions": [0.1, 0.2, 0.3, 0.4],
    "later_fraction": 0.05,
    "controls": ["random", "largest"],
}
_QUICK = {"n_spins": 10, "n_hidden": 5, "n_seeds": 3, "n_samples": 10_000, "batch_size": 10, "n_epochs": 200}

PROFILES = {
    "book": Profile(_BOOK, "about forty minutes on two cores, beside the standard runs"),
    "quick": Profile({**_BOOK, **_QUICK}, "about two minutes on two cores"),
}


def _check(p: Mapping[str, Any]) -> None:
    """Complain about the parameters that the standard runs do not have; those complain about theirs."""
    firsts = list(p["first_fractions"])
    if not firsts or not all(0 < one < 1 for one in firsts) or len(set(firsts)) < len(firsts):
        raise ValueError(
            f"first_fractions must be different numbers between 0 and 1, at least one, not {firsts}"
        )
    if not 0 < p["later_fraction"] < 1:
        raise ValueError(f"later_fraction must lie between 0 and 1, not {p['later_fraction']!r}")
    controls = list(p["controls"])
    if not set(controls) <= set(CONTROLS) or len(set(controls)) < len(controls):
        raise ValueError(f"controls must be among {', '.join(CONTROLS)}, each once, not {controls}")
    n_weights = p["n_spins"] * p["n_hidden"]
    last = max(float(schedule(n_weights, p["prune_fraction"], p["n_iterations"])[-1]), 0.5)
    steps = math.log(last / (n_weights * (1 - min(firsts)))) / math.log1p(-p["later_fraction"])
    if steps > LONGEST:
        raise ValueError(
            f"later_fraction must be larger than {p['later_fraction']!r}: from the first step to the {last:g} weights at the "
            f"end of the standard schedule it takes {steps:.0f} steps, and at most {LONGEST} are allowed"
        )


def n_later(p: Mapping[str, Any], first_fraction: float) -> int:
    """Number of small steps after which no more weights are left than at the end of the standard schedule."""
    n_weights = p["n_spins"] * p["n_hidden"]
    last = schedule(n_weights, p["prune_fraction"], p["n_iterations"])[-1]
    steps = 0
    while schedule_from_fractions(n_weights, [first_fraction, *[p["later_fraction"]] * steps])[-1] > last:
        steps += 1
    return steps


def runs(p: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The runs beside the standard ones: name -> parameters of :func:`prune_along`."""
    found: dict[str, dict[str, Any]] = {}
    epochs = p["finetune_epochs"]
    for first in p["first_fractions"]:
        found[f"first {100 * first:g} %"] = {
            "first_fraction": first,
            "later_fraction": p["later_fraction"],
            "n_later": n_later(p, first),
            "later_epochs": epochs,
            "criterion": "magnitude",
        }
    first = p["first_fractions"][0]
    found[halved_name(p)] = {**found[f"first {100 * first:g} %"], "later_epochs": max(1, epochs // 2)}
    for control in p["controls"]:
        found[control] = {
            "first_fraction": p["prune_fraction"],
            "later_fraction": p["prune_fraction"],
            "n_later": p["n_iterations"] - 1,
            "later_epochs": epochs,
            "criterion": control,
        }
    return found


def halved_name(p: Mapping[str, Any]) -> str:
    """Name of the run with half the epochs after its small steps."""
    return f"first {100 * p['first_fractions'][0]:g} %, half the epochs"


def _cell(p: Mapping[str, Any], field: float, seed: int, run: Mapping[str, Any]) -> Cell:
    trained = pruning_cell("cd", p, field, seed)
    seeds = seeds_of_run(float(field), seed)
    shared = {"field": float(field), "n_samples": p["n_samples"]}
    shared |= {name: seeds[name] for name in ("data_seed", "training_seed")}
    shared |= {name: p[name] for name in tfim_standard.RECIPE}
    needs = {"ground_state": trained.needs["ground_state"], "trained": trained}
    return Cell(prune_along, {**shared, **run}, needs)


def _labelled_cells(p: Mapping[str, Any]) -> list[tuple[tuple[str, float, int], Cell]]:
    """Every cell beside the standard ones with its place: (run, field, seed)."""
    _check(p)
    return [
        ((name, field, seed), _cell(p, field, seed, run))
        for name, run in runs(p).items()
        for seed in range(p["n_seeds"])
        for field in p["fields"]
    ]


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    p = resolve(PROFILES, "book", parameters)
    # The standard cells first: they complain about what all share.
    return [*tfim_standard.cells(p), *(cell for _, cell in _labelled_cells(p))]


def results(**parameters: Any) -> xr.Dataset:
    """The pruning curves of all runs: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    xarray.Dataset
        ``pruning`` and ``sampled`` (run, field, seed, stage, measure), ``components`` (run, field, seed,
        stage); ``kept`` and ``removed`` (run, stage), the number and the share of the weights. The run
        ``"standard"`` comes first. A run that ends before the longest is NaN from there on.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = resolve(PROFILES, "book", parameters)
    labelled = _labelled_cells(p)
    computed = sweep(cells(**p))[-len(labelled) :]
    names = ["pruning", "sampled", "components", "kept"]
    standard = tfim_standard.results(p)[names]
    found = {
        (STANDARD, field, seed): standard.sel(field=field, seed=seed, drop=True)
        for seed in range(p["n_seeds"])
        for field in p["fields"]
    }
    for (place, _), dataset in zip(labelled, computed, strict=True):
        # A chain too long to enumerate is measured from samples only.
        found[place] = dataset[names].assign(pruning=dataset.pruning.fillna(dataset.sampled))
    together = gather(found, "run")
    kept = together.kept.isel(field=0, seed=0, drop=True).transpose("run", "stage")
    removed = 1 - kept / np.asarray(kept.isel(stage=0))[:, None]
    return together.assign(kept=kept, removed=removed)
