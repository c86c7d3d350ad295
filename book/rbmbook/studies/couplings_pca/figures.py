"""Figures of the chapter on classes of machines by weights and couplings: results in, figures out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.studies.digits.arm_panels import LOOKS, table
from rbmlib.analysis.principal_axes import principal_coordinates

from .classes import CONTRASTS, SPACES, arms_and_replicas, gram_of

MARKS = {"frozen": "s", "retrained": "o", "reference": "^", "same-mask": "v", "random-kept": "D"}
"""An arm's mark; its colour is that of its curves, the references' black."""
PANELS = {
    "a": ("weights", ("frozen", "retrained", "reference")),
    "b": ("weights", ("frozen", "retrained", "same-mask")),
    "c": ("couplings", ("frozen", "retrained", "reference")),
    "d": ("couplings", ("frozen", "retrained", "same-mask")),
}
"""Space and arms of the paper's panels."""
CONTROLS = {
    "weights": ("weights", ("retrained", "random-kept", "reference")),
    "J(2)": ("couplings", ("retrained", "random-kept", "reference")),
    "J(2), unit length": ("cosines", ("retrained", "random-kept", "reference")),
}
"""The same of the control: retrained with any of the base's weights kept."""
SPACE_LABELS = {"weights": "weights", "couplings": "J(2)", "cosines": "J(2), unit length"}
SIGNIFICANT = 0.05
"""Filled marks: a permutation test with a smaller p."""


def planes(
    comparisons: Mapping[str, xr.Dataset], panels: Mapping[str, tuple[str, Sequence[str]]] = PANELS
) -> InlineHTML:
    """Fig. 6 of Diaz-Faloh & Mulet: machines on the first two principal axes, one row for each pair (p0, p).

    Parameters
    ----------
    comparisons : mapping of str to xarray.Dataset
        Inner products of machines by pair.
    panels : mapping of str to (str, sequence of str)
        Space and arms by title. A pair that lacks an arm has no row.
    """
    wanted = {arm for _, arms in panels.values() for arm in arms}
    shown = {pair: one for pair, one in comparisons.items() if wanted <= set(arms_and_replicas(one)[0])}
    if not shown:
        return InlineHTML("<p>No pair of this run has these arms.</p>", "No pair of this run has these arms.")
    with style.context():
        width = min(style.COLUMN_WIDTH, 0.4 + 1.75 * len(panels))
        figure, grid = style.figure(len(shown), len(panels), width=width, height=0.8 + 1.6 * len(shown))
        for row, (pair, comparison) in zip(grid, shown.items(), strict=True):
            for axes, (title, (space, arms)) in zip(row, panels.items(), strict=True):
                _scatter(axes, comparison, space, arms)
                if row is grid[0] or axes in grid[0]:
                    axes.set_title(
                        f"{title}  {SPACE_LABELS[space]}" if len(title) == 1 else title, fontsize=8
                    )
            row[0].set_ylabel(f"{pair}\nsecond axis", fontsize=7.5)
        _legend(figure, [arm for arm in MARKS if arm in wanted])
    return inline_svg(
        figure,
        title="Machines on their first two principal axes",
        description="Rows: pairs of p0 and p; columns: what machines are compared by and which references stand beside them. "
        "One mark for each machine; a thin line joins the frozen and the retrained machine of a replica.",
    )


def _scatter(axes: Axes, comparison: xr.Dataset, space: str, arms: Sequence[str]) -> None:
    labels, replicas = arms_and_replicas(comparison)
    chosen = np.flatnonzero(np.isin(labels, arms))
    gram = gram_of(comparison, space)[np.ix_(chosen, chosen)]
    found = principal_coordinates(gram, 2)
    labels, replicas = labels[chosen], replicas[chosen]
    if {"frozen", "retrained"} <= set(arms):
        for replica in np.unique(replicas):
            both = np.isin(labels, ("frozen", "retrained")) & (replicas == replica)
            axes.plot(
                *found.coordinates[both].T, color=style.COLORS["grey"], linewidth=0.4, alpha=0.6, zorder=1
            )
    for arm in arms:
        color = "#000000" if arm == "same-mask" else LOOKS[arm]["color"]
        axes.plot(
            *found.coordinates[labels == arm].T,
            MARKS[arm],
            color=color,
            markersize=3.2,
            alpha=0.8,
            markeredgewidth=0,
        )
    first, second = (f"{100 * share:.0f}" for share in found.explained)
    axes.set_xlabel(f"{first} + {second} % of variance", fontsize=7)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(NullFormatter())
        axis.set_minor_locator(NullLocator())
        axis.set_tick_params(length=0)


def _legend(figure: Figure, arms: Sequence[str]) -> None:
    handles = [
        Figure()
        .subplots()
        .plot([], [], MARKS[arm], color="#000000" if arm == "same-mask" else LOOKS[arm]["color"])[0]
        for arm in arms
    ]
    figure.legend(handles, [LOOKS[arm]["label"] for arm in arms], loc="outside lower center", ncols=2)


