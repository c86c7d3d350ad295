"""What Golubeva & Melko say of Fig. 2, Table I and the sensitivity of observables, and what the results say
of it.

The rules are those of :mod:`rbmlib.experiments.tfim_pruning_rules`. Contrastive divergence decides; the exact
gradient and the other choices of the hyperparameter check are reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from rbmlib.lab.claims import Verdict, paired_difference
from rbmlib.lab.profiles import label, resolve
from rbmlib.pruning import min_weights_to_connect, weight_concentration

from . import tfim_pruning
from . import tfim_pruning_rules as rules
from .objections import missing_fields, other_setting, too_few_seeds
from .tfim_pruning import PROFILES, Study

CLAIMS = (
    "A2.converged-by-500",
    "A2.pm-75",
    "A2.qcp-25",
    "A2.small-amount-hurts",
    "A2.half-pm",
    "A2.disconnect-18",
    "A2.schedule",
    "A3.order-parameter-first",
    "A3.energy-least",
)

# --- verdicts -------------------------------------------------------------------------------------------------------


def _beside(rule: Callable[[rules.Curves], rules.Finding], study: Study) -> str:
    """What the same rule says of the exact gradient and of the other choices."""
    parts = []
    if "exact" in study.pruning.algorithm:
        other = rule(_curves(study.pruning, algorithm="exact"))
        parts.append(f"exact gradient: {other.outcome} ({other.value:.3g})")
    if study.checks is not None:
        found = {
            str(name): rule(_curves(study.checks, variant=name)._replace(by_value=True)).outcome
            for name in study.checks.variant.values
        }
        here = rule(_curves(study.pruning, algorithm="cd")._replace(by_value=True)).outcome
        others = {
            outcome: [name for name, one in found.items() if one == outcome]
            for outcome in dict.fromkeys(found.values())
        }
        parts.append(
            f"Judged by values alone, without intervals, this is {here}, as under {len(others.pop(here, []))} of "
            f"{len(found)} other choices"
            + "".join(f"; {outcome} under {', '.join(map(repr, names))}" for outcome, names in others.items())
        )
    return ". ".join(parts)


def _curves(dataset: xr.Dataset, **which: str) -> rules.Curves:
    return rules.Curves(dataset.pruning.sel(which), dataset.removed.values)


def _scales(study: Study) -> dict[float, float]:
    exact = study.pruning.exact_correlation.sel(algorithm="cd").isel(seed=0)
    return {float(h): float(np.sqrt((exact.sel(field=h) ** 2).mean())) for h in exact.field.values}


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
        What :func:`rbmlib.experiments.tfim_pruning.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at other sizes, or with too few seeds, decides nothing and says so.
    """
    parameters = resolve(PROFILES, "book", parameters)
    profile = label(PROFILES, parameters)
    seeds = int(parameters["n_seeds"])
    objection = _objection(parameters)
    if objection is not None:
        return [Verdict(name, "not decided", None, None, seeds, profile, objection) for name in CLAIMS]
    scales = _scales(study)
    by_claim: dict[str, Callable[[rules.Curves], rules.Finding]] = {
        "A2.pm-75": lambda curves: rules.onset_rule(curves, rules.PARAMAGNETIC, 0.75),
        "A2.qcp-25": lambda curves: rules.onset_rule(curves, rules.CRITICAL, 0.25),
        "A2.small-amount-hurts": rules.small_amount_rule,
        "A2.half-pm": rules.half_rule,
        "A3.order-parameter-first": lambda curves: rules.order_first_rule(curves, scales),
        "A3.energy-least": lambda curves: rules.energy_least_rule(curves, scales),
    }
    findings: dict[str, tuple[rules.Finding, str]] = {}
    for name, rule in by_claim.items():
        found = rule(_curves(study.pruning, algorithm="cd"))
        findings[name] = found, _beside(rule, study)
    findings["A2.schedule"] = rules.schedule_rule(study), ""
    findings["A2.disconnect-18"] = rules.disconnected_rule(study), ""
    if study.convergence is not None and int(study.convergence.epoch[-1]) >= 1500:
        first, *others = study.convergence.rate.values
        beside = "; ".join(
            f"{rate} rate: {rules.converged_rule(study.convergence.training.sel(rate=rate)).outcome}"
            for rate in others
        )
        found = rules.converged_rule(study.convergence.training.sel(rate=first))
        findings["A2.converged-by-500"] = found._replace(text=f"rate {first}: {found.text}"), beside
    verdicts = []
    for name in CLAIMS:
        if name not in findings:
            reason = "needs training runs of at least 1,500 epochs; this run has none"
            verdicts.append(Verdict(name, "not decided", None, None, seeds, profile, reason))
            continue
        found, beside = findings[name]
        reason = (
            found.text[0].upper()
            + found.text[1:]
            + "."
            + (f" {beside[0].upper() + beside[1:]}." if beside else "")
        )
        verdicts.append(Verdict(name, found.outcome, found.value, found.interval, seeds, profile, reason))
    return verdicts


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    parameters = resolve(PROFILES, profile)
    return settle(tfim_pruning.results(**parameters), parameters)


