"""What Golubeva & Melko say of Fig. 6 and of the energy as a measure of quality, and what the results say of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from rbmlib.lab.claims import Verdict
from rbmlib.lab.profiles import resolve

from . import error_measures, tfim_machines
from . import error_measures_rules as rules
from .error_measures import PROFILES
from .tfim_pruning_rules import Finding

CLAIMS = ("A6.correlated", "A6.stage-dependent", "A6.sensitivity-order", "A6.energy-misleads")


def _energy_misleads(results: xr.Dataset) -> Finding:
    """The measures of the paper decide, with their error bars; the bare errors stand beside them."""
    found, bare = (rules.energy_misleads_rule(results, bare=bare) for bare in (False, True))
    return found._replace(
        text=f"{found.text}. eROE and mROE decide; of the bare errors the same rule says {bare.outcome}, {bare.text}"
    )


_RULES = dict(
    zip(
        CLAIMS,
        (rules.correlated_rule, rules.stage_dependent_rule, rules.sensitivity_rule, _energy_misleads),
        strict=True,
    )
)


def settle(results: xr.Dataset, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmlib.experiments.error_measures.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at another setting, or with too few seeds, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    if (objection := tfim_machines.objection(p, p["fields"], rules.FIELDS)) is not None:
        return tfim_machines.undecided(CLAIMS, objection, PROFILES, p)
    return tfim_machines.verdicts_of({name: rule(results) for name, rule in _RULES.items()}, PROFILES, p)


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    parameters = resolve(PROFILES, profile)
    return settle(error_measures.results(**parameters), parameters)
