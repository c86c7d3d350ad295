"""Figures of the chapter on the collapse of pruning curves: results in, figures out.

*Machines* are measures by ``(biases, replica, dilution, removed)``, *found* is by biases and measure, as
:func:`rbmbook.studies.collapse.numbers.derived` gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import percent
from rbmbook.drawing.slider import slider
from rbmbook.studies.digits.panels import LABELS, LOOKS, MARKS, PANEL, dilution_axis
from rbmlib.analysis.collapse import overlap_cost, rescaled_total

PLAIN, COMPENSATED = "as trained", "compensated"
PAPER_ALPHA = 0.5
ALPHAS = np.round(np.arange(0, 1.01, 0.1), 1)
_GREY, _BLUE, _ORANGE = (style.COLORS[name] for name in ("grey", "blue", "orange"))
_HEIGHTS = {"quality": (-0.03, 1.05), "quality_other": (-0.03, 1.05), "digits": (0, 10.5)}
_Array = NDArray[np.float64]


def _nothing(words: str) -> InlineHTML:
    return InlineHTML(f"<p>{words}</p>", words)


def scales(
    machines: xr.Dataset,
    measures: Sequence[str] = tuple(LOOKS),
    biases: str = PLAIN,
    alpha: float = PAPER_ALPHA,
) -> InlineHTML:
    """Every measure against p, p* and f: one column a scale, one row a measure, one line a dilution.

    Parameters
    ----------
    machines : xarray.Dataset
        Measures (biases, replica, dilution, removed).
    measures : sequence of str
        Names of the measures.
    biases : str
        Which machines.
    alpha : float
        Of p* = p - alpha p0.
    """
    chosen = machines.sel(biases=biases)
    columns = {
        "p, of all weights (%)": chosen.total.values,
        f"p* = p \N{MINUS SIGN} {alpha:g} $p_0$ (%)": _scale(chosen, alpha),
        "f, of those left (%)": np.broadcast_to(chosen.removed.values, chosen.total.shape),
    }
    panels = []
    for label, abscissas in columns.items():
        with style.context():
            figure, grid = style.figure(
                len(measures), 1, width=style.COLUMN_WIDTH / 3, height=1.1 + 1.35 * len(measures), sharex=True
            )
            for axes, name in zip(grid[:, 0], measures, strict=True):
                _lines(axes, chosen, name, abscissas)
                axes.set_ylabel(LABELS[name])
            grid[-1, 0].set_xlabel(label)
            _legend(figure, grid[0, 0], 3)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Pruning curves on three scales",
        description="One row a measure, one line a dilution, means over replicas: against the total share p of zero weights, "
        f"against p* with alpha = {alpha:g}, and against the share f removed of what training left.",
    )


def alpha_estimates(found: Mapping[tuple[str, str], Any], paper_step: float) -> InlineHTML:
    """The best alpha and the step on p* of every measure, with intervals, beside the paper's.

    Parameters
    ----------
    found : mapping
        By biases and measure; ``collapse`` and ``drops`` of each.
    paper_step : float
        Where eq. 7 has its step.
    """
    names = [name for name in LOOKS if any((biases, name) in found for biases in (PLAIN, COMPENSATED))]
    if not any(one.collapse for one in found.values()):
        return _nothing("No measure of this run drops at every dilution.")
    panels = []
    for kind, label, paper in (
        ("alpha", "best $\\alpha$", PAPER_ALPHA),
        ("step", "step on p* (%)", paper_step),
    ):
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.0)
            axes = grid[0, 0]
            for biases, color, shift in ((PLAIN, _BLUE, -0.13), (COMPENSATED, _ORANGE, 0.13)):
                known = [
                    (y + shift, getattr(found[biases, name].collapse, kind), found[biases, name])
                    for y, name in enumerate(names)
                    if (biases, name) in found and found[biases, name].collapse
                ]
                if not known:
                    continue
                y, fits, ones = zip(*known, strict=True)
                value, low, high = np.array(fits).T
                axes.errorbar(value, y, xerr=[value - low, high - value], fmt="o", color=color, label=biases)
                if kind == "alpha":
                    rest = [1 - one.drops[..., 0].mean() for one in ones]
                    axes.plot(rest, y, "|", color=color, markersize=11, label="1 \N{MINUS SIGN} $f_c$")
            style.reference_line(axes, x=paper, label="paper", end=True)
            axes.set_yticks(range(len(names)), [LABELS[name] for name in names])
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_xlim(0, 1)
            if kind == "step":
                axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
            axes.set_xlabel(label)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Best alpha and step of every measure",
        description="Dots with 95 % intervals for machines with their biases as trained and with compensated ones; upright "
        "strokes, one minus the mean share f at which single machines drop; dashed, the paper's values.",
    )


def widths(found: Mapping[tuple[str, str], Any], dilution: _Array, biases: str = PLAIN) -> InlineHTML:
    """Mean width of single machines' drops in f, over that at the lowest dilution, against p0.

    Parameters
    ----------
    found : mapping
        By biases and measure; ``drops`` and ``exponent`` of each.
    dilution : array, (n_dilutions,)
        p0.
    biases : str
        Which machines.
    """
    known = {name: found[biases, name] for name in LOOKS if (biases, name) in found}
    known = {name: one for name, one in known.items() if one.exponent is not None}
    if not known:
        return _nothing("No measure of this run drops in every machine.")
    with style.context():
        figure, grid = style.figure(1, 1, width=5.0, height=3.2)
        axes = grid[0, 0]
        for at, (name, one) in enumerate(known.items()):
            width = one.drops[..., 1]
            unit = width[:, 0].mean()
            error = width.std(axis=0, ddof=1) / np.sqrt(len(width)) / unit
            x = dilution + 0.008 * (at - (len(known) - 1) / 2)
            axes.errorbar(
                x, width.mean(axis=0) / unit, error, fmt=MARKS[name] + "-", color=LOOKS[name], linewidth=0.9,
                label=LABELS[name],
            )  # fmt: skip
        fine = np.linspace(dilution[0], dilution[-1], 60)
        axes.plot(
            fine,
            (1 - dilution[0]) / (1 - fine),
            color=_GREY,
            linestyle=(0, (4, 3)),
            label="alike on p*",
            zorder=1,
        )
        axes.plot(fine, np.ones(60), color=_GREY, linestyle=":", label="alike on f", zorder=1)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("width in f / that of the first")
        dilution_axis(axes, dilution)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return inline_svg(
        figure,
        title="Width of the drop against the dilution",
        description="Mean width in f of single machines' drops, over that at the lowest dilution, with standard errors; dotted, "
        "constant, as for curves that are alike in f; dashed, rising as 1 / (1 - p0), as for curves alike on p*.",
    )


def compensation(machines: xr.Dataset, dilutions: Sequence[float]) -> InlineHTML:
    """Q and E_AAI against f for biases as trained and compensated, one column a dilution.

    Parameters
    ----------
    machines : xarray.Dataset
        Measures (biases, replica, dilution, removed).
    dilutions : sequence of float
        Which dilutions.
    """
    panels = []
    for p0 in dilutions:
        with style.context():
            figure, grid = style.figure(2, 1, width=style.COLUMN_WIDTH / 3, height=4.4, sharex=True)
            for axes, name in zip(grid[:, 0], ("quality", "aai"), strict=True):
                for biases, color in ((PLAIN, _BLUE), (COMPENSATED, _ORANGE)):
                    rows = machines[name].sel(biases=biases, dilution=p0).transpose("replica", "removed")
                    style.band(axes, machines.removed.values, rows.values, color=color, label=biases)
                axes.set_ylabel(LABELS[name])
                axes.set_ylim(*_HEIGHTS.get(name, (0, 1.05 * float(machines[name].max()))))
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
            axes.set_xlabel("f, of those left (%)")
            grid[0, 0].set_title(f"$p_0$ = {percent(p0)}")
            figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Pruned machines with compensated biases",
        description="Q and the adversarial error against the share removed, for machines whose biases are as trained and for "
        "the same machines with biases that make up for the removed weights; mean and range over replicas.",
    )


def alpha_slider(
    machines: xr.Dataset, measures: Sequence[str] = ("quality", "aai"), biases: str = PLAIN
) -> InlineHTML:
    """Curves on p* for alpha from 0 to 1, with the overlap cost of each.

    Parameters
    ----------
    machines : xarray.Dataset
        Measures (biases, replica, dilution, removed).
    measures : sequence of str
        Which measures, one panel each.
    biases : str
        Which machines.
    """
    chosen = machines.sel(biases=biases)
    means = {
        name: chosen[name].transpose("replica", "dilution", "removed").values.mean(axis=0)
        for name in measures
    }
    frames, labels = [], []
    for alpha in ALPHAS:
        abscissas = _scale(chosen, alpha)
        panels = []
        for name in measures:
            with style.context():
                figure, grid = style.figure(1, 1, width=PANEL, height=3.0)
                _lines(grid[0, 0], chosen, name, abscissas)
                grid[0, 0].set_title(f"curves apart by {_root(abscissas, means[name])}")
                grid[0, 0].set_xlabel("p* (%)")
                grid[0, 0].set_ylabel(LABELS[name])
                _legend(figure, grid[0, 0], 5)
            panels.append(figure)
        frames.append(panels)
        labels.append(f"\N{GREEK SMALL LETTER ALPHA} = {alpha:.1f}")
    return slider(
        frames,
        labels,
        name="Scale",
        title="Curves on p* for one alpha after the other",
        description="A slider moves alpha from 0, where the abscissa is p, to 1; above each panel the typical distance between "
        "two curves in units of their height.",
        start=int(np.argmin(np.abs(ALPHAS - PAPER_ALPHA))),
    )


def _root(abscissas: _Array, curves: _Array) -> str:
    """The root of the overlap cost, in per cent of the height."""
    cost = overlap_cost(abscissas, curves)
    return percent(cost**0.5) if np.isfinite(cost) else "too little overlap"


def _scale(machines: xr.Dataset, alpha: float) -> _Array:
    return rescaled_total(machines.dilution.values, machines.removed.values, alpha)


def _lines(axes: Axes, machines: xr.Dataset, name: str, abscissas: _Array) -> None:
    dilutions = machines.dilution.values
    means = machines[name].transpose("replica", "dilution", "removed").values.mean(axis=0)
    for p0, x, y, color in zip(dilutions, abscissas, means, style.ramp(len(dilutions)), strict=True):
        axes.plot(x, y, color=color, linewidth=1.1, label=percent(float(p0)))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    axes.set_xlim(-0.02, 1.02)
    if name in _HEIGHTS:
        axes.set_ylim(*_HEIGHTS[name])


def _legend(figure: Figure, axes: Axes, columns: int) -> None:
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=columns,
        title="$p_0$",
        columnspacing=1.0,
    )
