"""What Golubeva & Melko say of Fig. 6 and of the energy as a measure of quality, and what the results say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.rules import Part, least
from rbmbook.evidence.words import DASH, MINUS, percent, span
from rbmbook.lab.profiles import resolve
from rbmbook.studies.ising import fresh_seeds as tfim_machines
from rbmbook.studies.ising.standard import CRITICAL, PARAMAGNETIC, PHYSICAL

from . import rules
from . import study as error_measures
from .study import PROFILES


def _correlated_says(parts: Sequence[Part]) -> str:
    held = sum(part.mark == "holds" for part in parts)
    return (
        f"{held} of {len(parts)} rank correlations of errors with KL are surely positive; the weakest is {least(parts).name}, "
        f"{least(parts).estimate.value:.2f}."
    )


def _stage_says(parts: Sequence[Part]) -> str:
    measures, stages = (
        span((abs(part.estimate.value) for part in parts[at::2]), form=".2f") for at in (0, 1)
    )
    return f"Rank correlations with KL differ by up to {measures} between measures and by up to {stages} between stages."


def _sensitivity_says(parts: Sequence[Part]) -> str:
    told = [f"{part.estimate.value:.2g}" for part in parts]
    return (
        f"Slopes against KL of eROE, mROE, C_MSE: {', '.join(told[:3])} at criticality, {', '.join(told[3:])} in the paramagnet; "
        "equal: 1, 0.5, 1."
    ).replace("-", MINUS)


def _misleads_says(parts: Sequence[Part]) -> str:
    told = [f"{100 * part.estimate.value:.2g}" for part in parts]
    return (
        f"With 80 % removed energy, order and correlations are {', '.join(told[:3])} % off at criticality, "
        f"{', '.join(told[3:])} % in the paramagnet."
    )


RULES = {
    "A6.correlated": Rule(rules.correlated_rule, _correlated_says),
    "A6.stage-dependent": Rule(rules.stage_dependent_rule, _stage_says),
    "A6.sensitivity-order": Rule(rules.sensitivity_rule, _sensitivity_says),
    "A6.energy-misleads": Rule(rules.energy_misleads_rule, _misleads_says),
}
CLAIMS = tuple(RULES)


def settle(results: xr.Dataset, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmbook.studies.error_measures.study.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at another setting, or with too few seeds, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    return tfim_machines.settle(
        RULES, results, PROFILES, p, tfim_machines.objection(p, p["fields"], rules.FIELDS)
    )


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    parameters = resolve(PROFILES, profile)
    return settle(error_measures.results(**parameters), parameters)


def numbers(results: xr.Dataset) -> dict[str, str]:
    """Numbers that the chapter's sentences quote, as text; a dash where a run does not have them."""
    found: dict[str, str] = {}
    half = int(np.argmax(results.removed.values >= 0.5))
    for name, field in (("critical", CRITICAL), ("paramagnet", PARAMAGNETIC)):
        there = field in {float(h) for h in results.field.values}
        for process in ("training", "pruning"):
            found[f"{process}-{name}"] = _listed(
                {one: rules.rank_correlations(results, process, field, one) for one in PHYSICAL}
                if there
                else {}
            )
        for kind, slope in (("slopes", rules.floor_subtracted_slope), ("plain-slopes", rules.plain_slope)):
            found[f"{kind}-{name}"] = _listed(
                {one: rules.slopes(results, field, one, slope) for one in PHYSICAL} if there else {}
            )
        found[f"misleading-{name}"] = _misleading(results, field) if there else DASH
        found[f"half-{name}"] = DASH
        found[f"bars-{name}"] = DASH
        if there:
            errors = rules.relative_errors(results, field)
            found[f"half-{name}"] = ", ".join(
                f"{100 * values[half]:.2g} % ({one})" for one, values in errors.items()
            )
            dense = results.pruning.sel(field=field).isel(stage=0).mean("seed")
            shares = {
                one: 1 - (dense.sel(measure=rules.BARE[one]) / dense.sel(measure=one)).item()
                for one in ("eroe", "mroe")
            }
            found[f"bars-{name}"] = " and ".join(
                f"{100 * share:.0f} % of {rules.NAMES[one]}" for one, share in shares.items()
            )
    found["half"] = percent(float(results.removed[half]))
    return found


def _listed(values: Mapping[str, np.ndarray]) -> str:
    """Means over the seeds that have a value."""
    finite = {name: each[np.isfinite(each)] for name, each in values.items()}
    parts = [
        f"{each.mean():.2f} ({rules.NAMES[name]})" if each.size else f"{DASH} ({rules.NAMES[name]})"
        for name, each in finite.items()
    ]
    return ", ".join(parts) or DASH


def _misleading(results: xr.Dataset, field: float) -> str:
    """Shares of the weights removed at which the energy misleads in absolute terms."""
    stages = rules.misleading_stages(results, field)
    if stages.size == 0:
        return "at no iteration"
    first, last = (percent(float(results.removed[stage])) for stage in (stages[0], stages[-1]))
    return f"with {first} removed" if stages.size == 1 else f"with {first} to {last} removed"
