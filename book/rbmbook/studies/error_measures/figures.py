"""Figures of the chapter on error measures against the KL divergence: results in, figures out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import LABELS, PANEL, by_seed, field_title, removed_axis

MEASURES = ("eroe", "mroe", "correlation_mse")
_SHOWN = ("infidelity", *MEASURES)
_EPOCHS_SHOWN = 16
_AREA = 6.0


def scatter(results: xr.Dataset) -> InlineHTML:
    """Fig. 6 of Golubeva & Melko: every measure against KL, through training and pruning, one column a field.

    Parameters
    ----------
    results : xarray.Dataset
        ``training`` (field, seed, epoch, measure), ``pruning`` (field, seed, stage, measure), ``removed``
        (stage).

    Returns
    -------
    InlineHTML
    """
    return inline_svg(
        [_scatter_panel(results, float(field)) for field in results.field.values],
        title="Error measures against the KL divergence",
        description="Log-log scatter of infidelity, eROE, mROE and the mean squared error of the correlations against KL; "
        "training in blue, darker with the epoch, pruning in colours from magenta to orange with the iteration; one point "
        "a seed.",
    )


def _pruning_colors(n_stages: int) -> list[str]:
    """Colours of the iterations: the part of the ramp that blue, the training's colour, does not reach."""
    return style.ramp(2 * n_stages)[n_stages:]


def _epochs(results: xr.Dataset) -> np.ndarray:
    """Places of some epochs, spread evenly in their logarithm."""
    epochs = results.epoch.values.astype(float)
    wanted = np.geomspace(epochs[0], epochs[-1], _EPOCHS_SHOWN)
    return np.unique(np.abs(np.log(epochs[:, None] / wanted)).argmin(axis=0))


def _scatter_panel(results: xr.Dataset, field: float) -> Figure:
    epochs = _epochs(results)
    training = results.training.sel(field=field).isel(epoch=epochs).dropna("seed", how="all")
    pruning = results.pruning.sel(field=field).dropna("seed", how="all")
    alphas = np.linspace(0.45, 1.0, len(epochs))
    blues = [to_rgba(style.COLORS["blue"], alpha) for alpha in alphas]
    colors = _pruning_colors(pruning.sizes["stage"])
    with style.context():
        figure, grid = style.figure(len(_SHOWN), 1, width=PANEL, height=7.4, sharex=True)
        for axes, name in zip(grid[:, 0], _SHOWN, strict=True):
            for values, along, paints in ((training, "epoch", blues), (pruning, "stage", colors)):
                kl = by_seed(values.sel(measure="kl"), along)
                error = by_seed(values.sel(measure=name), along)
                axes.scatter(kl, error, s=_AREA, c=paints * len(kl), linewidths=0)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_ylabel(LABELS[name])
        grid[-1, 0].set_xlabel("KL divergence (nats)")
        grid[0, 0].set_title(field_title(field))
        last = 100 * float(results.removed[-1])
        figure.legend(
            handles=[
                _mark(style.COLORS["blue"], "training"),
                _mark(colors[0], "dense"),
                _mark(colors[-1], f"{last:.0f} % removed"),
            ],
            loc="outside lower center",
            ncols=3,
        )
    return figure


def _mark(color: str, label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker="o", markersize=4, color=color, label=label)


def rank_correlation_points(found: xr.Dataset) -> InlineHTML:
    """Rank correlations with KL by measure and stage, with their intervals.

    Parameters
    ----------
    found : xarray.Dataset
        ``value``, ``low``, ``high`` (field, time, measure), as of
        :func:`rbmbook.studies.error_measures.rules.correlations_by_stage`; NaN where a run has too few seeds.
    """
    panels = []
    for field in found.field.values:
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.2)
            axes = grid[0, 0]
            places = np.arange(found.sizes["time"])
            for shift, name in zip((-0.18, 0.0, 0.18), MEASURES, strict=True):
                one = found.sel(field=field, measure=name)
                spread = np.abs(np.stack([one.value - one.low, one.high - one.value]))
                axes.errorbar(places + shift, one.value, spread, fmt="o", linewidth=1.2, label=LABELS[name])
            style.reference_line(axes, y=0.0)
            axes.set_xticks(places, [str(time).replace(" ", "\n") for time in found.time.values])
            axes.set_ylim(-1.05, 1.05)
            axes.set_ylabel("rank correlation with KL")
            axes.set_title(field_title(float(field)))
            figure.legend(loc="outside lower center", ncols=3)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Rank correlation of the measures with KL, stage by stage",
        description="For early and late training and early and late pruning, the mean rank correlation of eROE, mROE and "
        "the mean squared error of the correlations with KL, with intervals over seeds; one panel a field.",
    )


