"""Figures of the chapter on other pruning schedules: results in, figures out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import LABELS, PANEL, field_title, removed_axis

MEASURES = ("kl", "mroe", "correlation_mse")
"""One measure of the state, one of the order parameter, one of the correlations."""
STANDARD = "standard"
CONTROLS = {STANDARD: "smallest first", "random": "at random", "largest": "largest first"}
"""Runs that differ in what is removed, and what they are called in a legend."""
_NOTHING = "No stage of the standard schedule lies between another's first step and its end: there is nothing to compare."
RATIO_LABELS = {**LABELS, "correlation_mse": "root of $C_\\mathrm{MSE}$"}


def _measured(array: xr.DataArray, measures: Sequence[str]) -> list[str]:
    """Those of the measures that the results have: long chains have no divergences."""
    return [name for name in measures if name in array.measure and array.sel(measure=name).notnull().any()]


def _schedules(results: xr.Dataset) -> list[str]:
    """The runs that differ in how fast weights are removed."""
    return [str(run) for run in results.run.values if run not in CONTROLS]


def _curve(results: xr.Dataset, run: str, field: float, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Removed fractions (stage,) and errors (seed, stage) of a run, without stages that it does not have."""
    chosen = results.sel(run=run)
    there = chosen.removed.notnull().values
    values = chosen.pruning.sel(field=field, measure=measure).transpose("seed", "stage").values
    return chosen.removed.values[there], values[:, there]


def _looks(runs: Sequence[str]) -> dict[str, dict[str, object]]:
    """A colour for each schedule; the one with half the epochs has the first one's, dashed."""
    full = [run for run in runs if "half" not in run]
    looks: dict[str, dict[str, object]] = {
        run: {"color": color} for run, color in zip(full, style.ramp(len(full)), strict=True)
    }
    for run in runs:
        looks.setdefault(run, {"color": style.ramp(1)[0], "linestyle": (0, (4, 2))})
    return looks


def _panels(
    fields: xr.DataArray,
    measures: Sequence[str],
    size: tuple[float, float],
    labels: Mapping[str, str],
    columns: int,
    draw: Callable[[Axes, float, str], np.ndarray],
) -> list[Figure]:
    """One figure a field, one logarithmic row a measure, over the share of weights removed.

    ``size`` is the height in inches without rows and that of a row; ``draw`` fills an axes for a field and a
    measure and returns the removed fractions; the legend has so many columns.
    """
    panels = []
    for field in fields.values:
        with style.context():
            height = size[0] + size[1] * len(measures)
            figure, grid = style.figure(len(measures), 1, width=PANEL, height=height, sharex=True)
            for axes, measure in zip(grid[:, 0], measures, strict=True):
                axes.set_yscale("log")
                removed = draw(axes, field, measure)
                axes.set_ylabel(labels[measure])
            removed_axis(grid[-1, 0], removed)
            grid[0, 0].set_title(field_title(float(field)))
            figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=columns)
        panels.append(figure)
    return panels


def schedule_curves(results: xr.Dataset) -> InlineHTML:
    """Errors against the share of weights removed for every schedule, one column a field.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmbook.studies.schedules.study.results` returned.

    Returns
    -------
    InlineHTML
        Geometric means over seeds; the standard schedule with its range over seeds.
    """
    measures = _measured(results.pruning, MEASURES)
    runs = _schedules(results)
    looks = _looks(runs)

    def draw(axes: Axes, field: float, measure: str) -> np.ndarray:
        removed, errors = _curve(results, STANDARD, field, measure)
        axes.fill_between(
            removed,
            errors.min(axis=0),
            errors.max(axis=0),
            color=style.COLORS["grey"],
            alpha=0.3,
            linewidth=0,
        )
        _mean(axes, removed, errors, color="black", label="standard")
        for run in runs:
            removed, errors = _curve(results, run, field, measure)
            _mean(axes, removed, errors, label=run, linewidth=1.1, **looks[run])
        return removed

    panels = _panels(results.field, measures, (1.2, 1.7), LABELS, 2, draw)
    return inline_svg(
        panels,
        title="Errors under other pruning schedules",
        description="KL divergence, mROE and the mean squared error of the correlations on a logarithmic scale against the "
        "share of weights removed, one line a schedule; the standard schedule's band is its range over "
        f"{results.sizes['seed']} seeds.",
    )


def _mean(axes: Axes, removed: np.ndarray, errors: np.ndarray, **options: object) -> None:
    axes.plot(removed, np.exp(np.log(errors).mean(axis=0)), **options)


def ratio_curves(ratios: xr.DataArray, margin: float, bands: Sequence[tuple[float, float]]) -> InlineHTML:
    """Each schedule's error over the standard one at equal removed fraction, with the margin of the rule.

    Parameters
    ----------
    ratios : xarray.DataArray
        Ratios (run, field, measure, removed), as :func:`rbmbook.studies.schedules.rules.ratios` gives
        them; NaN outside a run's range.
    margin : float
        Factor up to which curves do not differ: a shaded stripe.
    bands : sequence of (float, float)
        Ranges of removed fractions that are averaged: dashed lines between them.
    """
    measures = _measured(ratios, MEASURES)
    if not measures:
        return InlineHTML(f"<p>{_NOTHING}</p>", _NOTHING)
    runs = [str(run) for run in ratios.run.values]
    looks = _looks(runs)

    def draw(axes: Axes, field: float, measure: str) -> np.ndarray:
        axes.axhspan(1 / margin, margin, color=style.COLORS["grey"], alpha=0.15, linewidth=0)
        style.reference_line(axes, y=1.0)
        for _, end in bands[:-1]:
            style.reference_line(axes, x=end)
        for run in runs:
            values = ratios.sel(run=run, field=field, measure=measure)
            axes.plot(ratios.removed.values, values.values, label=run, linewidth=1.2, **looks[run])
        axes.set_yticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
        axes.set_yticks([], minor=True)
        axes.set_ylim(0.2, 5.0)
        return ratios.removed.values

    panels = _panels(ratios.field, measures, (1.2, 1.5), RATIO_LABELS, 2, draw)
    return inline_svg(
        panels,
        title="Errors of other schedules relative to the standard one",
        description="Ratio of each schedule's error to the standard schedule's at equal removed fraction, geometric mean over "
        f"seeds, for three measures; the shaded stripe from 1/{margin:g} to {margin:g} is the margin.",
    )


def control_curves(results: xr.Dataset) -> InlineHTML:
    """Pruning the smallest weights first, at random, and the largest first, along the standard schedule.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmbook.studies.schedules.study.results` returned.
    """
    measures = _measured(results.pruning, ("kl", "mroe"))
    runs = [run for run in CONTROLS if run in results.run.values]

    def draw(axes: Axes, field: float, measure: str) -> np.ndarray:
        for run in runs:
            removed, errors = _curve(results, run, field, measure)
            style.band(axes, removed, errors, label=CONTROLS[run])
        return removed

    panels = _panels(results.field, measures, (1.0, 1.7), LABELS, 3, draw)
    return inline_svg(
        panels,
        title="Pruning by other criteria",
        description="KL divergence and mROE against the share of weights removed for pruning by smallest magnitude, at random and "
        f"by largest magnitude; mean and range over {results.sizes['seed']} seeds.",
    )
