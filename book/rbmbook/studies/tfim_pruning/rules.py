"""Rules on pruning curves: from errors of several seeds to what is found.

Every threshold stands here and is an effect size: a share of the dense value or a multiple of the standard deviation
over seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.evidence.curves import onsets
from rbmbook.evidence.estimates import Estimate, bootstrap_interval, mean_interval, paired_difference, slopes
from rbmbook.evidence.rules import (
    Finding,
    Part,
    above,
    every,
    finding,
    is_exactly,
    largest,
    last,
    least,
    some,
    within,
)
from rbmbook.evidence.words import percent
from rbmbook.studies.ising.standard import CRITICAL, MEASURE_NAMES, PARAMAGNETIC, PHYSICAL, PLOTTED, at_field
from rbmlib.pruning import first_necessarily_disconnected, nominal_remaining

ONSET_BAND = 0.10
"""How far from the paper's percentage an onset may lie (share of the weights)."""
GROWTH = 1.5
"""A measure that grows beyond this multiple of its dense value has lost significant accuracy."""
HALF_MARGIN = 0.5
"""A measure that stays within this share of its dense value has lost nothing significant."""
CONVERGED = 0.8, 1.25
"""An error whose early mean lies between these multiples of its late one has come to rest."""
FIRST_STAGES = 6
"""Stages 0 to 5, that is, up to 41 % removed, over which sensitivities are compared."""

TABLE_I = (
    100.0, 90.0, 81.0, 72.9, 65.6, 59.0, 53.1, 47.8, 43.0, 38.7, 34.9, 31.4, 28.2, 25.4, 22.9, 20.6, 18.5, 16.7, 15.0,
)  # fmt: skip
"""Percentages of Table I of Golubeva & Melko."""


class Curves(NamedTuple):
    """Pruning curves of one way of training.

    Attributes
    ----------
    values : xarray.DataArray
        Errors (field, seed, stage, measure).
    removed : array, (n_stages,)
        Share of the weights removed.
    scales : mapping of float to float
        Root mean square of the exact correlations, by field.
    by_value : bool
        Decide by the values alone, as the checks with their few seeds do, and not by their intervals.
    """

    values: xr.DataArray
    removed: NDArray[np.float64]
    scales: Mapping[float, float] = {}
    by_value: bool = False

    def of(self, field: float, *measures: str) -> NDArray[np.float64]:
        """Values (seed, stage, measure) at a field, or (seed, stage) of a single measure."""
        chosen = self.values.sel(field=field).dropna("seed", how="all")
        chosen = chosen.sel(measure=list(measures)).transpose("seed", "stage", "measure")
        return chosen.values[..., 0] if len(measures) == 1 else chosen.values

    def judged(self, estimate: Estimate) -> Estimate:
        """The estimate with the interval that rules look at."""
        return estimate.exact() if self.by_value else estimate

    def growth(self, field: float, measure: str, stage: int) -> Estimate:
        """Mean over seeds of the error at a stage, divided by the mean dense error."""
        values = self.of(field, measure)
        return self.judged(mean_interval(values[:, stage] / values[:, 0].mean()))

    def slopes(self, field: float) -> dict[str, NDArray[np.float64]]:
        """Slopes of bare relative errors by the share removed, per seed, over the first stages."""
        # The root of C_MSE over the root mean square of C is a relative error, as the other two are.
        roots = np.sqrt(self.of(field, "correlation_mse_exact")) / self.scales[field]
        errors = {
            "energy": self.of(field, "energy_error"),
            "order": self.of(field, "order_error"),
            "correlation": roots,
        }
        first = slice(FIRST_STAGES)
        return {name: slopes(self.removed[first], one[:, first]) for name, one in errors.items()}


# --- Fig. 2 ---------------------------------------------------------------------------------------------------------


def onset_rule(curves: Curves, field: float, claimed: float) -> Finding:
    """Whether every plotted measure first rises within the band around the claimed share of weights removed."""
    values = curves.of(field, *PLOTTED)
    # Resampled seeds repeat, which narrows their spread: the threshold's is that of all seeds.
    spread = values[:, 0].std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(PLOTTED))

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        return onsets(drawn, curves.removed, dense_sd=spread)

    exact = statistic(values)
    found = Estimate(exact, exact, exact) if curves.by_value else bootstrap_interval(values, statistic)
    parts = [
        within(MEASURE_NAMES[name], one, ONSET_BAND, claimed, "%")
        for name, one in zip(PLOTTED, found.each(), strict=True)
    ]
    return finding(
        "weights removed when a measure first rises, twice in a row, above dense + 2 SD", parts, least
    )


def small_amount_rule(curves: Curves) -> Finding:
    """Whether, at the critical point, a physical measure has lost significant accuracy after one and after two steps."""
    parts, shown = [], []
    for stage in (1, 2):
        grown = [
            above(MEASURE_NAMES[name], curves.growth(CRITICAL, name, stage), GROWTH) for name in PHYSICAL
        ]
        parts.append(some(f"{percent(curves.removed[stage])} removed", grown))
        shown.append(largest(grown))
    lead = f"largest growth over the dense value at h/J = 1, claimed beyond {GROWTH:g}"
    return finding(lead, parts, lambda _: last(shown))