NAMES = {"kl": "KL", "infidelity": "infidelity", "eroe": "eROE", "mroe": "mROE", "correlation_mse": "C_MSE"}
"""What the measures are called in a sentence."""


def _onset_range(study: Study, field: float) -> str:
    """Smallest and largest first onset over the checks that train by contrastive divergence."""
    if study.checks is None or field not in study.checks.field:
        return "\u2013"
    firsts = []
    for variant in study.checks.variant.values:
        values = _curves(study.checks, variant=variant).of(field, *rules.PLOTTED)
        if str(variant).startswith("CD") and len(values) > 1:
            firsts.append(float(rules.onsets(values, study.checks.removed.values).min()))
    return f"{rules.percent(min(firsts))} to {rules.percent(max(firsts))}" if firsts else "\u2013"


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
    found = {**dict.fromkeys(names, "\u2013"), "edges-needed": _edges(study)}
    fields = {float(h) for h in study.pruning.field.values}
    if "cd" not in study.pruning.algorithm or np.isnan(study.pruning.pruning.sel(measure="kl")).any():
        return found
    curves = _curves(study.pruning, algorithm="cd")
    for name, field in (("critical", rules.CRITICAL), ("paramagnet", rules.PARAMAGNETIC)):
        if field in fields:
            dense = study.pruning.weights.sel(algorithm="cd", field=field).isel(stage=0)
            shares = [weight_concentration(weights) for weights in dense.values]
            found[f"concentration-{name}"] = f"{100 * np.mean(shares):.0f} %"
        if field in fields and study.pruning.sizes["seed"] > 1:
            each = rules.onsets(curves.of(field, *rules.PLOTTED), curves.removed)
            found[f"onsets-{name}"] = ", ".join(
                f"{rules.percent(onset)} ({NAMES[measure]})"
                for measure, onset in zip(rules.PLOTTED, each, strict=True)
            )
            found[f"onset-range-{name}"] = _onset_range(study, field)
    half = int(np.argmax(curves.removed >= 0.5))
    if rules.PARAMAGNETIC in fields and half > 0:
        changes = {
            name: rules.growth(curves, rules.PARAMAGNETIC, name, half).value - 1 for name in rules.PLOTTED
        }
        found["half-paramagnet"] = ", ".join(
            f"{100 * change:+.0f} % ({NAMES[name]})" for name, change in changes.items()
        )
    if rules.CRITICAL in fields:
        mroe = curves.of(rules.CRITICAL, "mroe")
        step = paired_difference(mroe[:, 1], mroe[:, 0])
        found["first-step-critical"] = f"{step.value:+.5f} [{step.low:+.5f}, {step.high:+.5f}]"
        slopes = rules.slopes(curves, rules.CRITICAL, _scales(study)[rules.CRITICAL])
        found["slopes-critical"] = ", ".join(
            f"{values.mean():.3g} ({name})" for name, values in slopes.items()
        )
        for name, measure in (("kl-exact", "kl"), ("kl-data", "kl_data")):
            found[name] = f"{curves.of(rules.CRITICAL, measure)[:, 0].mean():.2g}"
        if "exact" in study.pruning.algorithm:
            critical = study.pruning.pruning.sel(field=rules.CRITICAL)
            kl = critical.sel(measure="kl")
            ratio = (kl.sel(algorithm="cd") / kl.sel(algorithm="exact")).median("seed").values
            found["kl-ratio-dense"] = f"{ratio[0]:.2f} times"
            found["kl-ratio-half"] = f"{ratio[half]:.2f}"
            dense = study.pruning.pruning.sel(measure="kl_data").isel(stage=0)
            trapped = (dense.sel(algorithm="exact") > dense.sel(algorithm="cd")).values
            found["fits-trapped"] = f"{trapped.sum()} of {trapped.size}"
    return found
