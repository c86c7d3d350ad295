"""What Diaz-Faloh & Mulet say of their Figs 1 to 3, and what the results say of it.

The rules are those of :mod:`rbmbook.studies.mnist_dilution.rules`. The claims are about Q, which decides them where
it can; every other measure is put to the same rule, and where it comes to another verdict the reason says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.rules import Finding, Part, decide, finding, least, missing
from rbmbook.evidence.words import number, percent, span
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.digits.drops import MEASURES
from rbmbook.studies.digits.standard import FEWEST_REPLICAS, FIG1_REMOVED, has_failed, other_machines
from rbmlib.mnist.appearance import Appearance
from rbmlib.mnist.diversity import FEWEST_ACCEPTED

from . import rules
from . import study as mnist_dilution
from .study import ORDERS, PROFILES, Study

FEWEST_SAMPLES = 1000
"""E_AAI of fewer samples says little."""
OVER_PRUNED = 0.95
"""The share removed at which failed machines are looked at."""
JUDGES = {"quality": "judge of over-pruned machines", "quality_other": "judge that saw no machine"}

Parameters = Mapping[str, Any]


def curves_of(machines: xr.Dataset) -> rules.Curves:
    """What the rules take, of those measures that every machine has at every point."""
    ordered = machines.transpose("replica", "dilution", "removed", ...)
    values = {name: ordered[name].values for name in MEASURES if np.isfinite(ordered[name]).all()}
    return rules.Curves(machines.removed.values, machines.dilution.values, values)


def diversity_rule(study: Study) -> Finding:
    """Undiluted machines at p = 0, 20 and 30 %."""
    points = study.machines.sel(dilution=0.0, removed=[0.0, *FIG1_REMOVED])
    points = points.transpose("replica", "removed", ...)
    if np.isnan(points.imbalance).any():
        return missing(f"fewer than {FEWEST_ACCEPTED} samples of a machine were accepted as digits")
    return rules.diversity_rule(points.quality.values, points.imbalance.values)


def harmless_rule(study: Study) -> Finding:
    """Unpruned machines, by both judges; the measures that need none beside it."""
    whole = study.machines.sel(removed=0.0).transpose("replica", "dilution", ...)
    paper, other = (
        rules.harmless_rule({judge: whole[name].values}, whole.dilution.values)
        for name, judge in JUDGES.items()
    )
    found = paper.beside_it(f"{_capital(other.parts[0].told)}: {other.outcome}.")
    beside = []
    for name, values in {
        "E_AAI": whole.aai,
        "E(2)": whole.second_moment,
        "log-likelihood of test images": whole.log_likelihood.sel(part="test"),
    }.items():
        first, last = (values.isel(dilution=at).mean().item() for at in (0, -1))
        beside.append(f"{name} {first:.3g} and {last:.3g}")
    return found.beside_it(f"At the least and the largest dilution: {', '.join(beside)}.")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def by_measure(rule: Callable[..., Finding]) -> Callable[[Study], Finding]:
    """A rule on Q's curves; measures whose curves come to another verdict are named beside it."""

    def find(study: Study) -> Finding:
        curves = curves_of(study.machines)
        others = {name: rule(curves, name).outcome for name in curves.values if name != "quality"}
        return _beside(rule(curves), others)

    return find


def agree_rule(study: Study) -> Finding:
    """Where the measures' drops lie, beside that of Q."""
    curves = curves_of(study.machines)
    absent = [MEASURES[name].label for name in rules.TRANSITION if name not in curves.values]
    if absent:
        return missing(
            f"needs {', '.join(absent)} of every machine; fewer than {FEWEST_ACCEPTED} samples were accepted"
        )
    found = rules.agree_rule(curves)
    by_label = [MEASURES[name].label for name in rules.TRANSITION]
    return found.beside_it(
        _apart({one: decide(part for part in found.parts if part.name.startswith(one)) for one in by_label})
    )


def crucial_rule(study: Study) -> Finding:
    """Orders of pruning, at every dilution that has controls; by a measure that does not depend on a judge's lessons."""
    if not study.controls.sizes.get("machine"):
        return missing(
            "needs machines that are also pruned in random order and largest first; this run has none"
        )
    found = _crucial(study.controls, "aai")
    known = [name for name in MEASURES if name != "aai" and np.isfinite(study.controls[name]).all()]
    return _beside(found, {name: _crucial(study.controls, name).outcome for name in known})


def _crucial(controls: xr.Dataset, name: str) -> Finding:
    parts, leads = [], []
    for p0, one in controls.groupby("dilution"):
        ordered = one[name].transpose("order", "machine", "removed")
        by_order = {order: ordered.sel(order=order).values for order in ORDERS}
        found = rules.crucial_rule(controls.removed.values, by_order, name)
        at = f"at p0 = {percent(float(p0))}"
        parts += [part._replace(name=f"{part.name} {at}") for part in found.parts]
        leads.append(f"{at} {found.lead}")
    return finding("; ".join(leads), parts, lambda parts: least(parts[::2]))


def failure_rule(study: Study) -> Finding:
    """Looks of the samples of machines that have failed."""
    machines = study.machines.transpose("replica", "dilution", "removed", ...)
    at_end = np.flatnonzero(machines.removed.values == OVER_PRUNED)
    failed = has_failed(machines.quality.values)[..., at_end]
    looks = [
        Appearance(*(float(machines[name].values[..., at_end][tuple(at)]) for name in Appearance._fields))
        for at in np.argwhere(failed)
    ]
    data = Appearance(*(study.floors[name].item() for name in Appearance._fields))
    found = rules.failure_rule(looks, data, (machines.attrs["height"], machines.attrs["width"]))
    return found.beside_it(
        f"{len(looks)} of {failed.size} machines have failed at f = {percent(OVER_PRUNED)}."
    )