def half_rule(curves: Curves) -> Finding:
    """Whether, in the paramagnet, every plotted measure is within the margin of dense once half of the weights are gone."""
    stage = int(np.argmax(curves.removed >= 0.5))
    parts = [
        within(MEASURE_NAMES[name], curves.growth(PARAMAGNETIC, name, stage), HALF_MARGIN, 1.0)
        for name in PLOTTED
    ]
    lead = f"at {percent(curves.removed[stage])} removed, in multiples of the dense value"
    return finding(lead, parts, lambda parts: max(parts, key=lambda part: abs(part.estimate.value - 1)))


# --- sensitivities --------------------------------------------------------------------------------------------------


def order_first_rule(curves: Curves) -> Finding:
    """Whether the order parameter grows faster than the other observables, and mROE rises at the first iteration."""
    found, mroe = curves.slopes(CRITICAL), curves.of(CRITICAL, "mroe")
    pairs = {
        "slope of the order parameter's error less the energy's": (found["order"], found["energy"]),
        "less the correlations'": (found["order"], found["correlation"]),
        "change of mROE at the first iteration": (mroe[:, 1], mroe[:, 0]),
    }
    parts = [above(name, curves.judged(paired_difference(*pair))) for name, pair in pairs.items()]
    return finding(f"at h/J = 1, slopes over the first {FIRST_STAGES - 1} iterations", parts, last)


def energy_least_rule(curves: Curves) -> Finding:
    """Whether the energy grows slower than the other observables at both fields."""
    parts = []
    for field in (CRITICAL, PARAMAGNETIC):
        found = curves.slopes(field)
        for name in ("order", "correlation"):
            one = curves.judged(paired_difference(found[name], found["energy"]))
            parts.append(above(f"{name} at {at_field(field)}", one))
    return finding(
        f"slopes of the bare relative errors over the first {FIRST_STAGES - 1} iterations, less the energy's",
        parts,
        least,
    )


# --- training, schedule, connectivity -------------------------------------------------------------------------------


def converged_rule(training: xr.DataArray) -> Finding:
    """Whether each error's mean over epochs 400 to 500 is that over the last 300 epochs, to within a quarter: the
    geometric mean over seeds of their ratio. ``training`` is (field, seed, epoch, measure) at one rate.
    """
    start = int(training.epoch[-1]) - 300
    parts: list[Part] = []
    for field in training.field.values:
        for measure in PLOTTED:
            values = training.sel(field=field, measure=measure).dropna("seed", how="all")
            early, late = (
                values.sel(epoch=slice(*ends)).mean("epoch").values for ends in ((400, 500), (start, None))
            )
            ratio = mean_interval(np.log(early / late)).map(lambda x: float(np.exp(x)))
            parts.append(Part(f"{MEASURE_NAMES[measure]} at {at_field(field)}", ratio, *CONVERGED))
    lead = f"mean error over epochs 400-500 over that of epochs {start}-{start + 300}, claimed between 0.8 and 1.25"
    return finding(lead, parts, from_one)


def from_one(parts: Sequence[Part]) -> Part:
    """The part whose ratio is farthest from 1."""
    return max(parts, key=lambda part: abs(np.log(part.estimate.value)))


def schedule_rule(kept: NDArray[np.integer]) -> Finding:
    """Whether the schedule is that of Table I, to the printed digit."""
    nominal = [round(100 * share, 1) for share in nominal_remaining([0.1] * 18)]
    differ = sum(one != printed for one, printed in zip(nominal, TABLE_I, strict=True))
    off = float(np.abs(100 * kept / kept[0] - TABLE_I).max()) if len(kept) == len(TABLE_I) else np.inf
    parts = [
        Part(
            "largest distance from the printed percentages, in points",
            Estimate(off, off, off),
            0.0,
            50 / kept[0] + 0.05,
        ),
        is_exactly("nominal percentages that differ from the printed ones", differ, 0)._replace(premise=True),
    ]
    return finding(f"kept weights {', '.join(map(str, kept))}", parts)


def disconnected_rule(pruning: xr.Dataset) -> Finding:
    """Whether iteration 18 is the first whose graph cannot be connected, and no graph from there on is."""
    n_visible, n_hidden = pruning.sizes["visible"], pruning.sizes["hidden"]
    first = first_necessarily_disconnected(pruning.kept.values, n_visible, n_hidden)
    whole = (pruning.components.sel(algorithm="cd") == 1).transpose("stage", ...).values
    forced = len(whole) if first is None else first
    parts = [
        is_exactly(f"first iteration with fewer than {n_visible + n_hidden - 1} weights", forced, 18),
        is_exactly("graphs in one piece from there on", int(whole[forced:].sum()), 0),
    ]
    beside = f"In several pieces at the iteration before: {percent(1 - whole[min(forced, len(whole)) - 1].mean())}."
    return finding("counted", [every("", parts)], lambda _: parts[0], beside)


def outcomes_by_choice(outcomes: Mapping[str, str], here: str) -> str:
    """How many other choices come to the same verdict by values alone, and which come to others."""
    others: Iterable[str] = dict.fromkeys(one for one in outcomes.values() if one != here)
    apart = [
        f"; {other} under {', '.join(repr(name) for name, one in outcomes.items() if one == other)}"
        for other in others
    ]
    same = sum(one == here for one in outcomes.values())
    return (
        f"Judged by values alone, without intervals, this is {here}, as under {same} of {len(outcomes)} other choices"
        f"{''.join(apart)}."
    )
