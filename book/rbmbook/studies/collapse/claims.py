"""What Diaz-Faloh & Mulet say of their Fig. 4a, and what the results say of it.

The rule was written when the curves of machines with their biases as trained had been looked at, and before the results of
machines with compensated biases, of which no more was known than E_AAI of one machine at each of three dilutions. Q decides,
the quantity of the figure; other measures stand beside, and so do compensated machines, which the paper does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import xarray as xr

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.estimates import Estimate
from rbmbook.evidence.rules import Finding, Part, above, finding, missing, within
from rbmbook.evidence.words import percent
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.digits.drops import MEASURES
from rbmbook.studies.digits.standard import other_machines

from . import numbers as told
from . import study as collapse
from .study import BIASES, PROFILES, STEP

ALPHA_MARGIN = 0.1
"""Of alpha: at p0 = 80 % it moves a curve by eight points."""
STEP_MARGIN = 0.05
"""Of the position of the step, in shares of all weights."""
BETWEEN = 0.5
"""The exponent of the width half-way between curves that are alike in f, 0, and on p*, 1."""
FEWEST_REPLICAS = 5
FEWEST_SAMPLES = 1000
FARTHEST = 0.8
"""The largest dilution of the paper."""


class Evidence(NamedTuple):
    """What the rule is given."""

    machines: xr.Dataset
    found: told.Derived


def collapse_parts(one: told.Curves) -> list[Part]:
    """Alpha, step and scale of one measure's curves; none where it has no drop."""
    if one.collapse is None:
        return []
    parts = [
        within("alpha", Estimate(*one.collapse.alpha), ALPHA_MARGIN, told.PAPER_ALPHA),
        within("step on p*", Estimate(*one.collapse.step), STEP_MARGIN, STEP, "%"),
    ]
    if one.exponent is not None:
        parts.append(above("width in f, exponent", one.exponent, BETWEEN))
    return parts


def collapse_rule(evidence: Evidence) -> Finding:
    """Whether Q's curves fall on one another on p* with alpha = 0.5 and step at 50 %, and whether p* is their scale."""
    found = evidence.found
    parts = collapse_parts(found[BIASES[0], "quality"]) if (BIASES[0], "quality") in found else []
    if len(parts) < 3:
        return missing("needs a drop of Q in every machine; some of this run have none")
    beside = []
    for biases in BIASES:
        for name, measure in MEASURES.items():
            if (biases, name) == (BIASES[0], "quality") or (biases, name) not in found:
                continue
            others = collapse_parts(found[biases, name])
            text = "; ".join(f"{part.told}, {part.mark}" for part in others) or "no drop at some dilution"
            beside.append(f"{measure.label}, biases {biases}: {text}.")
    return finding("Q", parts, beside=" ".join(beside))


def _says(parts: Sequence[Part]) -> str:
    alpha, step, width = parts
    scale = {"holds": "p* is the scale", "fails": "f is the scale", "open": "p* and f are level"}
    return (
        f"By Q the best alpha is {alpha.estimate.value:.2f}, the step lies at p* = {percent(step.estimate.value)}; "
        f"by widths {scale[width.mark]}."
    )


RULES: dict[str, Rule] = {"B4.collapse": Rule(collapse_rule, _says)}
CLAIMS = tuple(RULES)


def _objection(p: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claim, which is about the paper's setting; None if it can."""
    if differs := other_machines(p):
        return differs
    if missing_ones := [p0 for p0 in (0.0, FARTHEST) if p0 not in list(p["dilutions"])]:
        return f"needs {missing_ones} among dilutions; this run has {list(p['dilutions'])}"
    for name, fewest in (("n_replicas", FEWEST_REPLICAS), ("n_samples", FEWEST_SAMPLES)):
        if p[name] < fewest:
            return f"settled for {name} of at least {fewest}; this run has {p[name]}"
    return None


def settle(machines: xr.Dataset, found: told.Derived, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdict on the claim.

    Parameters
    ----------
    machines : xarray.Dataset
        What :func:`rbmbook.studies.collapse.study.results` returned.
    found : Derived
        What :func:`rbmbook.studies.collapse.numbers.derived` made of it.
    parameters : mapping
        The parameters that it was given.
    """
    p = resolve(PROFILES, "book", parameters)
    return settle_by(
        RULES, Evidence(machines, found), label(PROFILES, p), int(p["n_replicas"]), _objection(p)
    )


def verdicts(profile: str) -> list[Verdict]:
    """The verdict from the stored results of a profile."""
    p = resolve(PROFILES, profile)
    machines = collapse.results(**p)
    return settle(machines, told.derived(machines), p)
