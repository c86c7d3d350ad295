"""Machines trained and pruned as in :mod:`rbmbook.studies.tfim_pruning.study`, for studies that look at them from
another side.

The cells are those of that study, by contrastive divergence; studies that ask for the same seeds share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.rules import other_setting
from rbmbook.lab.cell import Cell
from rbmbook.lab.collect import gather
from rbmbook.lab.profiles import Profile, label

from . import standard as tfim_standard
from .machines import pruning_cell, seeds_of_run, with_schedule
from .standard import too_few_seeds

SHARED = tuple(name for name in tfim_standard.NAMES if name != "fields")
"""The parameters of a machine's training and pruning."""

FIRST_FRESH_SEED = 10
"""The rules of these studies were thought out when the results of seeds 0 to 9 were known: those judge nothing here."""


def standard(profile: str) -> dict[str, Any]:
    """The shared parameters of a profile, with seeds that the pruning study does not use."""
    parameters = {"book": tfim_standard.BOOK, "quick": tfim_standard.QUICK}[profile]
    return {**{name: parameters[name] for name in SHARED}, "first_seed": FIRST_FRESH_SEED}


def check(p: Mapping[str, Any], fields: Sequence[float]) -> None:
    """Complain about shared parameters and fields that cannot be meant, before hours are spent."""
    tfim_standard.check({**p, "fields": fields})
    first = p["first_seed"]
    if isinstance(first, bool) or not isinstance(first, int) or first < 0:
        raise ValueError(f"first_seed must be an integer >= 0, not {first!r}")


def seeds(p: Mapping[str, Any]) -> range:
    """Numbers of the repetitions."""
    return range(p["first_seed"], p["first_seed"] + p["n_seeds"])


def seeds_of_parts(field: float, seed: int) -> dict[str, int]:
    """``data_seed``, ``init_seed`` and ``training_seed`` of a repetition."""
    return seeds_of_run(field, seed)


def machine_cell(p: Mapping[str, Any], field: float, seed: int) -> Cell:
    """The cell that trains and prunes one repetition's machine."""
    return pruning_cell("cd", p, field, seed)


def together(datasets: Mapping[tuple[float, int], xr.Dataset], p: Mapping[str, Any]) -> xr.Dataset:
    """Join results by (field, seed) and add what the schedule removes."""
    joined = gather({("cd", *at): one for at, one in datasets.items()}, "algorithm")
    return with_schedule(joined.sel(algorithm="cd", drop=True), p)


def objection(p: Mapping[str, Any], fields: Sequence[float], needed: Sequence[float]) -> str | None:
    """Why a run cannot settle claims about the paper's setting; None if it can."""
    expected = {"n_spins": 18, "n_hidden": 9, "prune_fraction": 0.1, "n_iterations": 18}
    if differs := other_setting(p, expected):
        return differs
    if not set(needed) <= {float(h) for h in fields}:
        wanted, given = (" and ".join(f"{h:g}" for h in values) for values in (needed, fields))
        return f"needs h/J = {wanted}; this run has {given}"
    if few := too_few_seeds(p["n_seeds"]):
        return few
    if p["first_seed"] < FIRST_FRESH_SEED:
        return (
            f"the rules were thought out on seeds below {FIRST_FRESH_SEED}, which judge nothing here; "
            f"this run starts at seed {p['first_seed']}"
        )
    return None


def settle(
    rules: Mapping[str, Rule],
    results: xr.Dataset,
    profiles: Mapping[str, Profile],
    p: Mapping[str, Any],
    why: str | None,
) -> list[Verdict]:
    """Verdicts by rules; not decided, and why, where there is an objection."""
    return settle_by(rules, results, label(profiles, p), p["n_seeds"], why)
