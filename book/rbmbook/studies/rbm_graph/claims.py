"""What Golubeva & Melko say of Fig. 1, and what the results say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.estimates import mean_interval, paired_difference
from rbmbook.evidence.rules import Finding, Part, above, finding, other_setting
from rbmbook.evidence.words import DASH, percent, span
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.ising.standard import CRITICAL, PARAMAGNETIC, at_field, missing_fields, too_few_seeds
from rbmlib.pruning import connected_components, weight_concentration

from . import study as rbm_graph
from .study import PROFILES

SHARE = 0.2
"""The largest fifth of the weights counts as the few large ones."""
GAUSSIAN = 0.44
"""What that fifth holds of the summed magnitude of many normal weights."""
TINY = 0.1
"""A weight below this part of the machine's largest counts as tiny where the chapter counts them."""


def concentrations(results: xr.Dataset, field: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Part of the summed magnitude in the largest fifth of the weights, for each seed: dense and initial."""
    chosen = results.sel(field=field)
    dense = chosen.weights.isel(stage=0).transpose("seed", "visible", "hidden").values
    initial = chosen.initial.transpose("seed", "visible", "hidden").values
    return tuple(np.array([weight_concentration(w, SHARE) for w in each]) for each in (dense, initial))


def few_large_rule(results: xr.Dataset) -> Finding:
    """Whether training gathers the weights' magnitude in fewer of them, at both fields."""
    parts, held = [], []
    for field in (CRITICAL, PARAMAGNETIC):
        dense, initial = concentrations(results, field)
        parts.append(above(at_field(field), paired_difference(dense, initial), unit="%"))
        held.append(f"{percent(dense.mean())} after training and {percent(initial.mean())} before it")
    kept = results.kept.values
    beside = f"It holds {'; '.join(held)}; pruning leaves {kept[-1]} of {kept[0]} edges."
    return finding(
        "gain of the largest fifth of the weights in summed magnitude, in points", parts, beside=beside
    )


def _says(parts: Sequence[Part]) -> str:
    gains = span((part.estimate.value for part in parts), "%", ".2g").removesuffix(" %")
    return f"Training raises the share of the summed magnitude that the largest fifth of the weights holds by {gains} points."


RULES = {"A1.few-large-weights": Rule(few_large_rule, _says)}
CLAIMS = tuple(RULES)


def _objection(parameters: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claim, which is about ten qubits; None if it can."""
    return (
        other_setting(parameters, {"n_spins": 10})
        or missing_fields(parameters["fields"])
        or too_few_seeds(parameters["n_seeds"])
    )


def settle(results: xr.Dataset, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmbook.studies.rbm_graph.study.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at another size, or with too few seeds, decides nothing and says so.
    """
    parameters = resolve(PROFILES, "book", parameters)
    return settle_by(
        RULES, results, label(PROFILES, parameters), parameters["n_seeds"], _objection(parameters)
    )


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    parameters = resolve(PROFILES, profile)
    return settle(rbm_graph.results(**parameters), parameters)


def numbers(results: xr.Dataset) -> dict[str, str]:
    """Numbers that the chapter's sentences quote, as text; a dash where a run does not have them."""
    places = (("critical", CRITICAL), ("paramagnet", PARAMAGNETIC))
    names = ("dense", "initial", "difference", "tiny", "ratio", "components")
    found = {f"graph-{name}-{place}": DASH for place, _ in places for name in names}
    fields = {float(h) for h in results.field.values}
    for place, field in places:
        if field not in fields:
            continue
        dense, initial = concentrations(results, field)
        change = paired_difference(dense, initial)
        weights = results.weights.sel(field=field).transpose("stage", "seed", "visible", "hidden").values
        magnitude = np.abs(weights[0]).reshape(len(dense), -1)
        largest = magnitude.max(axis=1)
        tiny = (magnitude < TINY * largest[:, None]).mean(axis=1)
        ratio = mean_interval(largest / np.median(magnitude, axis=1))
        pieces = [connected_components(machine != 0) for machine in weights[-1]]
        spread = str(min(pieces)) if min(pieces) == max(pieces) else f"{min(pieces)} to {max(pieces)}"
        values = (
            f"{100 * dense.mean():.0f} %", f"{100 * initial.mean():.0f} %",
            f"{100 * change.value:+.1f} points [{100 * change.low:+.1f}, {100 * change.high:+.1f}]",
            f"{100 * tiny.mean():.0f} %", f"{ratio.value:.0f}", spread,
        )  # fmt: skip
        found |= {f"graph-{name}-{place}": value for name, value in zip(names, values, strict=True)}
    kept = results.kept.values
    return {**found, "graph-edges": str(kept[0]), "graph-edges-left": str(kept[-1])}
