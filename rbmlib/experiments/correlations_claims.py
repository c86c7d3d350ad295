"""What Golubeva & Melko say of Fig. 4 and of larger systems, and what the results say of it.

The rules are those of :mod:`rbmlib.experiments.correlations_rules`. Each claim is of several comparisons, and its
verdict says which of them hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rbmlib.lab.claims import (
    Estimate,
    Outcome,
    Verdict,
    combine,
    decide_difference,
    decide_equivalence,
    mean_interval,
    paired_difference,
)
from rbmlib.lab.profiles import label, resolve

from . import correlations
from . import correlations_rules as rules
from .correlations import PROFILES, Study
from .correlations_rules import Part
from .objections import missing_fields, other_setting
from .tfim_pruning_rules import CRITICAL, PARAMAGNETIC

CLAIMS = (
    "A4.algebraic-to-exponential",
    "A4.larger-is-more-robust",
    "A4.connectivity-is-why",
    "A2.size-independent",
)

SIZES = (18, 50, 100)
"""The paper's lengths."""
SMALL, LARGE = SIZES[0], SIZES[1:]
PAIRS = ((18, 50), (50, 100))
FEWEST_SEEDS = {CRITICAL: 5, PARAMAGNETIC: 3}
CURVES = {"eroe": "eROE", "mroe": "mROE", "correlation_mse": "C_MSE"}
"""The measures that the paper follows at all sizes."""

Settled = tuple[Part, Sequence[Outcome], str]
"""The part whose value is shown, the outcomes that are combined, and the reason."""


def interval_text(estimate: Estimate, digits: int = 2) -> str:
    """An estimate and its interval in words."""
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def decay_parts(machines: xr.Dataset, n_spins: int, n_samples: int) -> tuple[Part, Part, float]:
    """Preference of dense machines and of those of the last iteration, and that of the exact curve.

    Where the exact curve itself prefers the exponential, the range of distances decides nothing.
    """
    last = rules.largest_distance(n_spins)
    found = rules.preferences(machines.isel(stage=[0, -1]), n_samples, last)
    control = rules.preference(machines.exact_correlation.isel(seed=0).values, n_samples, last)
    parts = []
    for stage, sign, name in ((0, 1, "dense"), (-1, -1, "last")):
        estimate = mean_interval(found[:, stage])
        outcome = decide_difference(estimate, sign) if control > 0 else "not decided"
        parts.append(Part(estimate, outcome, f"{name} {interval_text(estimate)}"))
    return parts[0], parts[1], control


def algebraic_rule(study: Study, p: Mapping[str, Any]) -> Settled:
    """Whether dense machines prefer the power law and those of the last iteration the exponential."""
    outcomes: list[Outcome] = []
    texts, shown = [], None
    removed = study.machines[LARGE[0], CRITICAL].removed.values[-1]
    for n in SIZES:
        dense, final, control = decay_parts(study.machines[n, CRITICAL], n, p["n_samples"])
        curve = study.machines[n, CRITICAL].correlation.mean("seed").isel(stage=-1).values
        smooth = rules.preference(curve, p["n_samples"], rules.largest_distance(n))
        told = (
            f"N = {n}, d <= {rules.largest_distance(n)}: exact curve {control:.2f}, {dense.text}, {final.text}, of the "
            f"mean curve {smooth:.2f}"
        )
        if n in LARGE:
            outcomes += [dense.outcome, final.outcome]
            if shown is None or final.estimate.value > shown.estimate.value:
                shown = final
            texts.append(told)
        else:
            small = f"{told}; its four distances leave two degrees of freedom, and it is left out"
    text = (
        "log ratio of the misfits, exponential over power law (positive: the power law fits better), "
        f"for dense machines and with {100 * removed:.0f} % of the weights removed: "
        + "; ".join(texts)
        + f" ({small})"
    )
    return shown, outcomes, text


def robustness_parts(study: Study, level: float, last: Callable[[int], int], of_dense: bool) -> list[Part]:
    """Differences between neighbouring sizes, larger minus smaller, of the removed share at a retained share.

    Sizes share a schedule up to rounding; shares removed are those of the largest, whose rounding is the finest. Of two
    sizes that both never fall so low nothing is known.
    """
    removed = study.machines[SIZES[-1], CRITICAL].removed.values
    at, falls = {}, {}
    for n in SIZES:
        share = rules.retained(study.machines[n, CRITICAL], last(n), of_dense)
        at[n] = rules.removed_at(share, removed, level)
        falls[n] = rules.falls_below(share, level).any()
    parts = []
    for small, large in PAIRS:
        estimate = rules.unpaired_difference(at[large], at[small])
        told = interval_text(estimate)
        if not falls[small] and not falls[large]:
            estimate, told = _unknown(estimate), "unknown, as neither falls so low"
        parts.append(Part(estimate, decide_difference(estimate, 1), f"{small} to {large} {told}"))
    return parts


