"""Figures of the chapter on pruning through the transition: results in, figures out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import LABELS, PANEL, removed_axis

FIELD = "transverse field h/J"


def scan_curves(results: xr.Dataset) -> InlineHTML:
    """Growth of the even part's KL divergence and of mROE under pruning, one line a field.

    Parameters
    ----------
    results : xarray.Dataset
        ``pruning`` (field, seed, stage, measure), ``even`` (field, seed, stage, even_measure) and
        ``removed`` (stage). A divergence that could not be computed is left out.

    Returns
    -------
    InlineHTML
        Geometric means over seeds, each divided by its dense value.
    """
    fields = results.field.values
    colors = style.ramp(len(fields))
    curves = {
        "KL of the even part": results.even.sel(even_measure="kl"),
        LABELS["mroe"]: results.pruning.sel(measure="mroe"),
    }
    panels = []
    for name, values in curves.items():
        if values.isnull().all():
            continue
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.6)
            axes = grid[0, 0]
            for field, color in zip(fields, colors, strict=True):
                logs = np.log(values.sel(field=field).transpose("seed", "stage").values)
                growth = np.exp((logs - logs[:, :1]).mean(axis=0))
                axes.plot(results.removed.values, growth, color=color, linewidth=1.2, label=f"{field:g}")
            axes.set_yscale("log")
            removed_axis(axes, results.removed.values)
            axes.set_ylabel("error / dense value")
            axes.set_title(name)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, title="h/J")
        panels.append(figure)
    return inline_svg(
        panels,
        title="Growth of the errors under pruning, field by field",
        description="Error divided by its dense value, on a logarithmic scale, against the share of weights removed; one line a "
        f"field from h/J = {fields[0]:g} to {fields[-1]:g}.",
    )


def removable_shares(
    shares: xr.Dataset, entropy: NDArray[np.float64], correlation: NDArray[np.float64]
) -> InlineHTML:
    """Removable share of the weights against h/J by every reading, beside what the exact state says.

    Parameters
    ----------
    shares : xarray.Dataset
        ``value``, ``low``, ``high`` (reading, field), as of
        :func:`rbmbook.studies.phase_scan.rules.removable`.
    entropy, correlation : array, (n_fields,)
        Entanglement entropy of the halves in nats, and mean correlation from mid-chain, of the exact states.
    """
    fields = shares.field.values
    onsets = [str(name) for name in shares.reading.values if name in LABELS]
    crossings = [str(name) for name in shares.reading.values if name not in LABELS]
    panels = []
    for title, readings in (("levels", crossings), ("onsets", onsets)):
        if not readings:
            continue
        with style.context():
            figure, grid = style.figure(2, 1, width=PANEL, height=4.8, sharex=True, height_ratios=[1.9, 1])
            above, below = grid[:, 0]
            for place, reading in enumerate(readings):
                shift = 0.012 * (place - (len(readings) - 1) / 2)
                _with_intervals(
                    above, fields + shift, shares.sel(reading=reading), LABELS.get(reading, reading)
                )
            above.set_ylim(-0.04, 1.04)
            above.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
            above.set_ylabel("removable weights (%)")
            above.set_title(f"by {title}")
            below.plot(fields, entropy, "-o", color=style.COLORS["grey"], label="entropy (nats)")
            below.plot(fields, correlation, "--s", color=style.COLORS["grey"], label="mean correlation")
            below.set_ylim(bottom=0)
            below.set_ylabel("exact state")
            below.set_xlabel(FIELD)
            for axes in (above, below):
                style.reference_line(axes, x=1.0)
            handles, labels = above.get_legend_handles_labels()
            more_handles, more_labels = below.get_legend_handles_labels()
            figure.legend(
                [*handles, *more_handles], [*labels, *more_labels], loc="outside lower center", ncols=2
            )
        panels.append(figure)
    return inline_svg(
        panels,
        title="Removable share of the weights through the transition",
        description="Share of the weights that can be removed against the transverse field, with 95 % intervals, by levels of the "
        "error and by onsets; below, entanglement entropy and mean correlation of the exact state.",
    )


def _with_intervals(axes: Axes, fields: NDArray[np.float64], shares: xr.Dataset, label: str) -> None:
    value, low, high = (shares[name].values for name in ("value", "low", "high"))
    (line,) = axes.plot(fields, value, "-o", linewidth=1.2, markersize=3.5, label=label)
    axes.vlines(fields, low, high, color=line.get_color(), linewidth=1.2)


def well_balance(results: xr.Dataset, imbalance: xr.DataArray) -> InlineHTML:
    """How evenly the machines share the probability between the two directions of the magnetization, and what
    of their dense divergence that is.

    Parameters
    ----------
    results : xarray.Dataset
        ``pruning`` (field, seed, stage, measure) and ``even`` (field, seed, stage, even_measure).
    imbalance : xarray.DataArray
        Absolute difference of the probabilities of m > 0 and m < 0, (source, field, seed), as of
        :func:`rbmbook.studies.phase_scan.rules.imbalances`.
    """
    balance = {str(source): imbalance.sel(source=source) for source in imbalance.source.values}
    panels = [_against_field(results, balance, "|P(m > 0) \u2212 P(m < 0)|")]
    dense = results.isel(stage=0)
    divergences = {
        "machine as it is": dense.pruning.sel(measure="kl"),
        "its even part": dense.even.sel(even_measure="kl"),
    }
    if all(values.notnull().all() for values in divergences.values()):
        panels.append(_against_field(results, divergences, "KL before pruning", scale="log"))
    return inline_svg(
        panels,
        title="Balance between the two wells, and divergence before pruning",
        description="Left: difference of the probabilities of positive and negative magnetization against the field, for data, "
        "dense and pruned machines. Right: KL divergence of the dense machines and of their even parts. Mean and range over "
        "seeds.",
    )


def _against_field(
    results: xr.Dataset, series: Mapping[str, xr.DataArray], label: str, scale: str = "linear"
) -> Figure:
    """Series of (field, seed) against the field, mean and range over seeds."""
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=3.2)
        axes = grid[0, 0]
        for name, values in series.items():
            seeds = values.transpose("seed", "field").values
            style.band(axes, results.field.values, seeds, label=name, marker="o", markersize=3.5)
        axes.set_yscale(scale)
        if scale == "linear":
            axes.set_ylim(bottom=0)
        axes.set_xlabel(FIELD)
        axes.set_ylabel(label)
        style.reference_line(axes, x=1.0)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
