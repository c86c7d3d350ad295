"""Rules on pruning curves: from errors of several seeds to a finding with an interval.

Every threshold stands here, was written before the results, and is an effect size: a share of the dense value
or a multiple of the standard deviation over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmlib.lab.claims import (
    Estimate,
    Outcome,
    bootstrap_interval,
    combine,
    decide_difference,
    decide_equivalence,
    mean_interval,
    paired_difference,
)
from rbmlib.pruning import first_necessarily_disconnected, nominal_remaining

from .tfim_pruning import Study

CRITICAL, PARAMAGNETIC = 1.0, 2.0
PLOTTED = ("kl", "infidelity", "eroe", "mroe", "correlation_mse")
"""The measures of the paper's Fig. 2."""
PHYSICAL = ("eroe", "mroe", "correlation_mse")

ONSET_BAND = 0.10
"""How far from the paper's percentage an onset may lie (share of the weights)."""
GROWTH = 1.5
"""A measure that grows beyond this multiple of its dense value has lost significant accuracy."""
HALF_MARGIN = 0.5
"""A measure that stays within this share of its dense value has lost nothing significant."""
CONVERGED_BAND = 2.0
"""Standard deviations over seeds within which an early average counts as the late one."""
FIRST_STAGES = 6
"""Stages 0 to 5, that is, up to 41 % removed, over which sensitivities are compared."""
FEWEST_SEEDS = 5

TABLE_I = (
    100.0,
    90.0,
    81.0,
    72.9,
    65.6,
    59.0,
    53.1,
    47.8,
    43.0,
    38.7,
    34.9,
    31.4,
    28.2,
    25.4,
    22.9,
    20.6,
    18.5,
    16.7,
    15.0,
)
"""Percentages of Table I of Golubeva & Melko."""


class Finding(NamedTuple):
    """What a rule found: the quantity that decides, its interval, the outcome, and how it came about in
    words.
    """

    value: float
    interval: tuple[float, float]
    outcome: Outcome
    text: str

    @property
    def sentence(self) -> str:
        """The words as a sentence."""
        return f"{self.text[0].upper()}{self.text[1:]}."


class Curves(NamedTuple):
    """Pruning curves of one way of training.

    Attributes
    ----------
    values : xarray.DataArray
        Errors (field, seed, stage, measure).
    removed : array, (n_stages,)
        Share of the weights removed.
    by_value : bool
        Decide by the values alone, as the checks with their few seeds do, and not by their intervals.
    """

    values: xr.DataArray
    removed: NDArray[np.float64]
    by_value: bool = False

    def of(self, field: float, *measures: str) -> NDArray[np.float64]:
        """Values (seed, stage, measure) at a field, or (seed, stage) of a single measure."""
        chosen = self.values.sel(field=field).dropna("seed", how="all")
        chosen = chosen.sel(measure=list(measures)).transpose("seed", "stage", "measure")
        return chosen.values[..., 0] if len(measures) == 1 else chosen.values

    def judged(self, estimate: Estimate) -> Estimate:
        """The estimate with the interval that rules look at."""
        return Estimate(estimate.value, estimate.value, estimate.value) if self.by_value else estimate


# --- onsets ---------------------------------------------------------------------------------------------------------