def _unknown(estimate: Estimate) -> Estimate:
    """A difference of two things of which neither has come, and any could."""
    return Estimate(estimate.value, -np.inf, np.inf)


def larger_rule(study: Study, p: Mapping[str, Any]) -> Settled:
    """Whether a larger system bears a larger removed share, at light and at heavy damage."""
    outcomes: list[Outcome] = []
    texts, parts = [], []
    for level in (rules.LIGHT, rules.HEAVY):
        found = robustness_parts(study, level, rules.largest_distance, True)
        outcomes += [part.outcome for part in found]
        parts += found
        texts.append(f"at {level:g} of the dense correlation " + ", ".join(part.text for part in found))
    others = {
        f"d <= {rules.FIXED_DISTANCE}": (lambda n: rules.FIXED_DISTANCE, True),
        "the exact curve for the dense one": (rules.largest_distance, False),
    }
    beside = []
    for name, (last, of_dense) in others.items():
        each = [
            part
            for level in (rules.LIGHT, rules.HEAVY)
            for part in robustness_parts(study, level, last, of_dense)
        ]
        beside.append(f"with {name}: {combine(part.outcome for part in each)}")
    text = "gain in the share of weights removed from one size to the next, " + "; ".join(texts + beside)
    known = [part for part in parts if np.isfinite(part.estimate.low)] or parts
    return min(known, key=lambda part: part.estimate.value), outcomes, text


def connectivity_parts(study: Study, small: int, large: int) -> tuple[Part, Part]:
    """Whether the smaller size falls apart earlier, and whether its larger damage goes away among machines in one
    piece.
    """
    first, second = study.machines[small, CRITICAL], study.machines[large, CRITICAL]
    removed = first.removed.values
    pieces = [one.components.transpose("seed", "stage").values for one in (first, second)]
    shares = [rules.retained(one, rules.largest_distance(n)) for n, one in ((small, first), (large, second))]
    # In iterations, which sizes have in common; never is one after the last, the earliest that it can come.
    later = rules.unpaired_difference(*(rules.first_disconnected(piece) for piece in pieces[::-1]))
    told = f"from N = {small} to {large} it comes {interval_text(later)} iterations later"
    if not any((piece > 1).any() for piece in pieces):
        later, told = _unknown(later), f"neither at N = {small} nor at {large}"
    earlier = Part(later, decide_difference(later, 1), told)
    widest = int(np.argmax(shares[1].mean(axis=0) - shares[0].mean(axis=0)))
    everyone = rules.unpaired_difference(shares[1][:, widest], shares[0][:, widest])
    stage = rules.last_common_stage(pieces[0][:, : widest + 1], pieces[1][:, : widest + 1])
    whole = [share[piece[:, stage] == 1, stage] for share, piece in zip(shares, pieces, strict=True)]
    among = rules.unpaired_difference(whole[1], whole[0])
    if everyone.low > 0 and everyone.value > rules.GAP_MARGIN:
        outcome = decide_equivalence(among, rules.GAP_MARGIN)
        told = f"and among machines in one piece, with {100 * removed[stage]:.0f} % removed, by {interval_text(among)}"
    else:
        outcome, told = "not decided", "too little to explain"
    text = (
        f"the retained shares of {small} and {large} differ most with {100 * removed[widest]:.0f} % removed, "
        f"by {interval_text(everyone)}, {told}"
    )
    return earlier, Part(among, outcome, text)


def connectivity_rule(study: Study, p: Mapping[str, Any]) -> Settled:
    """Whether the smaller graph falls apart earlier, and whether that is the difference of robustness."""
    found = [part for pair in PAIRS for part in connectivity_parts(study, *pair)]
    counts = []
    for n in SIZES:
        pieces = study.machines[n, CRITICAL].components.transpose("seed", "stage").values
        counts.append(f"{(pieces[:, -1] > 1).sum()} of {len(pieces)} at N = {n}")
    text = (
        "graphs in several pieces at the last iteration: "
        + ", ".join(counts)
        + "; the first piece breaks off: "
        + "; ".join(part.text for part in found)
    )
    return found[1], [part.outcome for part in found], text