def rise_curves(results: xr.Dataset, equal_sensitivity: Mapping[str, float]) -> InlineHTML:
    """What pruning adds to each measure against what it adds to KL, with lines of equal sensitivity.

    Parameters
    ----------
    results : xarray.Dataset
        ``pruning`` (field, seed, stage, measure).
    equal_sensitivity : mapping of str to float
        Slope of the line for each measure.
    """
    panels = []
    for field in results.field.values:
        pruning = results.pruning.sel(field=field).dropna("seed", how="all")
        rise = (pruning - pruning.isel(stage=0)) / pruning.isel(stage=0).mean("seed")
        with style.context():
            figure, grid = style.figure(len(MEASURES), 1, width=PANEL, height=6.0, sharex=True)
            for axes, name in zip(grid[:, 0], MEASURES, strict=True):
                _rise_axes(axes, rise, name, equal_sensitivity[name])
            grid[-1, 0].set_xlabel("rise of KL / dense KL")
            grid[0, 0].set_title(field_title(float(field)))
            figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
        panels.append(figure)
    return inline_svg(
        panels,
        title="What pruning adds to the measures against what it adds to KL",
        description="Log-log scatter of the rise of eROE, mROE and the mean squared error of the correlations above the "
        "dense value against that of KL, with a line of the slope that stands for equal sensitivity.",
    )


def _rise_axes(axes: Axes, rise: xr.DataArray, name: str, equal: float) -> None:
    colors = _pruning_colors(rise.sizes["stage"])
    kl, error = (by_seed(rise.sel(measure=one), "stage") for one in ("kl", name))
    # A logarithmic axis has no place for a measure that fell.
    risen = (kl > 0) & (error > 0)
    paints = [colors[stage] for stage in np.nonzero(risen)[1]]
    axes.scatter(kl[risen], error[risen], s=_AREA, c=paints, linewidths=0)
    usable = (kl > 1) & (error > 0)
    if usable.any():
        x = np.array([1.0, kl.max()])
        height = np.exp(np.mean(np.log(error[usable]) - equal * np.log(kl[usable])))
        axes.plot(
            x,
            height * x**equal,
            "--",
            color=style.COLORS["grey"],
            linewidth=1.2,
            label="slope of equal sensitivity",
        )
    if risen.any():
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_ylabel(f"rise of {LABELS[name]}")


def growth_curves(results: xr.Dataset, limits: Mapping[str, float]) -> InlineHTML:
    """The physical measures as multiples of their dense value along the pruning, with the margins.

    Parameters
    ----------
    results : xarray.Dataset
        ``pruning`` (field, seed, stage, measure) and ``removed`` (stage).
    limits : mapping of str to float
        Margin of each measure, as a multiple of its dense value.
    """
    removed = results.removed.values
    panels = []
    for field in results.field.values:
        pruning = results.pruning.sel(field=field).dropna("seed", how="all")
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.6)
            axes = grid[0, 0]
            for color, name in zip(style.CYCLE, MEASURES, strict=False):
                values = by_seed(pruning.sel(measure=name), "stage")
                style.band(axes, removed, values / values[:, 0].mean(), color=color, label=LABELS[name])
                axes.axhline(limits[name], color=color, linestyle=(0, (4, 3)), linewidth=0.9)
            axes.set_yscale("log")
            axes.set_title(field_title(float(field)))
            axes.set_ylabel("error / dense value")
            removed_axis(axes, removed)
            figure.legend(loc="outside lower center", ncols=3)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Errors as multiples of their dense value",
        description="eROE, mROE and the mean squared error of the correlations divided by their dense values against the "
        "share of weights removed, mean and range over seeds, with a dashed line for the margin of each.",
    )
