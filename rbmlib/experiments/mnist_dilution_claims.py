"""What Diaz-Faloh & Mulet say of their Figs 1 to 3, and what the results say of it.

The rules are those of :mod:`rbmlib.experiments.mnist_dilution_rules`. The claims are about Q, which decides them where
it can; every other measure is put to the same rule, and where it comes to another verdict the reason says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rbmlib.lab.claims import Outcome, Verdict, combine
from rbmlib.lab.profiles import label, resolve
from rbmlib.mnist.appearance import Appearance
from rbmlib.mnist.diversity import FEWEST_ACCEPTED

from . import mnist_dilution
from . import mnist_dilution_rules as rules
from .mnist_dilution import ORDERS, PROFILES, Study
from .objections import other_machines
from .quality_drops import MEASURES
from .tfim_pruning_rules import Finding

CLAIMS = (
    "B1.diversity-falls",
    "B2.dilution-harmless",
    "B3.sharp-drop",
    "B3.dilute-more-robust",
    "B3.metrics-agree",
    "B3.crucial-few",
    "B3.failure-looks",
)

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


def diversity_rule(study: Study, p: Parameters) -> Finding:
    """Undiluted machines at p = 0, 20 and 30 %."""
    points = study.machines.sel(dilution=0.0, removed=[0.0, *rules.FIG1_REMOVED])
    points = points.transpose("replica", "removed", ...)
    if np.isnan(points.imbalance).any():
        return _open(f"fewer than {FEWEST_ACCEPTED} samples of a machine were accepted as digits")
    return rules.diversity_rule(points.quality.values, points.imbalance.values, points.entropy.values)


def harmless_rule(study: Study, p: Parameters) -> Finding:
    """Unpruned machines, by both judges; the measures that need none beside it."""
    whole = study.machines.sel(removed=0.0).transpose("replica", "dilution", ...)
    by_judge = {judge: whole[name].values for name, judge in JUDGES.items()}
    found = rules.harmless_rule(by_judge, whole.dilution.values)
    each = {
        judge: rules.harmless_rule({judge: one}, whole.dilution.values).outcome
        for judge, one in by_judge.items()
    }
    dense, diluted = whole.isel(dilution=0), whole.isel(dilution=-1)
    beside = ", ".join(
        f"{name} {first.mean().item():.3g} and {last.mean().item():.3g}"
        for name, first, last in (
            ("E_AAI", dense.aai, diluted.aai),
            ("E(2)", dense.second_moment, diluted.second_moment),
            (
                "log-likelihood of test images",
                *(one.log_likelihood.sel(part="test") for one in (dense, diluted)),
            ),
        )
    )
    text = f"{found.text}{_apart(each)}; at the least and the largest dilution: {beside}"
    return Finding(found.value, found.interval, found.outcome, text)


def by_measure(rule: Callable[..., Finding]) -> Callable[[Study, Parameters], Finding]:
    """A rule on Q's curves; where other measures' curves come to another verdict its sentence names them."""

    def settled(study: Study, p: Parameters) -> Finding:
        curves = curves_of(study.machines)
        found = rule(curves)
        return _beside(
            found, {name: rule(curves, name).outcome for name in curves.values if name != "quality"}
        )

    return settled


def agree_rule(study: Study, p: Parameters) -> Finding:
    """Where the measures' drops lie, beside that of Q."""
    curves = curves_of(study.machines)
    missing = [MEASURES[name].label for name in rules.TRANSITION if name not in curves.values]
    if missing:
        return _open(
            f"needs {', '.join(missing)} of every machine; fewer than {FEWEST_ACCEPTED} samples were accepted"
        )
    found = rules.agree_rule(curves)
    each = {MEASURES[name].label: rules.agree_rule(curves, [name]).outcome for name in rules.TRANSITION}
    return Finding(found.value, found.interval, found.outcome, found.text + _apart(each))


def crucial_rule(study: Study, p: Parameters) -> Finding:
    """Orders of pruning, at every dilution that has controls; by a measure that does not depend on a judge's lessons."""
    if not study.controls.sizes.get("machine"):
        return _open(
            "needs machines that are also pruned in random order and largest first; this run has none"
        )
    by_dilution = list(study.controls.groupby("dilution"))
    found = [_crucial(one, "aai") for _, one in by_dilution]
    at = [f"{100 * float(p0):.0f} %" for p0, _ in by_dilution]
    least = min(found, key=lambda one: one.value)
    text = "; ".join(f"at p0 = {share}: {one.text}" for share, one in zip(at, found, strict=True))
    whole = Finding(least.value, least.interval, combine(one.outcome for one in found), text)
    others = {}
    for name in MEASURES:
        if name != "aai" and np.isfinite(study.controls[name]).all():
            others[name] = combine(_crucial(one, name).outcome for _, one in by_dilution)
    return _beside(whole, others)


