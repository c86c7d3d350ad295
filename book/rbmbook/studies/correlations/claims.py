"""What Golubeva & Melko say of Fig. 4 and of larger systems, and what the results say of it.

The rules are those of :mod:`rbmbook.studies.correlations.decay`. Each claim is of several comparisons, and its
verdict says which of them hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.curves import falls_below, removed_at
from rbmbook.evidence.estimates import mean_interval, paired_difference, unpaired_difference
from rbmbook.evidence.rules import (
    Finding,
    Part,
    above,
    below,
    decide,
    every,
    farthest,
    finding,
    largest,
    other_setting,
    within,
)
from rbmbook.evidence.words import joined, number, percent, span
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.ising.long_chains import n_seeds
from rbmbook.studies.ising.standard import CRITICAL, PARAMAGNETIC, at_field, missing_fields

from . import decay as rules
from . import study as correlations
from .study import PROFILES, Study

SIZES = (18, 50, 100)
"""The paper's lengths."""
SMALL, LARGE = SIZES[0], SIZES[1:]
PAIRS = ((18, 50), (50, 100))
FEWEST_SEEDS = {CRITICAL: 5, PARAMAGNETIC: 3}
CURVES = {"eroe": "eROE", "mroe": "mROE", "correlation_mse": "C_MSE"}
"""The measures that the paper follows at all sizes."""


class Evidence(NamedTuple):
    """What the rules are given: a study's results and its parameters."""

    study: Study
    parameters: Mapping[str, Any]


def decay_parts(machines: xr.Dataset, n_spins: int, n_samples: int) -> tuple[Part, Part, float]:
    """Preference of dense machines and of those of the last iteration, and that of the exact curve.

    Where the exact curve itself prefers the exponential, the range of distances decides nothing.
    """
    last = rules.largest_distance(n_spins)
    found = rules.preferences(machines.isel(stage=[0, -1]), n_samples, last)
    control = rules.preference(machines.exact_correlation.isel(seed=0).values, n_samples, last)
    dense, final = (mean_interval(found[:, stage]) for stage in (0, 1))
    if not control > 0:
        dense, final = dense.unknown(), final.unknown()
    return (
        above(f"N = {n_spins} dense", dense, premise=True),
        below(f"N = {n_spins} after the last iteration", final),
        control,
    )


def algebraic_rule(evidence: Evidence) -> Finding:
    """Whether dense machines prefer the power law and those of the last iteration the exponential."""
    parts, controls = [], []
    for n in SIZES:
        dense, final, control = decay_parts(
            evidence.study.machines[n, CRITICAL], n, evidence.parameters["n_samples"]
        )
        controls.append(f"{control:.2f} (N = {n})")
        if n in LARGE:
            parts += [dense, final]
        else:
            small = f"N = {n} has four distances and is left out: {dense.told}, {final.told}."
    return finding(
        "log ratio of the misfits, exponential over power law (positive: the power law fits better)",
        parts,
        lambda parts: largest([part for part in parts if not part.premise]),
        f"Exact curves {', '.join(controls)}. {small}",
    )


def robustness_parts(study: Study, level: float, last: Callable[[int], int], of_dense: bool) -> list[Part]:
    """Differences between neighbouring sizes, larger minus smaller, of the removed share at a retained share.

    Sizes share a schedule up to rounding; shares removed are those of the largest, whose rounding is the finest. Of two
    sizes that both never fall so low nothing is known.
    """
    removed = study.machines[SIZES[-1], CRITICAL].removed.values
    shares = {n: rules.retained(study.machines[n, CRITICAL], last(n), of_dense) for n in SIZES}
    at = {n: removed_at(share, removed, level) for n, share in shares.items()}
    falls = {n: falls_below(share, level).any() for n, share in shares.items()}
    parts = []
    for small, large in PAIRS:
        one = unpaired_difference(at[large], at[small])
        known = falls[small] or falls[large]
        parts.append(above(f"{small} to {large} at {level:g}", one if known else one.unknown(), unit="%"))
    return parts