def separation_dots(separations: xr.Dataset, margin: float, axes: str = "leading") -> InlineHTML:
    """Separations of all contrasts with their intervals, one panel for each space and one colour for each pair.

    Parameters
    ----------
    separations : xarray.Dataset
        Of :func:`rbmbook.studies.couplings_pca.classes.separations`.
    margin : float
        Within which classes are not apart.
    axes : str
        In which axes: ``"leading"`` or ``"plane"``.
    """
    chosen = separations.sel(axes=axes)
    pairs = chosen.pair.values.tolist()
    with style.context():
        figure, grid = style.figure(1, len(SPACES), height=3.4, sharex=True, sharey=True)
        for panel, space in zip(grid[0], SPACES, strict=True):
            panel.axvspan(-margin, margin, color=style.COLORS["grey"], alpha=0.18, linewidth=0)
            for pair, color, shift in zip(
                pairs, style.ramp(len(pairs)), np.linspace(-0.24, 0.24, len(pairs)), strict=True
            ):
                here = chosen.sel(space=space, pair=pair)
                _intervals(panel, here, shift if len(pairs) > 1 else 0.0, color, f"$(p_0, p)$ = {pair}")
            panel.set_title(SPACE_LABELS[space])
            panel.set_xlabel("separation (scatters)")
        grid[0, 0].set_yticks(
            range(len(CONTRASTS)), [_wrapped(one.label) for one in CONTRASTS.values()], fontsize=7.5
        )
        grid[0, 0].set_ylim(len(CONTRASTS) - 0.5, -0.5)
        # The interval of three replicas may be a hundred times as long as the way between classes.
        ends = [-margin, margin, float(chosen.separation.min()), float(chosen.separation.max())]
        grid[0, 0].set_xlim(min(ends) - 0.3 * np.ptp(ends), max(ends) + 0.3 * np.ptp(ends))
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return inline_svg(
        figure,
        title="How far apart classes of machines lie",
        description="Cross-validated separation in units of the scatter within classes, with 95 % intervals over replicas: rows "
        "are classes that are compared, panels what they are compared by, colours pairs of p0 and p. Filled where a permutation "
        "test has p below 0.05; shaded, the margin within which classes are not apart.",
    )


def separations_table(separations: xr.Dataset) -> InlineHTML:
    """Separations of all contrasts, spaces and axes as a table, a column for each pair.

    Parameters
    ----------
    separations : xarray.Dataset
        Of :func:`rbmbook.studies.couplings_pca.classes.separations`.
    """
    rows, lines = [], []
    for space in separations.space.values.tolist():
        for name, contrast in CONTRASTS.items():
            for axes in separations.axes.values.tolist():
                here = separations.sel(space=space, contrast=name, axes=axes)
                cells = [_separation_cell(here.sel(pair=pair)) for pair in here.pair.values]
                if set(cells) != {"\u2013"}:
                    rows.append([f"{SPACE_LABELS[space]}, {axes}: {contrast.label}", *cells])
                    lines.append(f"{rows[-1][0]}: {re.sub('<[^>]+>', ' ', '; '.join(cells))}")
    caption = "Separations in scatters with 95 % intervals, p of the permutation test, and share nearer to their own class."
    return table(["Compared by", *separations.pair.values.tolist()], rows, caption, "\n".join(lines))


def _separation_cell(here: xr.Dataset) -> str:
    value, low, high, p, right = (
        float(here[name]) for name in ("separation", "low", "high", "p_value", "accuracy")
    )
    if np.isnan(value):
        return "\u2013"
    ends = f"{value:.1f}<br><small>[{low:.1f}, {high:.1f}]".replace("-", "\u2212")
    return f"{ends}<br>p = {p:.2g}, {100 * right:.0f} %</small>"


def _intervals(axes: Axes, here: xr.Dataset, shift: float, color: str, label: str) -> None:
    rows = np.arange(here.sizes["contrast"]) + shift
    known = np.isfinite(here.separation.values)
    for low, high, row in zip(here.low.values[known], here.high.values[known], rows[known], strict=True):
        axes.plot([low, high], [row, row], color=color, linewidth=1.4)
    clear = known & (here.p_value.values < SIGNIFICANT)
    axes.plot(here.separation.values[clear], rows[clear], "o", color=color, markersize=4)
    axes.plot(
        here.separation.values[known & ~clear],
        rows[known & ~clear],
        "o",
        color=color,
        mfc="none",
        markersize=4,
    )
    axes.plot([], [], "o-", color=color, markersize=4, label=label)


def _wrapped(text: str) -> str:
    """A label on two lines, broken near its middle."""
    words = text.split()
    at = min(range(1, len(words)), key=lambda n: abs(len(" ".join(words[:n])) - len(text) / 2))
    return f"{' '.join(words[:at])}\n{' '.join(words[at:])}"
