"""Figures of the chapter on machines that are sparse from the start: results in, figures out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import LABELS, LEFT_OUT, PANEL, by_seed, field_title
from rbmlib.clusters import cluster_mask, cluster_statistic, standing_out

MEASURES = ("kl", "eroe", "mroe", "correlation_mse")
"""The measures of Fig. 5 of Golubeva & Melko."""
TRAINED = ("dense", "pruned", "ss", "os", "sc")
"""The machines of that figure, in the order of their colours."""
COMPARED = ("dense", "ss", "repeat", "other weights", "os", "sc", "sc 1", "sc 2", "random")
"""What the final errors show beside the pruned machine."""
SMOOTHED = 5
"""Entries of a history that the training curves average over."""


def _dots(axes: Axes, x: float, values: np.ndarray, color: str) -> None:
    """One seed a dot, side by side about a place, and a bar at their mean."""
    present = values[~np.isnan(values)]
    places = x + np.linspace(-0.22, 0.22, len(present)) if len(present) > 1 else np.array([x])
    axes.plot(places, present, "o", color=color, markersize=3.0, alpha=0.6, markeredgewidth=0)
    axes.plot([x - 0.32, x + 0.32], [present.mean()] * 2, color=color, linewidth=1.8)


def _plain_logarithmic(axes: Axes) -> None:
    """A logarithmic axis over less than a few decades, labelled by plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _names_below(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=50, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(names) - 0.4)


def training_curves(main: xr.Dataset) -> InlineHTML:
    """Fig. 5 of Golubeva & Melko: errors of dense, pruned and sparse machines against epochs, one column a field.

    Parameters
    ----------
    main : xarray.Dataset
        ``training`` (variant, field, seed, epoch, measure).

    Returns
    -------
    InlineHTML
    """
    panels = []
    for field in main.field.values:
        with style.context():
            figure, grid = style.figure(len(MEASURES), 1, width=PANEL, height=7.0, sharex=True)
            for axes, measure in zip(grid[:, 0], MEASURES, strict=True):
                for variant in TRAINED:
                    history = main.training.sel(variant=variant, field=field, measure=measure)
                    history = history.dropna("seed", how="all").dropna("epoch", how="any")
                    # Epoch 1 and the odd last one would be counted as much as five epochs.
                    smooth = history.rolling(epoch=SMOOTHED, min_periods=1, center=True).mean()
                    style.band(
                        axes, smooth.epoch.values, by_seed(smooth, "epoch"), label=variant, linewidth=1.1
                    )
                axes.set_yscale("log")
                axes.set_ylabel(LABELS[measure])
            grid[-1, 0].set_xlabel("epoch")
            grid[0, 0].set_title(field_title(float(field)))
            figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Training of dense, pruned and sparse machines",
        description="KL divergence, eROE, mROE and mean squared error of the correlations on logarithmic scales against "
        "epochs, for five kinds of machines, one column a field; mean and range over seeds.",
    )


def final_errors(main: xr.Dataset) -> InlineHTML:
    """Final error of every machine divided by that of the pruned machine of the same seed, one column a field.

    Parameters
    ----------
    main : xarray.Dataset
        ``final`` (variant, field, seed, measure).
    """
    shown = [name for name in COMPARED if name in main.variant]
    panels = []
    for field in main.field.values:
        with style.context():
            figure, grid = style.figure(len(MEASURES), 1, width=PANEL, height=7.2, sharex=True)
            for axes, measure in zip(grid[:, 0], MEASURES, strict=True):
                final = main.final.sel(field=field, measure=measure)
                for x, name in enumerate(shown):
                    ratio = (final.sel(variant=name) / final.sel(variant="pruned")).values
                    color = style.COLORS["magenta"] if name == "dense" else style.COLORS["blue"]
                    _dots(axes, x, ratio, style.COLORS["grey"] if name == "random" else color)
                style.reference_line(axes, y=1.0)
                _plain_logarithmic(axes)
                axes.set_ylabel(f"{LABELS[measure]} / pruned")
            _names_below(grid[-1, 0], shown)
            grid[0, 0].set_title(field_title(float(field)))
        panels.append(figure)
    return inline_svg(
        panels,
        title="Final errors beside the pruned machine's",
        description="For four error measures, each machine's final error divided by that of the pruned machine of the same seed, "
        "on a logarithmic scale; one dot a seed and a bar at the mean, one column a field.",
    )


