"""What Golubeva & Melko say of other pruning schedules (appendix A), and what the results say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.curves import doubled
from rbmbook.evidence.rules import Finding, Part, other_setting
from rbmbook.evidence.words import DASH
from rbmbook.evidence.words import removed_percent as percent
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.ising.standard import CRITICAL, PARAMAGNETIC, missing_fields, too_few_seeds

from . import rules
from . import study as schedules
from .study import PROFILES, STANDARD

FIRST_STEPS = (0.1, 0.2, 0.3, 0.4)
"""The first steps that the paper names, from 10 to 40 %."""


def _objection(parameters: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claim, which is about the paper's setting; None if it can."""
    expected = {
        "n_spins": 18,
        "n_hidden": 9,
        "prune_fraction": 0.1,
        "n_iterations": 18,
        "later_fraction": 0.05,
    }
    if objection := other_setting(parameters, expected) or missing_fields(parameters["fields"]):
        return objection
    if not set(FIRST_STEPS) <= set(parameters["first_fractions"]):
        return f"needs the first steps 10, 20, 30 and 40 %; this run has {_listed(parameters['first_fractions'])}"
    return too_few_seeds(parameters["n_seeds"])


def _listed(fractions: Any) -> str:
    return ", ".join(f"{100 * one:g} %" for one in fractions)


def schedule_finding(results: xr.Dataset) -> Finding:
    """The paper's schedules decide; half the epochs after each small step stand beside."""
    claimed = results.sel(field=[CRITICAL, PARAMAGNETIC])
    found = rules.schedule_rule(claimed, [f"first {100 * first:g} %" for first in FIRST_STEPS])
    halved = [str(run) for run in claimed.run.values if "half the epochs" in str(run)]
    beside = rules.schedule_rule(claimed, halved)
    return found.beside_it(
        f"Beside it, {halved[0]!r}: {beside.outcome}; largest displacement {rules.displaced(beside.parts).told}."
    )


def _says(parts: Sequence[Part]) -> str:
    held, far = sum(part.mark == "holds" for part in parts), rules.displaced(parts).estimate.value
    return (
        f"{held} of {len(parts)} comparisons with the standard schedule stay within a factor {rules.MARGIN:g}; the largest "
        f"displacement is \u00d7 {far:.2f}."
    )


RULES = {"A2.other-schedules": Rule(schedule_finding, _says)}
CLAIMS = tuple(RULES)


def settle(results: xr.Dataset, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmbook.studies.schedules.study.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at other sizes, or with too few seeds, decides nothing and says so.
    """
    parameters = resolve(PROFILES, "book", parameters)
    return settle_by(
        RULES, results, label(PROFILES, parameters), parameters["n_seeds"], _objection(parameters)
    )


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    parameters = resolve(PROFILES, profile)
    return settle(schedules.results(**parameters), parameters)


def share_at_doubling(results: xr.Dataset, run: str, field: float) -> float:
    """Share of the weights that a run has removed when the KL divergence has doubled."""
    removed, kl = rules.curve(results, run, field, "kl")
    return doubled(kl, removed)


def numbers(results: xr.Dataset, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Numbers that the chapter's sentences quote, as text; a dash where a run does not have them."""
    parameters = resolve(PROFILES, "book", parameters)
    places = {"critical": CRITICAL, "paramagnet": PARAMAGNETIC}
    firsts = [f"first {100 * first:g} %" for first in parameters["first_fractions"]]
    halved = schedules.halved_name(parameters)
    names = ("standard", "first-steps", "halved", "random", "largest", "ratio", "ratio-halved")
    found = {f"schedules-{name}-{place}": DASH for place in places for name in names}
    found["schedules-epochs"] = _epochs(parameters, firsts[0])
    found["schedules-epochs-halved"] = _epochs(parameters, halved)
    found["schedules-epochs-standard"] = str(parameters["finetune_epochs"] * parameters["n_iterations"])
    if np.isnan(results.pruning.sel(measure="kl")).all():
        return found
    present = {float(h) for h in results.field.values}
    for place, field in places.items():
        if field not in present:
            continue
        at = {str(run): share_at_doubling(results, str(run), field) for run in results.run.values}
        each = [at[name] for name in firsts]
        found[f"schedules-first-steps-{place}"] = _range(percent(min(each)), percent(max(each)))
        for name, run in (
            ("standard", STANDARD),
            ("halved", halved),
            ("random", "random"),
            ("largest", "largest"),
        ):
            if run in at:
                found[f"schedules-{name}-{place}"] = percent(at[run])
        here = results.sel(field=[field])
        for name, chosen in (("ratio", firsts), ("ratio-halved", [halved])):
            every = [one for run in chosen for one in rules.displacements(here, run) if one.measure == "kl"]
            if every:  # a standard schedule that ends before the other's first step has nothing to compare
                low, high = (pick(one.ratio.value for one in every) for pick in (min, max))
                found[f"schedules-{name}-{place}"] = _range(f"{low:.2f}", f"{high:.2f}")
    return found


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _epochs(parameters: Mapping[str, Any], run: str) -> str:
    """Epochs of fine-tuning that a run takes in all."""
    how = schedules.runs(parameters)[run]
    return str(parameters["finetune_epochs"] + how["n_later"] * how["later_epochs"])
