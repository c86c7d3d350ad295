"""Figures of where, and how sharply, measures of pruned machines drop: estimates in, figures out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.evidence.estimates import Estimate
from rbmbook.studies.digits.panels import LABELS, LOOKS, MARKS, PANEL, dilution_axis

_GREY = style.COLORS["grey"]


def position_curves(drops: Mapping[str, Estimate], dilution: NDArray[np.float64]) -> InlineHTML:
    """Where each measure drops: as total share p_c and as share f_c of the weights that training left.

    Parameters
    ----------
    drops : mapping of str to Estimate
        Position in f and width (n_dilutions, 2) with intervals, by measure; position 1 where there is no drop.
    dilution : array, (n_dilutions,)
        p0.
    """
    panels = []
    for kind, label in (("p", "drop at p, of all weights (%)"), ("f", "drop at f, of those left (%)")):
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.8)
            axes = grid[0, 0]
            lowest = 1.0
            for name, x, ends in _spread_out(drops, dilution):
                # p = p0 + f (1 - p0) is increasing in f: ends of an interval stay ends.
                low, value, high = (
                    dilution + f * (1 - dilution) if kind == "p" else f for f in ends[:, :, 0]
                )
                _with_interval(axes, x, low, value, high, name, ends[1, :, 0] >= 1)
                lowest = min(lowest, float(np.fmin.reduce([*low, *value, lowest])))
            fine = np.linspace(0, 0.9, 2)
            paper = 0.5 + 0.5 * fine if kind == "p" else np.full(2, 0.5)
            axes.plot(
                fine,
                paper,
                color=_GREY,
                linestyle=(0, (4, 3)),
                linewidth=1.0,
                label="eq. 7 of the paper",
                zorder=1,
            )
            axes.set_ylim(min(lowest, 0.5) - 0.05, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
            axes.set_ylabel(label)
            dilution_axis(axes, dilution)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Position of the drop by measure",
        description="Share of weights at which each measure has gone half of its height, against p0, with intervals over "
        "replicas: left of all weights, right of those that training left; dashed, what eq. 7 of the paper says.",
    )


def width_curves(drops: Mapping[str, Estimate], dilution: NDArray[np.float64], sharp: float) -> InlineHTML:
    """How wide each measure's drop is: in shares of the weights that training left, and over its position.

    Parameters
    ----------
    drops : mapping of str to Estimate
        As for :func:`position_curves`.
    dilution : array, (n_dilutions,)
        p0.
    sharp : float
        Ratio of width to position up to which a drop counts as sharp.
    """
    panels = []
    for kind in ("width", "ratio"):
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.4)
            axes = grid[0, 0]
            top = sharp
            for name, x, ends in _spread_out(drops, dilution):
                # Without a drop there is no width.
                low, value, high = np.where(ends[1, :, :1] < 1, ends, np.nan)[:, :, 1]
                if kind == "ratio":
                    value = value / ends[1, :, 0]
                    axes.plot(x, value, MARKS[name], color=LOOKS[name], markersize=4, label=LABELS[name])
                else:
                    _with_interval(axes, x, low, value, high, name, np.isnan(value))
                top = max(top, np.nanmax([top, *value, *(high if kind == "width" else ())]))
            axes.set_ylim(0, 1.05 * top)
            if kind == "width":
                axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
                axes.set_ylabel("width, of the weights left (%)")
            else:
                style.reference_line(axes, y=sharp, label="sharp below")
                axes.set_ylabel("width / position")
            dilution_axis(axes, dilution)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Width of the drop by measure",
        description="Share of weights between 10 and 90 % of each measure's drop against p0, with intervals over replicas, and "
        "the same over the drop's position, with the ratio below which a drop is called sharp.",
    )


def _spread_out(
    drops: Mapping[str, Estimate], dilution: NDArray[np.float64]
) -> list[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Measures with abscissae side by side, and low, value, high (3, n_dilutions, 2); unbounded ends as NaN."""
    step = 0.012
    found = []
    for at, (name, one) in enumerate(drops.items()):
        ends = np.array([one.low, one.value, one.high], dtype=float)
        found.append(
            (name, dilution + step * (at - (len(drops) - 1) / 2), np.where(np.isfinite(ends), ends, np.nan))
        )
    return found


def _with_interval(
    axes: Axes,
    x: NDArray[np.float64],
    low: NDArray[np.float64],
    value: NDArray[np.float64],
    high: NDArray[np.float64],
    name: str,
    absent: NDArray[np.bool_],
) -> None:
    """Values with their intervals; open marks, without one, where there is no drop."""
    look = {"fmt": MARKS[name], "color": LOOKS[name], "markersize": 4, "linewidth": 0.9}
    bars = np.abs(np.nan_to_num(np.array([value - low, high - value])))
    if not absent.all():
        axes.errorbar(x[~absent], value[~absent], bars[:, ~absent], label=LABELS[name], **look)
    if np.isfinite(value[absent]).any():
        named = LABELS[name] if absent.all() else None
        axes.errorbar(x[absent], value[absent], mfc="none", label=named, **look)
