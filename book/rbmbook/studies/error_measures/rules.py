r"""Rules on error measures against the KL divergence: from several seeds to a finding with an interval.

For a small error :math:`\epsilon` of the state the KL divergence, the mean squared error of the correlations and
the error of the energy are of order :math:`\epsilon^2`, the error of the order parameter of order
:math:`\epsilon`. A measure that reacts to pruning as KL does, at its own order, therefore grows as
:math:`\mathrm{KL}^{1}`, or as :math:`\mathrm{KL}^{1/2}` for the order parameter: the slopes of equal
sensitivity.

Every threshold stands here. The seeds of the pruning study
(0 to 9) were known by then; they judge nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import spearmanr

from rbmbook.evidence.estimates import Estimate, mean_interval
from rbmbook.evidence.estimates import slopes as least_squares
from rbmbook.evidence.rules import Finding, Part, above, below, finding, largest_excess, least
from rbmbook.evidence.words import percent
from rbmbook.studies.ising.standard import CRITICAL, FEWEST_SEEDS, PARAMAGNETIC, PHYSICAL, at_field

FIELDS = (CRITICAL, PARAMAGNETIC)
NAMES = {"eroe": "eROE", "mroe": "mROE", "correlation_mse": "C_MSE"}

EARLY_TRAINING = 0.1
"""Share of the epochs that is early training."""
EARLY_PRUNING = 0.5
"""Share of the iterations, dense machine included, that is early pruning."""
STAGES = ("early training", "late training", "early pruning", "late pruning")

STRONG = 0.2
"""Two rank correlations that differ by more than this differ strongly."""
CONFIDENCE = 0.95

EQUAL_SENSITIVITY: Mapping[str, float] = {"eroe": 1.0, "mroe": 0.5, "correlation_mse": 1.0}
"""Slope of log error against log KL of a measure as sensitive as KL, at its own order in the state's error."""
MORE_SENSITIVE = {"eroe": -1, "mroe": 1, "correlation_mse": 1}
"""The side of that slope on which the paper puts each measure."""
LEAST_RISE = 1.0
"""Stages count towards a slope once KL has risen by at least this multiple of its dense value."""
FEWEST_STAGES = 3

ACCURATE_ENERGY = 1.5
"""An eROE of at most this multiple of its dense value is still accurate."""
BAD_ORDER, BAD_CORRELATIONS = 2.0, 4.0
"""An mROE of at least twice, a C_MSE of at least four times its dense value are strong deviations: the correlations'
deviation itself has then doubled too."""
MISLEADING_LIMITS = {"eroe": ACCURATE_ENERGY, "mroe": BAD_ORDER, "correlation_mse": BAD_CORRELATIONS}
ACCURATE_RELATIVE, BAD_RELATIVE = 0.01, 0.1
"""Relative errors that count as accurate and as badly off."""
MISLEADING_SHARE = 0.8
"""Share of the weights removed at which the energy is compared with order and correlations."""


def within(results: xr.Dataset, stage: str) -> xr.DataArray:
    """The measures during a stage (field, seed, time, measure): one of ``STAGES``, "training" or "pruning"."""
    when, _, process = stage.rpartition(" ")
    dimension = {"training": "epoch", "pruning": "stage"}[process]
    values = results[process]
    share = values[dimension].values / values[dimension].values[-1]
    early = share <= {"training": EARLY_TRAINING, "pruning": EARLY_PRUNING}[process]
    chosen = {"": early | True, "early": early, "late": ~early}[when]
    return values.isel({dimension: chosen}).rename({dimension: "time"})


def rank_correlations(results: xr.Dataset, stage: str, field: float, measure: str) -> NDArray[np.float64]:
    """Spearman's rank correlation of a measure with KL during a stage, per seed; NaN where either is constant."""
    values = (
        within(results, stage).sel(field=field).dropna("seed", how="all").transpose("seed", "time", "measure")
    )
    pairs = zip(values.sel(measure="kl").values, values.sel(measure=measure).values, strict=True)
    return np.array([_spearman(kl, error) for kl, error in pairs])


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return float(spearmanr(first, second).statistic)


def interval(values: NDArray[np.float64], confidence: float = CONFIDENCE) -> Estimate | None:
    """Mean over the seeds that have a value, with its interval; None if too few have one."""
    finite = values[np.isfinite(values)]
    return mean_interval(finite, confidence) if len(finite) >= FEWEST_SEEDS else None


