"""What the chapter on retraining says in words: findings, estimates by arm and the numbers that its sentences quote, as text.

A number that a run does not have is a dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import xarray as xr

from rbmbook.evidence.claims import Verdict, told
from rbmbook.evidence.estimates import Estimate
from rbmbook.evidence.rules import Finding, Part, counted, spanned
from rbmbook.evidence.words import DASH, MINUS
from rbmlib.analysis.drops import NEVER

from .effects import bootstrap_mean, decomposition, gain
from .rules import FAILED, RULES

if TYPE_CHECKING:
    from .study import Study


class Derived(NamedTuple):
    """What follows from a study's results.

    Attributes
    ----------
    findings : dict of str to Finding
        What the rules found, by the claim's id.
    effects : xarray.Dataset
        Of :func:`rbmbook.studies.retraining.effects.decomposition`.
    positions : dict of (str, str, str) to Estimate
        Mean position and width of the drop of Q with its interval by kind, pair and arm.
    """

    findings: dict[str, Finding]
    effects: xr.Dataset
    positions: dict[tuple[str, str, str], Estimate]


def derived(study: Study) -> Derived:
    """Findings, gains of all steps, and mean positions of the drops of Q.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.retraining.study.results` returned.
    """
    drops = study.drops.sel(measure="quality")
    positions = {
        (kind, pair, arm): bootstrap_mean(drops[kind].sel(pair=pair, arm=arm).values)
        for kind in ("position", "width")
        for pair in drops.pair.values.tolist()
        for arm in drops.arm.values.tolist()
    }
    return Derived({name: rule.find(study) for name, rule in RULES.items()}, decomposition(study), positions)


def setting(parameters: Mapping[str, Any]) -> str:
    """What a caption says of the run."""
    p = parameters
    return (
        f"{p['n_hidden']} hidden units, {p['n_replicas']} replicas, PCD-{p['k']}, {p['n_updates']:,} updates, "
        f"{p['n_samples']:,} samples a point after {p['n_steps']:,} Gibbs steps"
    )


def numbers(
    study: Study, found: Derived, verdicts: Iterable[Verdict], parameters: Mapping[str, Any]
) -> dict[str, str]:
    """The texts by the names that the chapter quotes them under.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.retraining.study.results` returned.
    found : Derived
        What :func:`derived` made of it.
    verdicts : iterable of Verdict
        What :func:`rbmbook.studies.retraining.claims.settle` made of it.
    parameters : mapping
        The parameters that it was given.
    """
    there = study.machines.quality.notnull().any("removed")
    texts = {
        "answer": _answer(study, found.findings),
        "replicas": f"{study.machines.sizes['replica']}",
        "machines": f"{int(there.sum()):,}",
        "pairs": ", ".join(study.machines.pair.values.tolist()),
        "updates": f"{parameters['n_updates']:,}",
        "bias-updates": f"{parameters['bias_updates']:,}",
        "failed": _failed(study),
        "never": _never(study, there),
        "largest-step": _largest_step(found.effects),
    }
    return texts | told(RULES, found.findings, verdicts)


def _answer(study: Study, findings: Mapping[str, Finding]) -> str:
    """What was found, in a sentence."""
    parts = findings["B5.reference-wins"].parts
    fresh = [
        Part(pair, gain(study, "position", pair, "same-mask", "retrained"), unit="%")
        for pair in study.machines.pair.values.tolist()
    ]
    return (
        f"Machines trained sparse from scratch keep their Q until {spanned(parts, '.2g')} more of all weights are gone than "
        f"retrained ones, clearly so in {counted(parts)} pairs; fresh weights under the same mask give {spanned(fresh, '.2g')}."
    )


def _failed(study: Study) -> str:
    """How many frozen machines have lost half of their base's Q."""
    base = study.base.quality
    kept = study.machines.quality.sel(arm="frozen").isel(removed=0) / base.where(base > 0)
    count = (kept <= FAILED).sum("replica").values.tolist()
    n = study.machines.sizes["replica"]
    return _listed(study, [f"{one} of {n}" for one in count])


def _never(study: Study, there: xr.DataArray) -> str:
    """Whether the grid of further pruning brackets the drops of Q."""
    position = study.drops.position.sel(measure="quality").where(there)
    never, before = int((position >= NEVER).sum()), int((there & position.isnull()).sum())
    n = int(there.sum())
    if not never and not before:
        return f"The grid of further pruning brackets the drop of Q of all {n} machines."
    return (
        f"The grid of further pruning does not bracket every drop: of {n} machines {before} had lost Q before its first point "
        f"and have no position, and {never} keep Q to its end and count as dropping where no weight is left."
    )


def _largest_step(effects: xr.Dataset) -> str:
    """Which single step is worth most by Q, of those that compare neighbours, at every pair."""
    steps = effects.sel(quantity="quality").value
    compared = [
        "biases: trained alone", "weights: trained as well as biases", "weights: fresh, not inherited",
        "mask: random, not from magnitudes",
    ]  # fmt: skip
    rows = []
    for pair in steps.pair.values:
        here = steps.sel(step=compared, pair=pair)
        if here.isnull().any():
            rows.append(DASH)
            continue
        best = int(here.argmax("step"))
        rows.append(f"{compared[best]} ({float(here[best]):+.2f})".replace("-", MINUS))
    return _listed_of(steps.pair.values.tolist(), rows)


def _listed(study: Study, rows: Sequence[str]) -> str:
    return _listed_of(study.machines.pair.values.tolist(), rows)


def _listed_of(pairs: Sequence[str], rows: Sequence[str]) -> str:
    return "; ".join(f"{row} at {pair}" for row, pair in zip(rows, pairs, strict=True))
