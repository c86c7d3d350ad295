"""Figures of the chapter on the judge of digits: results in, figures out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import PANEL, percent

_BLUE, _ORANGE, _GREEN, _GREY = (style.COLORS[name] for name in ("blue", "orange", "green", "grey"))
_RECIPES = dict(zip(("over-pruned", "synthetic", "both"), style.CYCLE, strict=False))
_LABELS = {"over-pruned": "over-pruned machines", "synthetic": "digits taken apart", "both": "both"}
_GAP = 4
_COLUMNS = 10


def pictures(shown: xr.Dataset) -> InlineHTML:
    """What judges learn from: digits and digits taken apart, and images of machines pruned too far.

    Parameters
    ----------
    shown : xarray.Dataset
        ``pictures`` of :class:`rbmbook.studies.quality_judge.study.Study`.

    Returns
    -------
    InlineHTML
    """
    n = min(_COLUMNS, shown.sizes["shown"])
    classes = np.arange(_COLUMNS) % shown.sizes["class"]
    digits = _unpacked(shown.digits.values[classes, np.arange(_COLUMNS) // shown.sizes["class"]], shown)
    made = [(_unpacked(one.values[:n], shown), str(one.family.values), _GREEN) for one in shown.families]
    drawn = []
    for p0 in shown.dilution.values:
        for share in shown.removed.values:
            of = shown.machines.sel(dilution=p0, removed=share).transpose("replica", "drawn", "byte").values
            columns = np.arange(min(_COLUMNS, of.shape[0] * of.shape[1]))
            rows = of[columns % of.shape[0], columns // of.shape[0]]
            label = f"$p_0$ = {percent(p0)}\nf = {percent(share)}"
            drawn.append((_unpacked(rows, shown), label, _BLUE))
    return inline_svg(
        [_rows_panel([(digits, "digits", _ORANGE), *made]), _rows_panel(drawn)],
        title="What judges learn from",
        description="Rows of binary images. Left: digits of every class, and below them six families of images made from "
        "digits taken apart. Right: images of several machines that have lost almost all of their weights, a row "
        "for each dilution and share removed.",
    )


def _rows_panel(rows: Sequence[tuple[NDArray[np.uint8], str, str]]) -> Figure:
    """Rows of images (n, height, width), each with its label and colour."""
    height, width = rows[0][0].shape[1:]
    n_columns = max(len(images) for images, _, _ in rows)
    sheet = np.zeros((len(rows) * (height + _GAP) - _GAP, n_columns * (width + _GAP) - _GAP, 4), np.uint8)
    for row, (images, _, color) in enumerate(rows):
        ink = np.round(255 * np.array([*to_rgb(color), 1.0])).astype(np.uint8)
        for column, image in enumerate(images):
            y, x = row * (height + _GAP), column * (width + _GAP)
            sheet[y : y + height, x : x + width] = image[:, :, None] * ink
    with style.context():
        room = PANEL - 0.95
        figure, grid = style.figure(1, 1, width=PANEL, height=room * sheet.shape[0] / sheet.shape[1] + 0.1)
        axes = grid[0, 0]
        # Without interpolation the picture goes into the page at its own size.
        axes.imshow(sheet, interpolation="none", aspect="equal")
        places = np.arange(len(rows)) * (height + _GAP) + height / 2
        axes.set_yticks(places, [_in_lines(label) for _, label, _ in rows], fontsize=7.0)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def _in_lines(label: str) -> str:
    """A label in two lines where it is long, broken where the longer line is shortest."""
    if len(label) < 14 or "\n" in label or " " not in label:
        return label
    words = label.split(" ")
    broken = (f"{' '.join(words[:at])}\n{' '.join(words[at:])}" for at in range(1, len(words)))
    return min(broken, key=lambda lines: max(map(len, lines.split("\n"))))


def by_machine(unseen: xr.DataArray, synthetic: xr.DataArray, claimed: float) -> InlineHTML:
    """Share of each machine's images that judges reject which have never seen it: a dot a machine.

    Parameters
    ----------
    unseen, synthetic : xarray.DataArray
        By judges of over-pruned machines, and by the judge that learns from no machine: (dilution, replica, removed).
    claimed : float
        Accuracy that a line marks.
    """
    panels = [
        _machines_panel(values, f"learnt from {_LABELS[recipe]}", claimed)
        for values, recipe in ((unseen, "over-pruned"), (synthetic, "synthetic"))
    ]
    return inline_svg(
        panels,
        title="Negatives of machines that a judge has never seen",
        description="Two panels, a dot for every machine and share of weights removed, against the dilution: share of images "
        f"that judges reject. Means: {_told(unseen)} by judges of other over-pruned machines, {_told(synthetic)} by the judge "
        "that learns from digits taken apart.",
    )


def _told(values: xr.DataArray) -> str:
    means = values.mean(("dilution", "replica"))
    return " and ".join(
        f"{100 * value:.1f} % at f = {percent(share)}"
        for share, value in zip(means.removed.values, means.values, strict=True)
    )


def _machines_panel(values: xr.DataArray, title: str, claimed: float) -> Figure:
    shares = values.removed.values
    colors = (_BLUE, _ORANGE, _GREEN, style.COLORS["magenta"])
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=3.2)
        axes = grid[0, 0]
        dilution = 100 * values.dilution.values
        step = np.diff(dilution).min(initial=10.0)
        n = values.sizes["replica"]
        for at, share in enumerate(shares):
            rows = 100 * values.sel(removed=share).transpose("dilution", "replica").values
            # Replicas side by side within the width that is a dilution's.
            beside = (np.arange(n) - (n - 1) / 2) / max(n, 2) * 0.36 * step
            places = dilution[:, None] + beside + (at - (len(shares) - 1) / 2) * 0.42 * step
            label = f"f = {percent(share)}"
            axes.plot(
                places.ravel(), rows.ravel(), "o", markersize=2.2, color=colors[at % len(colors)], label=label, alpha=0.85,
                markeredgewidth=0,
            )  # fmt: skip
        style.reference_line(axes, y=100 * claimed, label="", end=True)
        axes.set_ylim(-2.0, 102)
        axes.set_xlabel("dilution $p_0$ in %")
        axes.set_ylabel("images rejected in %")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def matrix(accuracy: xr.Dataset, seen: xr.DataArray, unseen: xr.DataArray) -> InlineHTML:
    """Share that is right, by what a judge has learnt from and by what it is asked.

    Parameters
    ----------
    accuracy : xarray.Dataset
        ``accuracy`` of :class:`rbmbook.studies.quality_judge.study.Study`.
    seen, unseen : xarray.DataArray
        Shares of machines' images rejected by judges that have learnt from other images of them, or have not: (recipe).
    """
    recipes = accuracy.recipe.values.tolist()
    means = accuracy.mean("fold")
    rows = {
        "digits accepted": means.digits.values,
        "class named": means.classes.values,
        "machines seen": seen.sel(recipe=recipes).values,
        "machines not seen": unseen.sel(recipe=recipes).values,
        **{str(one.family.values): one.values for one in means.families.transpose("family", "recipe")},
    }
    table = 100 * np.array(list(rows.values()))
    with style.context():
        figure, grid = style.figure(1, 1, width=0.75 * style.COLUMN_WIDTH, height=0.32 * len(rows) + 0.75)
        axes = grid[0, 0]
        _shade(axes, table)
        axes.set_xticks(range(len(recipes)), [_LABELS[one].replace(" ", "\n", 1) for one in recipes])
        axes.set_yticks(range(len(rows)), list(rows))
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    told = "; ".join(
        f"{name}: "
        + ", ".join(f"{_LABELS[one]} {_cell(value)}" for one, value in zip(recipes, row, strict=True))
        for name, row in zip(rows, table, strict=True)
    )
    return inline_svg(
        figure,
        title="How often judges are right, by what they have learnt from",
        description=f"A table of percentages, a column for each recipe of negatives. {told}.",
    )


def _shade(axes: Axes, table: NDArray[np.float64]) -> None:
    """Cells with their percentage, the darker the more is wrong."""
    axes.set_xlim(-0.5, table.shape[1] - 0.5)
    axes.set_ylim(table.shape[0] - 0.5, -0.5)
    for (row, column), value in np.ndenumerate(table):
        wrong = 0.0 if np.isnan(value) else (100 - value) / 100
        axes.fill_between(
            [column - 0.48, column + 0.48], row - 0.46, row + 0.46, color=_ORANGE, alpha=0.06 + 0.54 * wrong, linewidth=0
        )  # fmt: skip
        axes.text(column, row, _cell(value), ha="center", va="center", fontsize=9.0)


def _cell(percent: float) -> str:
    return "\u2013" if np.isnan(percent) else f"{percent:.1f}"


def quality_curves(
    curves: xr.Dataset, cross_fitted: dict[str, NDArray[np.float64]], accepted: dict[str, float]
) -> InlineHTML:
    """Q against the share removed, by recipes and by the judges of each.

    Parameters
    ----------
    curves : xarray.Dataset
        ``curves`` of :class:`rbmbook.studies.quality_judge.study.Study`.
    cross_fitted : dict of str to array, (n_replicas, n_points)
        By recipe, Q by the judges that have not seen a machine.
    accepted : dict of str to float
        By recipe, share of the test digits that are accepted.
    """
    removed = 100 * curves.removed.values
    with style.context():
        first, grid = style.figure(1, 1, width=PANEL, height=3.4)
        axes = grid[0, 0]
        for recipe, rows in cross_fitted.items():
            style.band(axes, removed, rows, color=_RECIPES[recipe], label=_LABELS[recipe], spread="range")
            axes.plot(
                -3.0,
                accepted[recipe],
                ">",
                color=_RECIPES[recipe],
                markersize=4.5,
                clip_on=False,
                markeredgewidth=0,
            )
        _quality_axis(axes)
        axes.set_title("recipes, and machines' spread")
        first.legend(loc="outside lower center", ncols=2)
    with style.context():
        second, grid = style.figure(1, 1, width=PANEL, height=3.4)
        axes = grid[0, 0]
        for recipe in curves.recipe.values:
            rows = curves.quality.sel(recipe=recipe).mean("replica").transpose("fold", "removed").values
            for at, row in enumerate(rows[~np.isnan(rows).all(axis=1)]):
                axes.plot(
                    removed, row, color=_RECIPES[recipe], linewidth=0.9, label=None if at else _LABELS[recipe]
                )
        _quality_axis(axes)
        axes.set_title("single judges")
        second.legend(loc="outside lower center", ncols=2)
    return inline_svg(
        [first, second],
        title="Quality of pruned machines, by judges of several recipes",
        description="Q against the share of weights removed. Left: mean over machines and their range for each recipe, by judges "
        "that have not seen them; an arrow marks the share of test digits accepted. Right: one line a judge. "
        + " ".join(
            f"{_LABELS[recipe].capitalize()}: {rows.mean(axis=0)[0]:.2f} without pruning, {rows.mean(axis=0)[-1]:.2f} at the end."
            for recipe, rows in cross_fitted.items()
        ),
    )


def _quality_axis(axes: Axes) -> None:
    axes.set_xlim(-3, 100)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("f, weights removed in %")
    axes.set_ylabel("quality Q")


def _unpacked(rows: NDArray[np.uint8], shown: xr.Dataset) -> NDArray[np.uint8]:
    height, width = shown.attrs["height"], shown.attrs["width"]
    return np.unpackbits(rows, axis=-1, count=height * width).reshape(*rows.shape[:-1], height, width)