def correlations_by_stage(results: xr.Dataset) -> xr.Dataset:
    """Mean rank correlations with KL and their intervals: ``value``, ``low``, ``high`` (field, time, measure).

    ``time`` holds ``STAGES``. NaN where too few seeds have a value.
    """
    fields = [float(h) for h in results.field.values]
    found = np.full((3, len(fields), len(STAGES), len(PHYSICAL)), np.nan)
    for place in np.ndindex(found.shape[1:]):
        one = interval(rank_correlations(results, STAGES[place[1]], fields[place[0]], PHYSICAL[place[2]]))
        if one is not None:
            found[(slice(None), *place)] = one.value, one.low, one.high
    return xr.Dataset(
        {
            name: (("field", "time", "measure"), part)
            for name, part in zip(("value", "low", "high"), found, strict=True)
        },
        {"field": fields, "time": list(STAGES), "measure": list(PHYSICAL)},
    )


def _known(one: Estimate | None) -> Estimate:
    """An estimate, or one of which nothing is known."""
    return Estimate(0.0, -np.inf, np.inf) if one is None else one


def correlated_rule(results: xr.Dataset) -> Finding:
    """Whether every physical measure goes up and down with KL, in training and in pruning, at both fields."""
    parts = [
        above(
            f"{NAMES[name]} in {process} at {at_field(field)}",
            _known(interval(rank_correlations(results, process, field, name))),
        )
        for process in ("training", "pruning")
        for field in FIELDS
        for name in PHYSICAL
    ]
    return finding(
        "mean rank correlations with KL", parts, lambda parts: min(parts, key=lambda part: part.estimate.low)
    )


def stage_dependent_rule(results: xr.Dataset) -> Finding:
    """Whether, at both fields, rank correlations differ between measures, and strongly between stages.

    Of all pairs of measures in all stages one must differ, and of all pairs of stages for all measures one must
    differ by more than the margin; intervals are widened so that all of a kind hold together (Bonferroni).
    """
    parts = []
    for field in FIELDS:
        found = {
            (stage, name): rank_correlations(results, stage, field, name)
            for stage in STAGES
            for name in PHYSICAL
        }
        between_measures = {
            f"{NAMES[a]} less {NAMES[b]} in {stage}": found[stage, a] - found[stage, b]
            for stage in STAGES
            for a, b in combinations(PHYSICAL, 2)
        }
        between_stages = {
            f"{NAMES[name]} in {a} less {b}": found[a, name] - found[b, name]
            for name in PHYSICAL
            for a, b in combinations(STAGES, 2)
        }
        parts += [
            some_differ(at_field(field), between_measures, 0.0),
            some_differ(at_field(field), between_stages, STRONG),
        ]
    return finding(
        "largest differences of mean rank correlations", parts, lambda parts: least([parts[1], parts[3]])
    )


def some_differ(name: str, differences: Mapping[str, NDArray[np.float64]], margin: float) -> Part:
    """The difference that is surest to exceed a margin in size; it fails if all lie inside ``STRONG``."""
    confidence = 1 - (1 - CONFIDENCE) / len(differences)
    found = {key: interval(values, confidence) for key, values in differences.items()}
    known = {key: one for key, one in found.items() if one is not None}
    if not known:
        return above(name, _known(None), margin)
    key = max(known, key=lambda key: max(known[key].low, -known[key].high))
    one = known[key]
    inside = len(known) == len(found) and all(max(-each.low, each.high) <= STRONG for each in known.values())
    bound = max(margin, STRONG) if inside and max(one.low, -one.high) <= margin else margin
    side = above if one.value >= 0 else below
    return side(f"{key} at {name}", one, bound if one.value >= 0 else -bound)


# --- sensitivity ----------------------------------------------------------------------------------------------------