def mask_pictures(main: xr.Dataset, seed: int = 0) -> InlineHTML:
    """Which weights the machines of a seed have, one column a field.

    Parameters
    ----------
    main : xarray.Dataset
        ``weights`` (variant, field, seed, visible, hidden).
    seed : int
        Whose.
    """
    names = {
        "pruned": "pruned, ss", "os": "os", "sc": "sc", "sc 1": "sc 1", "random": "random",
        "shuffled 50 %": "ss, 50 % moved",
    }  # fmt: skip
    panels = []
    for field in main.field.values:
        with style.context():
            figure, grid = style.figure(3, 2, width=PANEL, height=3.9, sharex=True, sharey=True)
            for axes, (name, title) in zip(grid.ravel(), names.items(), strict=True):
                if name not in main.variant:
                    axes.set_visible(False)
                    continue
                weights = main.weights.sel(variant=name, field=field, seed=seed)
                visible, hidden = np.nonzero(weights.transpose("visible", "hidden").values)
                axes.scatter(
                    visible + 1, hidden + 1, s=9, marker="s", color=style.COLORS["blue"], linewidths=0
                )
                axes.set_title(title, fontsize=8.0)
                axes.grid(False)
                axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
                axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            grid[-1, 0].set_xlabel("visible unit")
            grid[-1, 1].set_xlabel("visible unit")
            grid[1, 0].set_ylabel("hidden unit")
            figure.suptitle(field_title(float(field)), x=0.02, ha="left", fontsize=9.5, fontweight="bold")
        panels.append(figure)
    return inline_svg(
        panels,
        title="Masks",
        description="Grids of visible by hidden units, a square for every weight, for the pruned machine's mask, another seed's, "
        "constructed ones, a random one and one half of whose entries have moved; one column a field.",
    )


def cluster_pictures(main: xr.Dataset, wide: xr.Dataset | None, seed: int = 0) -> InlineHTML:
    """Weights of dense machines and of those whose clusters were forbidden; clusters are coloured.

    Parameters
    ----------
    main, wide : xarray.Dataset
        ``weights`` (variant, field, seed, visible, hidden) and ``weights`` (field, seed, visible, hidden) of
        machines with many hidden units; None if the run left them out.
    seed : int
        Whose.
    """
    panels = []
    for field in main.field.values:
        rows = {"dense": main.weights.sel(variant="dense", field=field, seed=seed)}
        if "relocated" in main.variant:
            rows["relocated"] = main.weights.sel(variant="relocated", field=field, seed=seed)
        if wide is not None:
            rows[f"dense, {wide.sizes['hidden']} hidden units"] = wide.weights.sel(field=field, seed=seed)
        heights = [1.0 + 0.5 * weights.sizes["hidden"] / main.sizes["hidden"] for weights in rows.values()]
        with style.context():
            figure, grid = style.figure(
                len(rows), 1, width=PANEL, height=1.25 * sum(heights), sharex=True, height_ratios=heights
            )
            for axes, (name, weights) in zip(grid[:, 0], rows.items(), strict=True):
                _weights(
                    axes,
                    weights.transpose("visible", "hidden").values,
                    size=45 if "hidden" not in name else 14,
                )
                axes.set_title(name, fontsize=8.0)
            grid[-1, 0].set_xlabel("visible unit (site)")
            figure.suptitle(field_title(float(field)), x=0.02, ha="left", fontsize=9.5, fontweight="bold")
        panels.append(figure)
    return inline_svg(
        panels,
        title="Clusters of large weights",
        description="Grids of visible by hidden units; each weight is a disc whose area grows with its magnitude, blue where it "
        "belongs to a cluster, grey elsewhere, with a cross where a weight was removed; one column a field.",
    )


