"""What Golubeva & Melko say of Fig. 2, Table I and the sensitivity of observables, and what the results say
of it.

The rules are those of :mod:`rbmbook.studies.tfim_pruning.rules`. Contrastive divergence decides; the exact
gradient and the other choices of the hyperparameter check are reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.curves import onsets
from rbmbook.evidence.estimates import paired_difference
from rbmbook.evidence.rules import Finding, Part, largest, least, missing, other_setting
from rbmbook.evidence.words import DASH, MINUS, percent, removed_percent
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.ising.standard import (
    CRITICAL,
    MEASURE_NAMES,
    PARAMAGNETIC,
    PLOTTED,
    missing_fields,
    too_few_seeds,
)
from rbmlib.pruning import min_weights_to_connect, weight_concentration

from . import rules
from . import study as tfim_pruning
from .study import PROFILES, Study

# --- verdicts -------------------------------------------------------------------------------------------------------


def curves_of(study: Study, dataset: xr.Dataset, by_value: bool = False, **which: str) -> rules.Curves:
    """The curves of one way of training, with the scales of the study."""
    exact = study.pruning.exact_correlation.sel(algorithm="cd").isel(seed=0)
    scales = {float(h): float(np.sqrt((exact.sel(field=h) ** 2).mean())) for h in exact.field.values}
    return rules.Curves(dataset.pruning.sel(which), dataset.removed.values, scales, by_value)


def checked(rule: Callable[[rules.Curves], Finding]) -> Callable[[Study], Finding]:
    """A rule by contrastive divergence, with what it says of the exact gradient and of other choices beside it."""

    def find(study: Study) -> Finding:
        found = rule(curves_of(study, study.pruning, algorithm="cd"))
        if "exact" in study.pruning.algorithm:
            other = rule(curves_of(study, study.pruning, algorithm="exact"))
            found = found.beside_it(f"Exact gradient: {other.outcome} ({other.value:.3g}).")
        if study.checks is None:
            return found
        here = rule(curves_of(study, study.pruning, True, algorithm="cd")).outcome
        each = {
            str(name): rule(curves_of(study, study.checks, True, variant=name)).outcome
            for name in study.checks.variant.values
        }
        return found.beside_it(rules.outcomes_by_choice(each, here))

    return find


def converged(study: Study) -> Finding:
    """Long runs at the first rate; the others stand beside."""
    if study.convergence is None or int(study.convergence.epoch[-1]) < 1500:
        return missing("needs training runs of at least 1,500 epochs; this run has none")
    by_rate = {
        str(rate): rules.converged_rule(study.convergence.training.sel(rate=rate))
        for rate in study.convergence.rate.values
    }
    (first, found), *others = by_rate.items()
    told = "; ".join(
        f"{rate} rate: {one.outcome}, at most {rules.from_one(one.parts).told}" for rate, one in others
    )
    found = found._replace(lead=f"rate {first}: {found.lead}")
    return found.beside_it(f"{told[0].upper()}{told[1:]}." if told else "")


def _points(part: Part) -> str:
    """A slope of a relative error by the share removed, in points per 10 % removed."""
    return f"{10 * part.estimate.value:.2g}".replace("-", MINUS)


def _onset_says(parts: Sequence[Part]) -> str:
    first, latest = least(parts), largest(parts)
    held = sum(part.mark == "holds" for part in parts)
    return (
        f"{first.name} first rises with {removed_percent(first.estimate.value)} of the weights removed, {latest.name} last with "
        f"{removed_percent(latest.estimate.value)}; {held} of {len(parts)} measures near {percent((first.least + first.most) / 2)}."
    )


def _small_says(parts: Sequence[Part]) -> str:
    first, second = (f"{part.estimate.value:.2f}" for part in parts)
    beyond = {"holds": "does", "fails": "does not", "open": "may"}[parts[-1].mark]
    return (
        f"At the critical point the worst error is {first} times dense after 10 % and {second} after 19 %: it {beyond} exceed "
        f"{rules.GROWTH:g}."
    )


def _half_says(parts: Sequence[Part]) -> str:
    held, most = sum(part.mark == "holds" for part in parts), largest(parts)
    return (
        f"With half of the weights removed {held} of {len(parts)} errors stay within 1.5 times dense; {most.name} grows most, "
        f"{most.estimate.value:.2g} times."
    )


def _order_says(parts: Sequence[Part]) -> str:
    energy, correlations, step = parts
    return (
        f"Per 10 % removed, order's error grows {_points(energy)} points more than energy's, "
        f"{_points(correlations)} more than correlations'; mROE's first step adds {100 * step.estimate.value:.2g} points."
    )


def _energy_says(parts: Sequence[Part]) -> str:
    order, correlations, order_there, correlations_there = map(_points, parts)
    return (
        f"Per 10 % removed, order and correlations lose {order} and {correlations} points more than energy at criticality, "
        f"{order_there} and {correlations_there} in the paramagnet."
    )


def _converged_says(parts: Sequence[Part]) -> str:
    held, far = sum(part.mark == "holds" for part in parts), rules.from_one(parts)
    return (
        f"At rate 0.05 {held} of {len(parts)} errors surely rest within a quarter by epoch 500; farthest is {far.name}, "
        f"{far.estimate.value:.2f} times late."
    )


def _schedule_says(parts: Sequence[Part]) -> str:
    off = parts[0].estimate.value
    return f"Whole weights differ from the printed percentages by at most {off:.2g} points; one weight is {100 / 162:.2g}."


def _disconnected_says(parts: Sequence[Part]) -> str:
    if parts[0].mark == "holds":
        return "From iteration 18 on fewer than 26 weights are left, and no machine's graph is in one piece."
    return f"The graphs contradict the count: {parts[0].told}."


RULES = {
    "A2.converged-by-500": Rule(converged, _converged_says),
    "A2.pm-75": Rule(checked(lambda curves: rules.onset_rule(curves, PARAMAGNETIC, 0.75)), _onset_says),
    "A2.qcp-25": Rule(checked(lambda curves: rules.onset_rule(curves, CRITICAL, 0.25)), _onset_says),
    "A2.small-amount-hurts": Rule(checked(rules.small_amount_rule), _small_says),
    "A2.half-pm": Rule(checked(rules.half_rule), _half_says),
    "A2.disconnect-18": Rule(lambda study: rules.disconnected_rule(study.pruning), _disconnected_says),
    "A2.schedule": Rule(lambda study: rules.schedule_rule(study.pruning.kept.values), _schedule_says),
    "A3.order-parameter-first": Rule(checked(rules.order_first_rule), _order_says),
    "A3.energy-least": Rule(checked(rules.energy_least_rule), _energy_says),
}
CLAIMS = tuple(RULES)


def _objection(parameters: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claims, which are about the paper's setting; None if it can."""
    expected = {"n_spins": 18, "n_hidden": 9, "prune_fraction": 0.1, "n_iterations": 18}
    if objection := other_setting(parameters, expected) or missing_fields(parameters["fields"]):
        return objection
    if "cd" not in parameters["algorithms"]:
        return "contrastive divergence decides, and this run leaves it out"
    return too_few_seeds(parameters["n_seeds"])