def order_parts(study: Study, field: float) -> list[Part]:
    """Whether pairs of observables stand in the order of their sensitivities at the smallest size.

    Pairs that the smallest size leaves open are not asked for.
    """
    reference = rules.sensitivities(study.machines[SMALL, field])
    names = sorted(reference, key=lambda name: -reference[name].mean())
    parts = []
    for i, more in enumerate(names):
        for less in names[i + 1 :]:
            if decide_difference(paired_difference(reference[more], reference[less]), 1) != "reproduced":
                continue
            for n in LARGE:
                slopes = rules.sensitivities(study.machines[n, field])
                estimate = paired_difference(slopes[more], slopes[less])
                outcome = decide_difference(estimate, 1)
                parts.append(
                    Part(estimate, outcome, f"{more} above {less} at N = {n}, h/J = {field:g} ({outcome})")
                )
    return parts


def shape_parts(study: Study, field: float) -> list[Part]:
    """Largest difference of rescaled error curves between each longer chain and the shortest, in decades.

    A curve is within the margin if its interval is at every stage, outside if it is at any stage.
    """
    parts = []
    for n in LARGE:
        for measure, name in CURVES.items():
            here = rules.decades(study.machines[n, field], measure)
            there = rules.decades(study.machines[SMALL, field], measure)
            each = [
                rules.unpaired_difference(here[:, stage], there[:, stage])
                for stage in range(1, here.shape[1])
            ]
            outcomes = [decide_equivalence(one, rules.CURVE_MARGIN) for one in each]
            worst = max(each, key=lambda one: abs(one.value))
            outcome: Outcome = (
                "not reproduced"
                if "not reproduced" in outcomes
                else "reproduced"
                if set(outcomes) == {"reproduced"}
                else "not decided"
            )
            parts.append(Part(worst, outcome, f"{name} at N = {n}, h/J = {field:g} {interval_text(worst)}"))
    return parts


def size_rule(study: Study, p: Mapping[str, Any]) -> Settled:
    """Whether longer chains have the order of sensitivities and the error curves of the shortest."""
    order = [part for field in (CRITICAL, PARAMAGNETIC) for part in order_parts(study, field)]
    shapes = [part for field in (CRITICAL, PARAMAGNETIC) for part in shape_parts(study, field)]
    within = sum(part.outcome == "reproduced" for part in shapes)
    outside = [part for part in shapes if part.outcome == "not reproduced"]
    text = (
        f"{sum(part.outcome == 'reproduced' for part in order)} of {len(order)} pairs of sensitivities that N = {SMALL} "
        f"decides stand in the same order; {within} of {len(shapes)} error curves over their dense value lie within "
        f"{rules.CURVE_MARGIN:g} decades of those of N = {SMALL} at every iteration"
    )
    if outside:
        text += ", outside are " + ", ".join(part.text for part in outside)
    worst = max(shapes, key=lambda part: abs(part.estimate.value))
    return worst, [part.outcome for part in order + shapes], text


RULES: Mapping[str, Callable[[Study, Mapping[str, Any]], Settled]] = dict(
    zip(CLAIMS, (algebraic_rule, larger_rule, connectivity_rule, size_rule), strict=True)
)


def _objection(p: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claims, which are about the paper's setting; None if it can."""
    if not set(SIZES) <= set(p["n_spins"]):
        return f"needs N = 18, 50 and 100; this run has {', '.join(map(str, p['n_spins']))}"
    expected = {"hidden_per_visible": 0.5, "prune_fraction": 0.1, "n_iterations": 18}
    if objection := missing_fields(p["field"]) or other_setting(p, expected):
        return objection
    for n in SIZES:
        for field, fewest in FEWEST_SEEDS.items():
            if (seeds := correlations.n_seeds(p, n, field)) < fewest:
                return (
                    f"needs at least {fewest} seeds at N = {n}, h/J = {field:g}; this run has {seeds} of them"
                )
    return None


def settle(study: Study, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    study : Study
        What :func:`rbmlib.experiments.correlations.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at other sizes or fields, or with too few seeds, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    profile = label(PROFILES, p)
    fewest = min(correlations.n_seeds(p, n, h) for n in p["n_spins"] for h in p["field"])
    objection = _objection(p)
    if objection is not None:
        return [Verdict(name, "not decided", None, None, fewest, profile, objection) for name in CLAIMS]
    found = []
    for name, rule in RULES.items():
        shown, outcomes, text = rule(study, p)
        seeds = min(
            correlations.n_seeds(p, n, h)
            for n in SIZES
            for h in ((CRITICAL, PARAMAGNETIC) if name == "A2.size-independent" else (CRITICAL,))
        )
        reason = text[0].upper() + text[1:] + "."
        found.append(
            Verdict(
                name,
                combine(outcomes),
                shown.estimate.value,
                shown.estimate.interval,
                seeds,
                profile,
                reason,
            )
        )
    return found


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    p = resolve(PROFILES, profile)
    return settle(correlations.results(**p), p)
