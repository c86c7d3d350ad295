"""Figures and tables of the chapter on machines that are pruned and trained again: results in, figures out.

*Machines* are measures by ``(pair, arm, replica, removed)`` with ``total`` (pair, removed), the share of all weights that are
zero; *drops* are positions and widths in that share by ``(measure, pair, arm, replica)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_html import InlineHTML
from rbmbook.drawing.inline_svg import inline_svg
from rbmbook.studies.digits.arm_panels import LOOKS, table
from rbmbook.studies.digits.panels import LABELS, LOGARITHMIC

if TYPE_CHECKING:
    from rbmbook.evidence.estimates import Estimate

EVERYWHERE = ("frozen", "compensated", "biases", "retrained", "same-mask", "reference")
WIDE = ("retrained", "random-kept", "rewound", "same-mask", "same-mask-2", "reference", "reference-2")
"""Arms that are compared where a pair has all of them."""


def pruning_curves(
    machines: xr.Dataset,
    floors: xr.Dataset,
    arms: Sequence[str] = EVERYWHERE,
    measures: Sequence[str] = ("quality", "aai", "second_moment"),
) -> InlineHTML:
    """Fig. 5 of Diaz-Faloh & Mulet: measures against the total share p, one column for each pair that has all arms.

    Parameters
    ----------
    machines : xarray.Dataset
        The measures, and ``total`` (pair, removed).
    floors : xarray.Dataset
        Of the same names, where a measure has a floor.
    arms : sequence of str
        Which arms are drawn.
    measures : sequence of str
        Names of the measures, one row each.

    Returns
    -------
    InlineHTML
        Mean and standard deviation over replicas; all panels of a row share both axes.
    """
    pairs = pairs_with(machines, arms)
    if not pairs:
        return _nothing("No pair of this run has these arms.")
    with style.context():
        figure, grid = style.figure(
            len(measures), len(pairs), width=_width(len(pairs)), height=1.4 + 1.7 * len(measures), sharex=True, sharey="row"
        )  # fmt: skip
        for row, name in zip(grid, measures, strict=True):
            for axes, pair in zip(row, pairs, strict=True):
                _curves(axes, machines.sel(pair=pair), name, arms)
                if name in floors:
                    style.reference_line(axes, y=float(floors[name].mean()))
            row[0].set_ylabel(LABELS[name])
            if name in LOGARITHMIC:
                row[0].set_yscale("log")
        for axes, pair in zip(grid[0], pairs, strict=True):
            axes.set_title(pair, fontsize=8)
        _total_axis(grid[-1], float(machines.total.sel(pair=pairs).min()))
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2,
            title="columns: $(p_0, p)$; in the paper's Fig. 5 black outlasts magenta at every pair",
        )  # fmt: skip
    named = ", ".join(LOOKS[arm]["label"] for arm in arms)
    return inline_svg(
        figure,
        title="Machines that are pruned once more, by what became of them before",
        description=f"Rows: {', '.join(measures)}; columns: pairs of p0 and p. Against the total share of zero weights, from p "
        f"on, mean and standard deviation over replicas of each arm: {named}.",
    )


def _curves(axes: Axes, machines: xr.Dataset, name: str, arms: Sequence[str]) -> None:
    for arm in arms:
        rows = machines[name].sel(arm=arm).transpose("replica", "removed").values
        known = np.isfinite(rows).mean(axis=0) > 0.5
        look = {"linewidth": 1.3, **LOOKS[arm]}
        style.band(axes, machines.total.values[known], rows[:, known], spread="deviation", **look)
    if name.startswith("quality"):
        axes.set_ylim(-0.03, 1.05)


def drop_dots(
    drops: xr.Dataset, positions: Mapping[tuple[str, str], Estimate], arms: Sequence[str], measure: str
) -> InlineHTML:
    """Where machines lose a measure, and over which range of p: one dot for each machine, means with intervals.

    Parameters
    ----------
    drops : xarray.Dataset
        ``position`` and ``width``.
    positions : mapping of (str, str, str) to Estimate
        Mean with its interval by kind, pair and arm; unbounded where there are too few machines.
    arms : sequence of str
        Rows, from top to bottom.
    measure : str
        Which measure.
    """
    pairs = drops.pair.values.tolist()
    with style.context():
        figure, grid = style.figure(
            2, len(pairs), width=_width(len(pairs)), height=1.2 + 0.42 * len(arms), sharex="row", sharey=True
        )
        for row, kind in zip(grid, ("position", "width"), strict=True):
            for axes, pair in zip(row, pairs, strict=True):
                for at, arm in enumerate(arms):
                    values = drops[kind].sel(measure=measure, pair=pair, arm=arm).values
                    _row_of_dots(axes, at, values, positions[kind, pair, arm], LOOKS[arm]["color"])
                axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
                axes.xaxis.set_major_locator(MaxNLocator(3))
                axes.set_xlabel("p at the drop (%)" if kind == "position" else "width in p (%)")
            row[0].set_yticks(range(len(arms)), [LOOKS[arm]["label"] for arm in arms])
            row[0].set_ylim(len(arms) - 0.5, -0.5)
        for axes, pair in zip(grid[0], pairs, strict=True):
            axes.set_title(pair, fontsize=8)
        for axes in grid[1]:
            axes.set_xlim(left=0)
    return inline_svg(
        figure,
        title=f"Drops of {measure.replace('_', ' ')} by arm",
        description="Rows: arms; columns: pairs. Above the total share of zero weights at which the measure has gone half of "
        "its height, below the range from 10 to 90 % of the height; a dot for each machine, means with 95 % intervals.",
    )


def _row_of_dots(axes: Axes, at: int, values: NDArray[np.float64], estimate: Estimate, color: str) -> None:
    """Machines above the line of an arm, their mean and its interval on it; open where nothing drops within the grid."""
    never = values >= 1
    axes.plot(
        values[~never],
        np.full((~never).sum(), at - 0.22),
        "o",
        color=color,
        markersize=2.4,
        alpha=0.5,
        markeredgewidth=0,
    )
    axes.plot(
        values[never],
        np.full(never.sum(), at - 0.22),
        "o",
        color=color,
        markersize=2.6,
        mfc="none",
        markeredgewidth=0.5,
    )
    if np.isfinite(estimate.low):
        axes.plot([estimate.low, estimate.high], [at, at], color=color, linewidth=1.6)
        axes.plot([estimate.value], [at], "D", color=color, markersize=3.6)


def effects_table(effects: xr.Dataset, quantity: str, label: str, unit: str) -> InlineHTML:
    """What each step is worth by one quantity, a column for each pair; intervals that exclude zero in bold.

    Parameters
    ----------
    effects : xarray.Dataset
        Of :func:`rbmbook.studies.retraining.effects.decomposition`.
    quantity : str
        Name of the quantity.
    label, unit : str
        What it is called, and its unit; ``"%"`` for shares.
    """
    chosen = effects.sel(quantity=quantity)
    scale = 100 if unit == "%" else 1
    head = ["Step", *chosen.pair.values.tolist(), "Replicas"]
    rows, lines = [], []
    for step in chosen.step.values.tolist():
        here = chosen.sel(step=step)
        ends = [scale * here[name].values for name in ("value", "low", "high")]
        if np.isnan(ends[0]).all():
            continue
        cells = [_gain_cell(*one) for one in zip(*ends, strict=True)]
        rows.append([step, *cells, "paired" if here.paired else "apart"])
        lines.append(
            f"{step}: " + "; ".join(re.sub("<[^>]+>", "", cell.replace("<br>", " ")) for cell in cells)
        )
    unit_told = {"%": "per cent of all weights", "": "in its own unit"}.get(unit, unit)
    caption = f"Gains in {label}, {unit_told}; positive is better; 95 % intervals over replicas."
    return table(head, rows, caption, "\n".join(lines))


def levels_table(machines: xr.Dataset, base: xr.Dataset) -> InlineHTML:
    """Q and log-likelihood of every arm with no further pruning, means over replicas, a column for each pair.

    Parameters
    ----------
    machines : xarray.Dataset
        ``quality`` and ``log_likelihood`` (pair, arm, replica, part).
    base : xarray.Dataset
        ``quality`` of the base machines (pair, replica).
    """
    quality = machines.quality.isel(removed=0).mean("replica")
    likelihood = machines.log_likelihood.sel(part="test").mean("replica")
    rows = [["base machine, not pruned", *(f"{one:.2f}" for one in base.quality.mean("replica").values)]]
    for arm in machines.arm.values.tolist():
        cells = [
            "\u2013" if np.isnan(q) else f"{q:.2f}<br><small>{nats:.1f} nats</small>".replace("-", "\u2212")
            for q, nats in zip(quality.sel(arm=arm).values, likelihood.sel(arm=arm).values, strict=True)
        ]
        if set(cells) != {"\u2013"}:
            rows.append([LOOKS[arm]["label"], *cells])
    text = "\n".join(f"{first}: {re.sub('<[^>]+>', ' ', '; '.join(rest))}" for first, *rest in rows)
    caption = "Q, and log-likelihood of test images below it, with no further pruning; means over replicas."
    return table(["Arm", *machines.pair.values.tolist()], rows, caption, text)


def _gain_cell(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "\u2013"
    digits = _digits(high - low)
    told, *ends = (f"{x:+.{digits}f}".replace("-", "\u2212") for x in (value, low, high))
    first = f"<b>{told}</b>" if low * high > 0 else told
    return f"{first}<br><small>[{', '.join(ends)}]</small>"


def _digits(width: float) -> int:
    """Decimals at which an interval has two digits, at most three."""
    return int(np.clip(1 - np.floor(np.log10(width)), 0, 3)) if width > 0 else 3


def pairs_with(machines: xr.Dataset, arms: Sequence[str]) -> list[str]:
    """The pairs that have all of some arms."""
    there = machines.quality.sel(arm=list(arms)).notnull().any(["replica", "removed"]).all("arm")
    return machines.pair.values[there.values].tolist()


def _total_axis(row: Sequence[Axes], least: float) -> None:
    for axes in row:
        axes.set_xlim(least - 0.03 * (1 - least), 1)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        axes.set_xlabel("p, all zeros (%)")


def _width(columns: int) -> float:
    """Width of a row of panels, the text column from three panels on."""
    return min(style.COLUMN_WIDTH, 1.0 + 2.4 * columns)


def _nothing(words: str) -> InlineHTML:
    return InlineHTML(f"<p>{words}</p>", words)