def larger_rule(evidence: Evidence) -> Finding:
    """Whether a larger system bears a larger removed share, at light and at heavy damage."""

    def parts(last: Callable[[int], int], of_dense: bool) -> list[Part]:
        levels = (rules.LIGHT, rules.HEAVY)
        return [part for level in levels for part in robustness_parts(evidence.study, level, last, of_dense)]

    near = decide(parts(lambda n: rules.FIXED_DISTANCE, True))
    exact = decide(parts(rules.largest_distance, False))
    beside = f"With d <= {rules.FIXED_DISTANCE}: {near}; with the exact curve for the dense one: {exact}."
    found = parts(rules.largest_distance, True)
    known = [part for part in found if np.isfinite(part.estimate.low)] or found
    lead = "gain in weights removed when so much of the dense correlation is left, from one size to the next, in points"
    return finding(lead, found, lambda _: min(known, key=lambda part: part.estimate.value), beside)


def connectivity_parts(study: Study, small: int, large: int) -> tuple[Part, Part, str]:
    """Whether the smaller size falls apart earlier, and whether its larger damage goes away among machines in one
    piece; and what there was to explain.
    """
    first, second = study.machines[small, CRITICAL], study.machines[large, CRITICAL]
    removed = first.removed.values
    pieces = [one.components.transpose("seed", "stage").values for one in (first, second)]
    shares = [rules.retained(one, rules.largest_distance(n)) for n, one in ((small, first), (large, second))]
    # In iterations, which sizes have in common; never is one after the last, the earliest that it can come.
    later = unpaired_difference(*(rules.first_disconnected(piece) for piece in pieces[::-1]))
    if not any((piece > 1).any() for piece in pieces):
        later = later.unknown()
    widest = int(np.argmax(shares[1].mean(axis=0) - shares[0].mean(axis=0)))
    everyone = unpaired_difference(shares[1][:, widest], shares[0][:, widest])
    stage = rules.last_common_stage(pieces[0][:, : widest + 1], pieces[1][:, : widest + 1])
    whole = [share[piece[:, stage] == 1, stage] for share, piece in zip(shares, pieces, strict=True)]
    among = unpaired_difference(whole[1], whole[0])
    explains = everyone.low > 0 and everyone.value > rules.GAP_MARGIN
    told = (
        f"The retained shares of {small} and {large} differ most with {percent(removed[widest])} removed, by {everyone.value:.2f}"
        f"{'' if explains else ', too little to explain'}."
    )
    return (
        above(f"iterations by which N = {large} falls apart later than {small}", later, premise=True),
        within(
            f"correlation kept by whole graphs, N = {large} less {small}",
            among if explains else among.unknown(),
            rules.GAP_MARGIN,
        ),
        told,
    )


def connectivity_rule(evidence: Evidence) -> Finding:
    """Whether the smaller graph falls apart earlier, and whether that is the difference of robustness."""
    found = [connectivity_parts(evidence.study, *pair) for pair in PAIRS]
    counts = []
    for n in SIZES:
        pieces = evidence.study.machines[n, CRITICAL].components.transpose("seed", "stage").values
        counts.append(f"{(pieces[:, -1] > 1).sum()} of {len(pieces)} at N = {n}")
    beside = f"{' '.join(told for *_, told in found)} Graphs in several pieces at the last iteration: {', '.join(counts)}."
    return finding(
        "retained shares and pieces",
        [part for one in found for part in one[:2]],
        lambda parts: parts[1],
        beside,
    )


def order_parts(study: Study, field: float) -> list[Part]:
    """Whether pairs of observables stand in the order of their sensitivities at the smallest size.

    Pairs that the smallest size leaves open are not asked for.
    """
    reference = rules.sensitivities(study.machines[SMALL, field])
    names = sorted(reference, key=lambda name: -reference[name].mean())
    parts = []
    for i, more in enumerate(names):
        for less in names[i + 1 :]:
            if above("", paired_difference(reference[more], reference[less])).mark != "holds":
                continue
            for n in LARGE:
                slopes = rules.sensitivities(study.machines[n, field])
                parts.append(
                    above(
                        f"{more} above {less} at N = {n}, {at_field(field)}",
                        paired_difference(slopes[more], slopes[less]),
                    )
                )
    return parts


def shape_parts(study: Study, field: float) -> list[Part]:
    """Largest difference of rescaled error curves between each longer chain and the shortest, in decades.

    A curve is within the margin if its interval is at every stage, outside if it is at any stage.
    """
    parts = []
    for n in LARGE:
        for measure, name in CURVES.items():
            here, there = (rules.decades(study.machines[size, field], measure) for size in (n, SMALL))
            stages = range(1, here.shape[1])
            each = [unpaired_difference(here[:, stage], there[:, stage]) for stage in stages]
            parts.append(
                every(
                    f"{name} at N = {n}, {at_field(field)}",
                    [within("", one, rules.CURVE_MARGIN, unit="decades") for one in each],
                )
            )
    return parts


