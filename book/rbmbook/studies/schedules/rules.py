"""Rules on pruning along other schedules: curves compared at equal removed fraction, seed by seed.

Every threshold stands here. The size of a difference is the ratio of two
errors at the same removed fraction; along the pruning the curves rise by several times to several hundred times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.evidence.estimates import Estimate, mean_interval
from rbmbook.evidence.rules import Finding, Mark, Part, finding
from rbmbook.studies.ising.standard import PLOTTED

from .study import STANDARD

MARGIN = 2.0
"""Two curves that differ by less than this factor at equal removed fraction do not differ in kind."""
BANDS = ((0.0, 0.40), (0.40, 0.65), (0.65, 0.86))
"""Removed fractions that are compared together: before the curves bend at the critical point, while they do,
and where both fields are damaged, up to the end of the standard schedule."""


class Displacement(NamedTuple):
    """How a run's curve of one measure lies against the standard one in a band of removed fractions.

    Attributes
    ----------
    run, measure : str
        Which curve.
    field : float
        h / J.
    band : (float, float)
        Range of removed fractions.
    ratio : Estimate
        Its error divided by the standard one at equal removed fraction: geometric mean over the band and over
        seeds, with the interval over seeds.
    """

    run: str
    measure: str
    field: float
    band: tuple[float, float]
    ratio: Estimate

    @property
    def part(self) -> Part:
        """The ratio, claimed to lie inside the margin."""
        low, high = self.band
        name = (
            f"{self.measure}, {self.run}, h/J = {self.field:g}, {100 * low:.0f} to {100 * high:.0f} % removed"
        )
        return Part(name, self.ratio, 1 / MARGIN, MARGIN)

    @property
    def mark(self) -> Mark:
        """Whether the interval lies inside the margin."""
        return self.part.mark


def curve(results: xr.Dataset, run: str, field: float, measure: str) -> tuple[NDArray, NDArray]:
    """Removed fractions (stage,) and errors (seed, stage) of a run, without the stages that it does not have.

    C_MSE, which is quadratic in the error of the correlations, enters by its root.
    """
    chosen = results.sel(run=run)
    values = chosen.pruning.sel(field=field, measure=measure).transpose("seed", "stage").values
    there = np.isfinite(chosen.removed.values)
    values = np.sqrt(values[:, there]) if measure.startswith("correlation_mse") else values[:, there]
    return chosen.removed.values[there], values


def log_errors_at(
    removed: NDArray[np.float64], errors: NDArray[np.float64], fractions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logarithms of the errors (seed, stage) at other removed fractions, interpolated linearly: (seed,
    fraction).
    """
    return np.array([np.interp(fractions, removed, np.log(one)) for one in errors])


def log_ratios(
    results: xr.Dataset, run: str, field: float, measure: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithm of a run's error over the standard one, seed by seed, at those stages of the standard
    schedule that lie between the run's first step and its end: removed fractions, (seed, fraction).
    """
    removed, errors = curve(results, run, field, measure)
    reference, standard = curve(results, STANDARD, field, measure)
    # The dense machines are the same ones; what is compared begins with the first step.
    compared = (reference >= removed[1]) & (reference <= removed[-1])
    fractions = reference[compared]
    return fractions, log_errors_at(removed, errors, fractions) - np.log(standard[:, compared])


def ratios(results: xr.Dataset, runs: Sequence[str]) -> xr.DataArray:
    """What the rule looks at, as curves: geometric mean over seeds of each run's error over the standard one,
    (run, field, measure, removed); NaN where a run has nothing to compare.
    """
    removed = results.removed.sel(run=STANDARD).dropna("stage").values[1:]
    measures = [name for name in PLOTTED if results.pruning.sel(measure=name).notnull().any()]
    shape = (len(runs), results.sizes["field"], len(measures), len(removed))
    found = np.full(shape, np.nan)
    places = product(runs, results.field.values, measures)
    for (run, field, measure), row in zip(places, found.reshape(-1, len(removed)), strict=True):
        fractions, logs = log_ratios(results, run, float(field), measure)
        row[np.isin(removed, fractions)] = np.exp(logs.mean(axis=0))
    return xr.DataArray(
        found,
        dims=("run", "field", "measure", "removed"),
        coords={"run": list(runs), "field": results.field.values, "measure": measures, "removed": removed},
    )


def displacements(results: xr.Dataset, run: str) -> list[Displacement]:
    """A run against the standard schedule: every field, measure and band that has a fraction to compare."""
    found = []
    for field in results.field.values:
        for measure in PLOTTED:
            if results.pruning.sel(field=field, measure=measure).isnull().all():
                continue  # chains too long to enumerate have no divergence
            fractions, ratios = log_ratios(results, run, float(field), measure)
            for band in BANDS:
                inside = (fractions > band[0]) & (fractions <= band[1])
                if inside.any():
                    ratio = mean_interval(ratios[:, inside].mean(axis=1)).map(lambda x: float(np.exp(x)))
                    found.append(Displacement(run, measure, float(field), band, ratio))
    return found


def schedule_rule(results: xr.Dataset, names: list[str]) -> Finding:
    """Whether the curves of the named runs lie within the margin of the standard ones in every band."""
    parts = [one.part for name in names for one in displacements(results, name)]
    lead = f"error over the standard one at equal removed fraction, claimed inside 1/{MARGIN:g} to {MARGIN:g}"
    return finding(lead, parts, displaced)


def displaced(parts: Sequence[Part]) -> Part:
    """The part whose ratio is farthest from 1."""
    return max(parts, key=lambda part: abs(np.log(part.estimate.value)))