def _beside(found: Finding, others: Mapping[str, str]) -> Finding:
    """A finding with the verdicts of other measures where they differ."""
    different = [f"{MEASURES[name].label} {one}" for name, one in others.items() if one != found.outcome]
    return found.beside_it(f"Other measures: {', '.join(different)}." if different else "")


def _apart(outcomes: Mapping[str, str]) -> str:
    """Each outcome with what it is of, where they are not all the same; nothing otherwise."""
    return (
        f"Apart: {', '.join(' '.join(one) for one in outcomes.items())}."
        if len(set(outcomes.values())) > 1
        else ""
    )


def _diversity_says(parts: Sequence[Part]) -> str:
    _, first, second = (number(part.estimate.value, form=".2f") for part in parts)
    return f"Removing 20 and 30 % of an undiluted machine's weights changes its effective digits by {first} and {second} of ten."


def _harmless_says(parts: Sequence[Part]) -> str:
    level, change = (number(part.estimate.value, form=".2g") for part in parts)
    return f"By the paper's kind of judge Q of unpruned machines is at least {level} at every dilution, its change {change}."


def _sharp_says(parts: Sequence[Part]) -> str:
    widths = [part for part in parts if part.name.startswith("width")]
    sharp, over = (
        sum(part.mark == "holds" for part in widths),
        span((part.estimate.value for part in widths), form=".2f"),
    )
    return f"A machine's Q drops over {over} of the drop's position; sharper than a third at {sharp} of {len(widths)} dilutions."


def _robust_says(parts: Sequence[Part]) -> str:
    return f"Per unit of dilution the position of Q's drop moves by {parts[0].estimate.value:+.2f} in the share of all weights."


def _agree_says(parts: Sequence[Part]) -> str:
    gaps = [part.estimate.value for part in parts]
    inside, side = sum(part.mark == "holds" for part in parts), "earlier" if max(gaps) < 0 else "apart"
    points = span((abs(gap) for gap in gaps), "%", ".2g").removesuffix(" %")
    return f"The other measures drop {points} points {side} than Q; {inside} of {len(parts)} lie within 5 points."


def _crucial_says(parts: Sequence[Part]) -> str:
    by_size, by_chance = ([part.estimate.value for part in parts[at::2]] for at in (0, 1))
    return (
        f"Pruning smallest first E_AAI drops {span(by_size, '%').removesuffix(' %')} points later than at random, at random "
        f"{span(by_chance, '%').removesuffix(' %')} points later than largest first."
    )


def _failure_says(parts: Sequence[Part]) -> str:
    ink, contact, variation, middle = (part.estimate.value for part in parts)
    return (
        f"Failed machines draw {ink:.2f} times the data's ink, {percent(contact)} of the way from noise to strokes, variation "
        f"{variation:.2f}, centred in {percent(middle)}."
    )


RULES = {
    "B1.diversity-falls": Rule(diversity_rule, _diversity_says),
    "B2.dilution-harmless": Rule(harmless_rule, _harmless_says),
    "B3.sharp-drop": Rule(by_measure(rules.sharp_rule), _sharp_says),
    "B3.dilute-more-robust": Rule(by_measure(rules.robust_rule), _robust_says),
    "B3.metrics-agree": Rule(agree_rule, _agree_says),
    "B3.crucial-few": Rule(crucial_rule, _crucial_says),
    "B3.failure-looks": Rule(failure_rule, _failure_says),
}
CLAIMS = tuple(RULES)


def _objection(p: Parameters) -> str | None:
    """Why a run cannot settle the claims, which are about the paper's setting; None if it can."""
    if differs := other_machines(p):
        return differs
    for name, needed in (
        ("dilutions", rules.DILUTIONS),
        ("removed", (*FIG1_REMOVED, OVER_PRUNED)),
    ):
        if missing := [share for share in needed if share not in list(p[name])]:
            return f"needs {_listed(missing)} among {name}; this run has {_listed(p[name])}"
    for name, fewest in (("n_replicas", FEWEST_REPLICAS), ("n_samples", FEWEST_SAMPLES)):
        if p[name] < fewest:
            return f"settled for {name} of at least {fewest}; this run has {p[name]}"
    return None


def _few_controls(p: Parameters) -> str | None:
    if 0 < p["control_replicas"] < FEWEST_REPLICAS and p["control_dilutions"]:
        return f"settled for control_replicas of at least {FEWEST_REPLICAS}; this run has {p['control_replicas']}"
    return None


def settle(study: Study, parameters: Parameters) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.mnist_dilution.study.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at another setting, or with too few replicas, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    objection = _objection(p)
    seeds = {name: p["control_replicas" if name == "B3.crucial-few" else "n_replicas"] for name in CLAIMS}
    objections = {
        name: objection or (_few_controls(p) if name == "B3.crucial-few" else None) for name in CLAIMS
    }
    return settle_by(RULES, study, label(PROFILES, p), seeds, objections)


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    p = resolve(PROFILES, profile)
    return settle(mnist_dilution.results(**p), p)


def _listed(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:g}" for share in shares)