def size_rule(evidence: Evidence) -> Finding:
    """Whether longer chains have the order of sensitivities and the error curves of the shortest."""
    order, shapes = (
        [part for field in (CRITICAL, PARAMAGNETIC) for part in make(evidence.study, field)]
        for make in (order_parts, shape_parts)
    )
    lead = f"order of sensitivities, and error curves over their dense value less those of N = {SMALL}"
    return finding(lead, order + shapes, lambda _: farthest(shapes))


def _algebraic_says(parts: Sequence[Part]) -> str:
    told = {"holds": "exponential", "fails": "still algebraic", "open": "undecided"}
    each = [f"{told[part.mark]} at {part.name.partition(' after')[0]}" for part in parts if not part.premise]
    return f"After the last iteration the decay of correlations is {joined(each)}."


def _larger_says(parts: Sequence[Part]) -> str:
    told = []
    for part in parts:
        sizes = part.name.partition(" at")[0].replace(" to ", "\u2192")
        gain = number(100 * part.estimate.value, form=".1f") if np.isfinite(part.estimate.low) else "unknown"
        told.append(f"{sizes} {gain}")
    half = len(told) // 2
    return (
        f"Points more that a longer chain bears until a tenth of its correlation is lost: {', '.join(told[:half])}; "
        f"half: {', '.join(told[half:])}."
    )


def _connectivity_says(parts: Sequence[Part]) -> str:
    known = [part for part in parts if not part.premise and np.isfinite(part.estimate.low)]
    if not known:
        return "No difference between sizes was large enough to explain."
    told = joined(
        f"{part.estimate.value:.2f} ({part.name.rpartition('N = ')[2].replace('less', 'against')})"
        for part in known
    )
    verb = "still" if any(part.mark == "fails" for part in known) else "only"
    return f"Among machines whose graph is whole, kept correlation {verb} differs by {told}."


def _size_says(parts: Sequence[Part]) -> str:
    shapes = [part for part in parts if part.unit == "decades"]
    inside, apart = (
        sum(part.mark == "holds" for part in shapes),
        span((abs(part.estimate.value) for part in shapes), form=".1f"),
    )
    return f"{inside} of {len(shapes)} error curves of longer chains follow N = 18 within half a decade; {apart} decades off."


RULES = {
    "A4.algebraic-to-exponential": Rule(algebraic_rule, _algebraic_says),
    "A4.larger-is-more-robust": Rule(larger_rule, _larger_says),
    "A4.connectivity-is-why": Rule(connectivity_rule, _connectivity_says),
    "A2.size-independent": Rule(size_rule, _size_says),
}
CLAIMS = tuple(RULES)


def _objection(p: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claims, which are about the paper's setting; None if it can."""
    if not set(SIZES) <= set(p["n_spins"]):
        return f"needs N = 18, 50 and 100; this run has {', '.join(map(str, p['n_spins']))}"
    expected = {"hidden_per_visible": 0.5, "prune_fraction": 0.1, "n_iterations": 18}
    if objection := missing_fields(p["field"]) or other_setting(p, expected):
        return objection
    for n in SIZES:
        for field, fewest in FEWEST_SEEDS.items():
            if (seeds := n_seeds(p, n, field)) < fewest:
                return (
                    f"needs at least {fewest} seeds at N = {n}, h/J = {field:g}; this run has {seeds} of them"
                )
    return None


def settle(study: Study, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.correlations.study.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at other sizes or fields, or with too few seeds, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    fields = {
        name: (CRITICAL, PARAMAGNETIC) if name == "A2.size-independent" else (CRITICAL,) for name in CLAIMS
    }
    objection = _objection(p)
    sizes = p["n_spins"] if objection else SIZES
    seeds = {
        name: min(n_seeds(p, n, h) for n in sizes for h in (p["field"] if objection else chosen))
        for name, chosen in fields.items()
    }
    return settle_by(RULES, Evidence(study, p), label(PROFILES, p), seeds, objection)


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    p = resolve(PROFILES, profile)
    return settle(correlations.results(**p), p)