def _crucial(controls: xr.Dataset, name: str) -> Finding:
    ordered = controls[name].transpose("order", "machine", "removed")
    return rules.crucial_rule(
        controls.removed.values, {order: ordered.sel(order=order).values for order in ORDERS}, name
    )


def failure_rule(study: Study, p: Parameters) -> Finding:
    """Looks of the samples of machines that have failed."""
    machines = study.machines.transpose("replica", "dilution", "removed", ...)
    at_end = np.flatnonzero(machines.removed.values == OVER_PRUNED)
    failed = rules.has_failed(machines.quality.values)[..., at_end]
    looks = [
        Appearance(*(float(machines[name].values[..., at_end][tuple(at)]) for name in Appearance._fields))
        for at in np.argwhere(failed)
    ]
    data = Appearance(*(study.floors[name].item() for name in Appearance._fields))
    found = rules.failure_rule(looks, data, (machines.attrs["height"], machines.attrs["width"]))
    text = (
        f"{found.text}; {len(looks)} of {failed.size} machines have failed at f = {100 * OVER_PRUNED:.0f} %"
    )
    return Finding(found.value, found.interval, found.outcome, text)


RULES: Mapping[str, Callable[[Study, Parameters], Finding]] = dict(
    zip(
        CLAIMS,
        (
            diversity_rule,
            harmless_rule,
            by_measure(rules.sharp_rule),
            by_measure(rules.robust_rule),
            agree_rule,
            crucial_rule,
            failure_rule,
        ),
        strict=True,
    )
)


def _objection(p: Parameters) -> str | None:
    """Why a run cannot settle the claims, which are about the paper's setting; None if it can."""
    if differs := other_machines(p):
        return differs
    for name, needed in (
        ("dilutions", rules.DILUTIONS),
        ("removed", (*rules.FIG1_REMOVED, OVER_PRUNED)),
    ):
        if missing := [share for share in needed if share not in list(p[name])]:
            return f"needs {_listed(missing)} among {name}; this run has {_listed(p[name])}"
    for name, fewest in (("n_replicas", rules.FEWEST_REPLICAS), ("n_samples", FEWEST_SAMPLES)):
        if p[name] < fewest:
            return f"settled for {name} of at least {fewest}; this run has {p[name]}"
    return None


def _few_controls(p: Parameters) -> str | None:
    if 0 < p["control_replicas"] < rules.FEWEST_REPLICAS and p["control_dilutions"]:
        return f"settled for control_replicas of at least {rules.FEWEST_REPLICAS}; this run has {p['control_replicas']}"
    return None


def settle(study: Study, parameters: Parameters) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    study : Study
        What :func:`rbmlib.experiments.mnist_dilution.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at another setting, or with too few replicas, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    profile, n = label(PROFILES, p), int(p["n_replicas"])
    objection = _objection(p)
    found = []
    for name, rule in RULES.items():
        why = objection or (_few_controls(p) if rule is crucial_rule else None)
        finding = _open(why) if why else rule(study, p)
        open_ended = not np.isfinite(finding.interval).any()
        found.append(
            Verdict(
                name,
                finding.outcome,
                None if open_ended else float(finding.value),
                None if open_ended else tuple(float(end) for end in finding.interval),
                int(p["control_replicas"]) if rule is crucial_rule else n,
                profile,
                finding.sentence,
            )
        )
    return found


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    p = resolve(PROFILES, profile)
    return settle(mnist_dilution.results(**p), p)


def _open(reason: str) -> Finding:
    return Finding(0.0, (-np.inf, np.inf), "not decided", reason)


def _beside(found: Finding, others: Mapping[str, Outcome]) -> Finding:
    """A finding by Q, with the verdicts of other measures where they differ."""
    different = {
        MEASURES[name].label: outcome for name, outcome in others.items() if outcome != found.outcome
    }
    text = (
        "; other measures: " + ", ".join(f"{name} {one}" for name, one in different.items())
        if different
        else ""
    )
    return Finding(found.value, found.interval, found.outcome, found.text + text)


def _apart(outcomes: Mapping[str, Outcome]) -> str:
    """Each outcome with what it is of, where they are not all the same; nothing otherwise."""
    if len(set(outcomes.values())) < 2:
        return ""
    return "; apart: " + ", ".join(f"{name} {outcome}" for name, outcome in outcomes.items())


def _listed(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:g}" for share in shares)