def floor_subtracted_slope(kl: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """Least-squares slope of log error against log KL along the pruning stages, both above their dense value.

    The floor of each is the same machine's dense value. Only stages at which KL has risen clearly and the error
    has risen at all enter; NaN if they are too few.
    """
    rise_of_kl, rise = kl - kl[0], error - error[0]
    chosen = (rise_of_kl >= LEAST_RISE * kl[0]) & (rise > 0)
    if chosen.sum() < FEWEST_STAGES:
        return np.nan
    return float(least_squares(np.log(rise_of_kl[chosen]), np.log(rise[chosen])))


def plain_slope(kl: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """Least-squares slope of log error against log KL over all pruning stages, floors left in."""
    return float(least_squares(np.log(kl), np.log(error))) if np.ptp(kl) else np.nan


def slopes(
    results: xr.Dataset,
    field: float,
    measure: str,
    slope: Callable[[NDArray[np.float64], NDArray[np.float64]], float] = floor_subtracted_slope,
) -> NDArray[np.float64]:
    """Slope of a measure against KL along the pruning, per seed."""
    values = results.pruning.sel(field=field).dropna("seed", how="all").transpose("seed", "stage", "measure")
    pairs = zip(values.sel(measure="kl").values, values.sel(measure=measure).values, strict=True)
    return np.array([slope(kl, error) for kl, error in pairs])


def sensitivity_rule(results: xr.Dataset) -> Finding:
    """Whether mROE and C_MSE grow faster against KL than equal sensitivity has it, and eROE slower, at both fields."""
    parts, plain = [], []
    for field in FIELDS:
        for name in PHYSICAL:
            side = above if MORE_SENSITIVE[name] > 0 else below
            one = _known(interval(slopes(results, field, name)))
            parts.append(side(f"{NAMES[name]} at {at_field(field)}", one, EQUAL_SENSITIVITY[name]))
            plain.append(f"{slopes(results, field, name, plain_slope).mean():.2f}")
    lead = (
        "slopes of log error against log KL above the dense values, where equal sensitivity is 1 for the quadratic eROE "
        "and C_MSE and 0.5 for the linear mROE"
    )

    def nearest(parts: Sequence[Part]) -> Part:
        one = largest_excess(parts)
        return one._replace(estimate=one.estimate - (one.least if np.isfinite(one.least) else one.most))

    return finding(lead, parts, nearest, f"With the floors left in {', '.join(plain)}.")


# --- energy against order -------------------------------------------------------------------------------------------

BARE = {"eroe": "energy_error", "mroe": "order_error", "correlation_mse": "correlation_mse_exact"}
"""The same errors without their error bars, and the correlations against the exact state."""


def relative_errors_by_seed(results: xr.Dataset, field: float) -> dict[str, NDArray[np.float64]]:
    """Bare relative errors of energy, order parameter and correlations, (seed, stage)."""
    chosen = results.sel(field=field).dropna("seed", how="all")
    scale = float(np.sqrt((chosen.exact_correlation.isel(seed=0) ** 2).mean()))
    measures = chosen.pruning.transpose("seed", "stage", "measure")
    return {
        "energy": measures.sel(measure="energy_error").values,
        "order parameter": measures.sel(measure="order_error").values,
        "correlations": np.sqrt(measures.sel(measure="correlation_mse_exact").values) / scale,
    }


def relative_errors(results: xr.Dataset, field: float) -> dict[str, NDArray[np.float64]]:
    """The same by stage, means over seeds."""
    return {name: values.mean(axis=0) for name, values in relative_errors_by_seed(results, field).items()}


def misleading_stages(results: xr.Dataset, field: float) -> NDArray[np.intp]:
    """Stages at which the energy is right to 1 % and order and correlations are off by 10 % or more, on average.

    Where along the pruning the question of the rule could be asked.
    """
    found = relative_errors(results, field)
    off = np.minimum(found["order parameter"], found["correlations"]) >= BAD_RELATIVE
    return np.flatnonzero((found["energy"] <= ACCURATE_RELATIVE) & off)


def energy_misleads_rule(results: xr.Dataset) -> Finding:
    """Whether, with four fifths of the weights removed, the energy is right and order and correlations are not, at each field.

    Errors in absolute terms, as a reader of an energy would take them.
    """
    stage = int(np.argmin(np.abs(results.removed.values - MISLEADING_SHARE)))
    parts = []
    for field in FIELDS:
        for name, errors in relative_errors_by_seed(results, field).items():
            side, level = (below, ACCURATE_RELATIVE) if name == "energy" else (above, BAD_RELATIVE)
            parts.append(side(f"{name} at {at_field(field)}", mean_interval(errors[:, stage]), level, "%"))
    return finding(f"relative errors with {percent(float(results.removed[stage]))} removed", parts)