def _weights(axes: Axes, weights: np.ndarray, size: float) -> None:
    """Weights (visible, hidden) as discs, clusters in colour, missing ones as crosses."""
    alive = weights != 0
    inside = cluster_mask(standing_out(weights, alive))
    largest = np.abs(weights).max()
    for which, color in ((alive & ~inside, "grey"), (inside, "blue")):
        visible, hidden = np.nonzero(which)
        area = size * np.abs(weights[which]) / largest
        axes.scatter(visible + 1, hidden + 1, s=area, color=style.COLORS[color], linewidths=0)
    visible, hidden = np.nonzero(~alive)
    axes.scatter(
        visible + 1, hidden + 1, s=size / 3, marker="x", color=style.COLORS["orange"], linewidths=0.8
    )
    axes.set_ylabel("hidden unit")
    axes.set_ylim(0.3, weights.shape[1] + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def cluster_table(machines: dict[str, xr.DataArray]) -> InlineHTML:
    """Clusters of the machines of several seeds beside those of shuffled weights.

    Parameters
    ----------
    machines : dict of str to xarray.DataArray
        Weights (seed, visible, hidden) by what the machines are.
    """
    rows, lines = [], []
    for name, weights in machines.items():
        found = [
            cluster_statistic(one, one != 0)
            for one in weights.dropna("seed").transpose("seed", "visible", "hidden").values
        ]
        one, shuffled = (
            100 * np.mean([getattr(each, field) for each in found])
            for field in ("share_with_one", "shuffled_share_with_one")
        )
        none = 100 * np.mean([(each.counts == 0).mean() for each in found])
        sizes = np.concatenate([each.sizes for each in found])
        size = f"{sizes.mean():.1f}" if sizes.size else "\u2013"
        cells = (f"{one:.0f} %", f"{shuffled:.0f} %", f"{none:.0f} %", size)
        rows.append(f"<tr><td>{name}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        lines.append(
            f"{name}: {one:.0f} % with one cluster, {shuffled:.0f} % when shuffled, mean size {size}"
        )
    heads = ("machines", "units with one cluster", "when shuffled", "units with none", "weights in a cluster")
    head = "".join(f"<th>{name}</th>" for name in heads)
    table = (
        "<style>.rbm-clusters td, .rbm-clusters th { padding: .1rem .6rem; text-align: right; } "
        ".rbm-clusters td:first-child, .rbm-clusters th:first-child { text-align: left; }</style>"
        f'<table class="rbm-clusters"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
    return InlineHTML(f'<div style="overflow-x:auto">{table}</div>', "; ".join(lines))


def breaking_curves(main: xr.Dataset, shares: Sequence[float]) -> InlineHTML:
    """Final errors against the share of mask entries that have moved, in units of the dense error.

    Parameters
    ----------
    main : xarray.Dataset
        ``final`` (variant, field, seed, measure).
    shares : sequence of float
        Shares moved, in the order of the variants whose names begin with "shuffled".
    """
    moved = [str(name) for name in main.variant.values if str(name).startswith("shuffled")]
    if not moved:
        return LEFT_OUT
    x = np.array([0.0, *shares])
    panels = []
    for field in main.field.values:
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.3)
            axes = grid[0, 0]
            for measure in MEASURES:
                final = main.final.sel(field=field, measure=measure)
                values = final.sel(variant=["ss", *moved]).transpose("seed", "variant").dropna("seed")
                dense = float(final.sel(variant="dense").mean("seed"))
                style.band(axes, x, values.values / dense, label=LABELS[measure], marker="o")
            style.reference_line(axes, y=1.0, label="dense", end=True)
            _plain_logarithmic(axes)
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
            axes.set_xlabel("mask entries moved (%)")
            axes.set_ylabel("final error / dense")
            axes.set_title(field_title(float(field)))
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Taking clusters apart",
        description="Final errors in units of the dense machine's against the share of mask entries moved at random, on a "
        "logarithmic scale; mean and range over seeds, one column a field.",
    )


def rate_comparison(main: xr.Dataset, checks: xr.Dataset | None, measure: str = "kl") -> InlineHTML:
    """Final errors at a constant rate and at one that decays, machine by machine.

    Parameters
    ----------
    main, checks : xarray.Dataset
        ``final`` (variant, field, seed, measure) of either; None if the run left the check out.
    measure : str
        Which error.
    """
    if checks is None:
        return LEFT_OUT
    names = [str(name) for name in checks.variant.values]
    panels = []
    for field in main.field.values:
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=2.9)
            axes = grid[0, 0]
            for results, color, label in (
                (main, "blue", "constant rate"),
                (checks, "orange", "decaying rate"),
            ):
                final = results.final.sel(field=field, measure=measure)
                for x, name in enumerate(names):
                    _dots(axes, x, final.sel(variant=name).values, style.COLORS[color])
                axes.plot([], [], "o", color=style.COLORS[color], label=label)
            _plain_logarithmic(axes)
            axes.set_ylabel(LABELS[measure])
            _names_below(axes, names)
            axes.set_title(field_title(float(field)))
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        panels.append(figure)
    return inline_svg(
        panels,
        title=f"Final {LABELS[measure]} at a constant and at a decaying rate",
        description="Final errors of dense, pruned and sparse machines on a logarithmic scale, a dot a seed and a bar at the mean, "
        "for both kinds of learning rate; one column a field.",
    )