def settle(study: Study, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.tfim_pruning.study.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at other sizes, or with too few seeds, decides nothing and says so.
    """
    parameters = resolve(PROFILES, "book", parameters)
    return settle_by(RULES, study, label(PROFILES, parameters), parameters["n_seeds"], _objection(parameters))


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    parameters = resolve(PROFILES, profile)
    return settle(tfim_pruning.results(**parameters), parameters)


def _onset_range(study: Study, field: float) -> str:
    """Smallest and largest first onset over the checks that train by contrastive divergence."""
    if study.checks is None or field not in study.checks.field:
        return DASH
    firsts = []
    for variant in study.checks.variant.values:
        values = curves_of(study, study.checks, variant=variant).of(field, *PLOTTED)
        if str(variant).startswith("CD") and len(values) > 1:
            firsts.append(float(onsets(values, study.checks.removed.values).min()))
    return f"{removed_percent(min(firsts))} to {removed_percent(max(firsts))}" if firsts else DASH


def _edges(study: Study) -> str:
    """Whether the last graph must fall apart, in a sentence without its full stop."""
    sizes = study.pruning.sizes["visible"], study.pruning.sizes["hidden"]
    needed, left = min_weights_to_connect(*sizes), int(study.pruning.kept.values[-1])
    told = (
        f"A graph that joins {sizes[0]} visible and {sizes[1]} hidden units needs {needed} edges, and the last iteration "
        f"leaves {left}"
    )
    return (
        f"{told}: it falls apart whatever the weights are"
        if left < needed
        else f"{told}: it need not fall apart"
    )


def numbers(study: Study) -> dict[str, str]:
    """Numbers that the chapter's sentences quote, as text; a dash where a run does not have them."""
    names = (
        "onsets-critical", "onsets-paramagnet", "onset-range-critical", "onset-range-paramagnet",
        "half-paramagnet", "first-step-critical", "slopes-critical",
        "kl-exact", "kl-data", "kl-ratio-dense", "kl-ratio-half", "fits-trapped",
        "concentration-critical", "concentration-paramagnet",
    )  # fmt: skip
    found = {**dict.fromkeys(names, DASH), "edges-needed": _edges(study)}
    fields = {float(h) for h in study.pruning.field.values}
    if "cd" not in study.pruning.algorithm or np.isnan(study.pruning.pruning.sel(measure="kl")).any():
        return found
    curves = curves_of(study, study.pruning, algorithm="cd")
    for name, field in (("critical", CRITICAL), ("paramagnet", PARAMAGNETIC)):
        if field in fields:
            dense = study.pruning.weights.sel(algorithm="cd", field=field).isel(stage=0)
            shares = [weight_concentration(weights) for weights in dense.values]
            found[f"concentration-{name}"] = f"{100 * np.mean(shares):.0f} %"
        if field in fields and study.pruning.sizes["seed"] > 1:
            each = onsets(curves.of(field, *PLOTTED), curves.removed)
            found[f"onsets-{name}"] = ", ".join(
                f"{removed_percent(onset)} ({MEASURE_NAMES[measure]})"
                for measure, onset in zip(PLOTTED, each, strict=True)
            )
            found[f"onset-range-{name}"] = _onset_range(study, field)
    half = int(np.argmax(curves.removed >= 0.5))
    if PARAMAGNETIC in fields and half > 0:
        changes = {name: curves.growth(PARAMAGNETIC, name, half).value - 1 for name in PLOTTED}
        found["half-paramagnet"] = ", ".join(
            f"{100 * change:+.0f} % ({MEASURE_NAMES[name]})" for name, change in changes.items()
        )
    if CRITICAL in fields:
        mroe = curves.of(CRITICAL, "mroe")
        step = paired_difference(mroe[:, 1], mroe[:, 0])
        found["first-step-critical"] = f"{step.value:+.5f} [{step.low:+.5f}, {step.high:+.5f}]"
        slopes = curves.slopes(CRITICAL)
        found["slopes-critical"] = ", ".join(
            f"{values.mean():.3g} ({name})" for name, values in slopes.items()
        )
        for name, measure in (("kl-exact", "kl"), ("kl-data", "kl_data")):
            found[name] = f"{curves.of(CRITICAL, measure)[:, 0].mean():.2g}"
        if "exact" in study.pruning.algorithm:
            critical = study.pruning.pruning.sel(field=CRITICAL)
            kl = critical.sel(measure="kl")
            ratio = (kl.sel(algorithm="cd") / kl.sel(algorithm="exact")).median("seed").values
            found["kl-ratio-dense"] = f"{ratio[0]:.2f} times"
            found["kl-ratio-half"] = f"{ratio[half]:.2f}"
            dense = study.pruning.pruning.sel(measure="kl_data").isel(stage=0)
            trapped = (dense.sel(algorithm="exact") > dense.sel(algorithm="cd")).values
            found["fits-trapped"] = f"{trapped.sum()} of {trapped.size}"
    return found