def onsets(
    values: NDArray[np.float64],
    removed: NDArray[np.float64],
    threshold: str = "2 SD",
    dense_sd: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Share of the weights removed at which each measure's seed mean first exceeds a threshold, twice in a
    row.

    Parameters
    ----------
    values : array, (n_seeds, n_stages, n_measures)
        Errors along the pruning stages, stage 0 being dense.
    removed : array, (n_stages,)
        Share of the weights removed.
    threshold : {"2 SD", "1.5x", "2x"}
        Dense mean plus two standard deviations over seeds, or a multiple of the dense mean.
    dense_sd : array, (n_measures,), optional
        The standard deviations to use, those of ``values`` if not given.

    Returns
    -------
    array, (n_measures,)
        1.0 where a measure never rises.
    """
    mean = values.mean(axis=0)
    if threshold == "2 SD":
        limit = mean[0] + 2 * (values[:, 0].std(axis=0, ddof=1) if dense_sd is None else dense_sd)
    else:
        limit = float(threshold.removesuffix("x")) * mean[0]
    above = mean > limit
    twice = above[:-1] & above[1:]
    return np.where(twice.any(axis=0), removed[:-1][twice.argmax(axis=0)], 1.0)


def onset_rule(curves: Curves, field: float, claimed: float) -> Finding:
    """Whether every plotted measure first rises within the band around the claimed share of weights
    removed.
    """
    values = curves.of(field, *PLOTTED)
    # Resampled seeds repeat, which narrows their spread: the threshold's is that of all seeds.
    spread = values[:, 0].std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(PLOTTED))
    if curves.by_value:
        found = curves.judged(Estimate(onsets(values, curves.removed, dense_sd=spread), None, None))
    else:
        found = bootstrap_interval(values, lambda v: onsets(v, curves.removed, dense_sd=spread))
    outcomes = [
        decide_equivalence((low - claimed, high - claimed), ONSET_BAND)
        for low, high in zip(found.low, found.high, strict=True)
    ]
    first = int(np.argmin(found.value))
    listed = ", ".join(f"{name} {percent(value)}" for name, value in zip(PLOTTED, found.value, strict=True))
    other = "; ".join(
        f"at {threshold} dense {percent(onsets(values, curves.removed, threshold).min())}"
        for threshold in ("1.5x", "2x")
    )
    text = f"weights removed when a measure first rises, twice in a row, above dense + 2 SD: {listed} (first of them {other})"
    return Finding(
        float(found.value[first]),
        (float(found.low[first]), float(found.high[first])),
        combine(outcomes),
        text,
    )


# --- sizes of the damage --------------------------------------------------------------------------------------------


def growth(curves: Curves, field: float, measure: str, stage: int) -> Estimate:
    """Mean over seeds of the error at a stage, divided by the mean dense error."""
    values = curves.of(field, measure)
    return curves.judged(mean_interval(values[:, stage] / values[:, 0].mean()))


def small_amount_rule(curves: Curves) -> Finding:
    """Whether, at the critical point, a physical measure has lost significant accuracy after one and after
    two steps.
    """
    outcomes, texts, worst = [], [], None
    for stage in (1, 2):
        growths = {name: growth(curves, CRITICAL, name, stage) for name in PHYSICAL}
        if any(one.low > GROWTH for one in growths.values()):
            outcomes.append("reproduced")
        elif all(one.high <= GROWTH for one in growths.values()):
            outcomes.append("not reproduced")
        else:
            outcomes.append("not decided")
        name = max(growths, key=lambda key: growths[key].value)
        worst = growths[name]
        texts.append(
            f"at {percent(curves.removed[stage])} removed {name} grows most, to {worst.value:.2f} times its dense value"
        )
    return Finding(worst.value, worst.interval, combine(outcomes), "; ".join(texts))


def half_rule(curves: Curves) -> Finding:
    """Whether, in the paramagnet, every plotted measure is within the margin of dense once half of the
    weights are gone.
    """
    stage = int(np.argmax(curves.removed >= 0.5))
    changes = {name: growth(curves, PARAMAGNETIC, name, stage) for name in PLOTTED}
    outcomes = [decide_equivalence((one.low - 1, one.high - 1), HALF_MARGIN) for one in changes.values()]
    name = max(changes, key=lambda key: abs(changes[key].value - 1))
    one = changes[name]
    text = (
        f"at {percent(curves.removed[stage])} removed the measure that changes most is {name}, "
        f"to {one.value:.2f} times its dense value"
    )
    return Finding(one.value, one.interval, combine(outcomes), text)


# --- sensitivities --------------------------------------------------------------------------------------------------


def slopes(curves: Curves, field: float, scale: float) -> dict[str, NDArray[np.float64]]:
    """Least-squares slopes of bare relative errors by the share removed, per seed, over the first stages."""
    removed = curves.removed[:FIRST_STAGES]
    centred = removed - removed.mean()
    energy = curves.of(field, "energy_error")
    order = curves.of(field, "order_error")
    # The root of C_MSE over the root mean square of C is a relative error, as the other two are.
    correlation = np.sqrt(curves.of(field, "correlation_mse_exact")) / scale
    return {
        name: (values[:, :FIRST_STAGES] * centred).sum(axis=1) / (centred**2).sum()
        for name, values in (("energy", energy), ("order", order), ("correlation", correlation))
    }


def order_first_rule(curves: Curves, scales: Mapping[float, float]) -> Finding:
    """Whether the order parameter grows faster than the other observables, and mROE rises at the first
    iteration.
    """
    found = slopes(curves, CRITICAL, scales[CRITICAL])
    over_energy = curves.judged(paired_difference(found["order"], found["energy"]))
    over_correlation = curves.judged(paired_difference(found["order"], found["correlation"]))
    mroe = curves.of(CRITICAL, "mroe")
    first_step = curves.judged(paired_difference(mroe[:, 1], mroe[:, 0]))
    outcomes = [decide_difference(one, 1) for one in (over_energy, over_correlation, first_step)]
    text = (
        f"over the first {FIRST_STAGES - 1} iterations at h/J = 1 the bare relative errors grow by "
        + ", ".join(f"{name} {values.mean():.3g}" for name, values in found.items())
        + f" per unit of weights removed; the first iteration changes mROE by {first_step.value:.2g} "
        f"[{first_step.low:.2g}, {first_step.high:.2g}]"
    )
    return Finding(first_step.value, first_step.interval, combine(outcomes), text)


def energy_least_rule(curves: Curves, scales: Mapping[float, float]) -> Finding:
    """Whether the energy grows slower than the other observables at both fields."""
    outcomes, texts, value = [], [], None
    for field in (CRITICAL, PARAMAGNETIC):
        found = slopes(curves, field, scales[field])
        differences = {
            name: curves.judged(paired_difference(found[name], found["energy"]))
            for name in ("order", "correlation")
        }
        outcomes += [decide_difference(one, 1) for one in differences.values()]
        nearest = min(differences.values(), key=lambda one: one.value)
        value = nearest if value is None or nearest.value < value.value else value
        texts.append(
            f"h/J = {field:g}: " + ", ".join(f"{name} {values.mean():.3g}" for name, values in found.items())
        )
    text = f"slopes of the bare relative errors over the first {FIRST_STAGES - 1} iterations, " + "; ".join(
        texts
    )
    return Finding(value.value, value.interval, combine(outcomes), text)


# --- training, schedule, connectivity -------------------------------------------------------------------------------


def converged_rule(training: xr.DataArray) -> Finding:
    """Whether the mean over epochs 400 to 500 is that of the last 300 epochs, to within the band of the
    seeds.

    ``training`` is (field, seed, epoch, measure) at one rate. One seed has no band and decides nothing.
    """
    if training.dropna("seed", how="all").sizes["seed"] < 2:
        return Finding(0.0, (-np.inf, np.inf), "not decided", "one seed has no spread to compare with")
    last = int(training.epoch[-1])
    outcomes, worst = [], None
    for field in training.field.values:
        for name in PLOTTED:
            values = training.sel(field=field, measure=name).dropna("seed", how="all")
            early = values.sel(epoch=slice(400, 500)).mean("epoch").values
            late = values.sel(epoch=slice(last - 300, last)).mean("epoch").values
            difference = paired_difference(early, late)
            band = CONVERGED_BAND * late.std(ddof=1)
            outcomes.append(decide_equivalence(difference, band))
            scaled = Estimate(
                *(x / band * CONVERGED_BAND for x in (difference.value, difference.low, difference.high))
            )
            if worst is None or abs(scaled.value) > abs(worst[0].value):
                worst = (scaled, name, field)
    found, name, field = worst
    text = (
        f"mean over epochs 400-500 minus mean over epochs {last - 300}-{last}, in standard deviations over seeds: "
        f"largest for {name} at "
        f"h/J = {field:g}, {found.value:.2g}"
    )
    return Finding(found.value, found.interval, combine(outcomes), text)


def schedule_rule(study: Study) -> Finding:
    """Whether the schedule is that of Table I, to the printed digit."""
    kept = study.pruning.kept.values
    percentages = 100 * nominal_remaining([0.1] * 18)
    same = len(kept) == len(TABLE_I) and all(
        round(p, 1) == t for p, t in zip(percentages, TABLE_I, strict=True)
    )
    off = float(np.abs(100 * kept / kept[0] - np.array(TABLE_I)).max())
    text = (
        f"kept weights {', '.join(str(n) for n in kept)}: whole weights differ from the printed percentages "
        f"by at most {off:.2f} points"
    )
    outcome: Outcome = "reproduced" if same and off <= 50 / kept[0] + 0.05 else "not reproduced"
    return Finding(off, (off, off), outcome, text)


def disconnected_rule(study: Study) -> Finding:
    """Whether iteration 18 is the first whose graph cannot be connected, and no graph from there on is."""
    n_visible, n_hidden = study.pruning.sizes["visible"], study.pruning.sizes["hidden"]
    first = first_necessarily_disconnected(study.pruning.kept.values, n_visible, n_hidden)
    components = study.pruning.components.sel(algorithm="cd")
    connected = (components == 1).mean(("field", "seed")).values
    broken_before = int(np.argmax(connected < 1))
    all_broken = first is not None and not (components == 1).isel(stage=slice(first, None)).any()
    text = (
        f"fewer than {n_visible + n_hidden - 1} weights from iteration {first} on; in fact "
        f"{100 * (1 - connected[17]):.0f} % of the graphs are "
        f"disconnected at iteration 17, the first at iteration {broken_before}"
    )
    outcome: Outcome = "reproduced" if first == 18 and all_broken else "not reproduced"
    value = float(first if first is not None else len(connected))
    return Finding(value, (value, value), outcome, text)


def percent(share: float) -> str:
    """A share of the weights in words; 1.0 stands for an onset that never came."""
    return "never" if share >= 1.0 else f"{100 * share:.0f} %"
