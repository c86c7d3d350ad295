"""Figures of the chapter on the magnetization of pruned machines: results in, figures out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import PANEL, by_seed, removed_axis
from rbmbook.drawing.slider import slider

_BLUE, _ORANGE, _GREY = (style.COLORS[name] for name in ("blue", "orange", "grey"))


def moments_curves(results: xr.Dataset) -> InlineHTML:
    """Means of m and of abs m against pruning: machines by enumeration and from samples, data, exact state.

    Parameters
    ----------
    results : xarray.Dataset
        ``up_spins`` and ``gibbs_up_spins`` (seed, stage, up), ``data_up_spins`` and ``exact_up_spins`` (seed,
        up), ``m`` (up), ``removed`` (stage), and the attributes ``n_samples`` and ``enumerated``.

    Returns
    -------
    InlineHTML
    """
    m = results.m.values
    panels = []
    for values, label in ((m, "$\\langle m \\rangle$"), (np.abs(m), "$\\langle |m| \\rangle$")):
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.2)
            axes = grid[0, 0]
            removed = results.removed.values
            if results.attrs["enumerated"]:
                style.band(axes, removed, _mean(results.up_spins, values), label="RBM, exact sum")
            _sampled_means(axes, results, values)
            data = _mean(results.data_up_spins, values)
            axes.axhspan(data.min(), data.max(), color=_ORANGE, alpha=0.3, linewidth=0, label="training data")
            exact = _mean(results.exact_up_spins.isel(seed=[0]), values)[0]
            axes.axhline(exact, color=_GREY, linestyle=(0, (4, 3)), linewidth=1.0, label="ground state")
            axes.set_ylabel(label)
            removed_axis(axes, removed)
            figure.legend(loc="outside lower center", ncols=2)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Mean of m and of its magnitude under pruning",
        description="Two panels against the share of weights removed: the mean of m, which stays near zero, and the mean of "
        "its magnitude; machines by enumeration and from samples, training data and ground state.",
    )


def _mean(up_spins: xr.DataArray, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of a function of m: (seed, ...)."""
    return (up_spins * xr.DataArray(values, dims="up")).sum("up").transpose("seed", ...).values


def _sampled_means(axes: Axes, results: xr.Dataset, values: NDArray[np.float64]) -> None:
    """Means over seeds from samples, with the 99 % error bar of one seed's samples."""
    means = _mean(results.gibbs_up_spins, values)
    variance = _mean(results.gibbs_up_spins, values**2) - means**2
    error = 2.576 * np.sqrt(variance.mean(axis=0) / results.attrs["n_samples"])
    axes.errorbar(
        results.removed.values, means.mean(axis=0), error, fmt="o", markersize=2.5, linewidth=0.9,
        color=style.CYCLE[2], label="RBM, samples",
    )  # fmt: skip


def histogram_slider(results: xr.Dataset) -> InlineHTML:
    """Distribution of m, a bar for each value that m can take: machines at every iteration beside the data.

    Parameters
    ----------
    results : xarray.Dataset
        As for :func:`moments_curves`.
    """
    highest = 1.08 * float(max(results.gibbs_up_spins.max(), results.data_up_spins.max()))
    data = _histogram_panel(results, results.data_up_spins, "training data", _ORANGE, highest)
    frames = [
        (
            _histogram_panel(results, results.gibbs_up_spins.isel(stage=stage), "RBM", _BLUE, highest),
            data,
        )
        for stage in range(results.sizes["stage"])
    ]
    labels = [f"{100 * removed:.0f} % removed" for removed in results.removed.values]
    return slider(
        frames,
        labels,
        name="pruning",
        title="Distribution of m at every pruning iteration",
        description="Bars for every value of m, of samples of the machines on the left and of the training data on the right, "
        "with the exact distribution as a mark at each bar. Dense machines have two peaks as the data have.",
    )


def _histogram_panel(
    results: xr.Dataset, up_spins: xr.DataArray, title: str, color: str, highest: float
) -> Figure:
    m = results.m.values
    rows = up_spins.transpose("seed", "up").values
    mean = rows.mean(axis=0)
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=2.8)
        axes = grid[0, 0]
        axes.bar(m, mean, width=0.72 * (m[1] - m[0]), color=color, alpha=0.55, linewidth=0)
        axes.vlines(m, rows.min(axis=0), rows.max(axis=0), color=color, linewidth=1.4)
        axes.plot(
            m,
            results.exact_up_spins.isel(seed=0).values,
            "_",
            color="black",
            markersize=8,
            label="ground state",
        )
        style.limit_y(axes, 0, highest)
        axes.set_xlim(-1.08, 1.08)
        axes.set_xlabel("m")
        axes.set_ylabel("probability")
        axes.set_title(title)
        axes.legend(loc="upper center")
    return figure


def merging_curves(
    results: xr.Dataset, ratios: NDArray[np.float64], sampled: NDArray[np.float64], n_lines: int = 5
) -> InlineHTML:
    """How the two peaks of P(m) merge: distributions along the iterations, and peak over centre.

    Parameters
    ----------
    results : xarray.Dataset
        As for :func:`moments_curves`.
    ratios, sampled : array, (n_seeds, n_stages)
        Highest bar off the centre over the centre's, by enumeration and from samples.
    n_lines : int
        How many iterations the first panel shows, dense machine included.
    """
    removed = results.removed.values
    stages = np.unique(np.linspace(0, len(removed) - 1, n_lines).round().astype(int))
    return inline_svg(
        [_distributions_panel(results, stages), _ratio_panel(results, ratios, sampled)],
        title="Two peaks of the distribution of m merge under pruning",
        description="Left: distribution of m of the ground state and of machines at several iterations. Right: height of "
        "the highest bar off the centre over the bar at m = 0, against the share of weights removed.",
    )


def _distributions_panel(results: xr.Dataset, stages: Sequence[int]) -> Figure:
    m = results.m.values
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=3.6)
        axes = grid[0, 0]
        axes.plot(
            m,
            results.exact_up_spins.isel(seed=0).values,
            "_",
            color="black",
            markersize=9,
            label="ground state",
        )
        for stage, color in zip(stages, style.ramp(len(stages)), strict=True):
            mean = results.up_spins.isel(stage=int(stage)).mean("seed").values
            label = f"{100 * float(results.removed[stage]):.0f} % removed" if stage else "dense"
            axes.plot(m, mean, "o:", color=color, markersize=3, linewidth=0.8, label=label)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("m")
        axes.set_ylabel("probability")
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _ratio_panel(results: xr.Dataset, ratios: NDArray[np.float64], sampled: NDArray[np.float64]) -> Figure:
    removed = results.removed.values
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=3.6)
        axes = grid[0, 0]
        if results.attrs["enumerated"]:
            style.band(axes, removed, ratios, label="RBM, exact sum")
        axes.plot(
            removed, np.exp(np.log(sampled).mean(axis=0)), "o", markersize=2.5, color=style.CYCLE[2],
            label="RBM, samples",
        )  # fmt: skip
        style.reference_line(axes, y=1.0, label="no peak above the centre")
        axes.set_ylabel("highest bar off centre / bar at 0")
        removed_axis(axes, removed)
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def ratio_curves(results: xr.Dataset, paper: tuple[float, float], least_count: int) -> InlineHTML:
    """Occurrence ratio of v and -v: its spread against the least count, and along the pruning.

    Parameters
    ----------
    results : xarray.Dataset
        ``data_ratio_mean``, ``data_ratio_spread``, ``data_counting_mean``, ``data_counting_spread`` (seed,
        min_count) and the same of samples, without ``data_`` (seed, stage, min_count).
    paper : (float, float)
        Mean and spread that the paper gives.
    least_count : int
        The threshold at which the second panel shows machines; the nearest one that the run has.
    """
    thresholds = results.min_count.values
    shown = int(thresholds[np.abs(thresholds - least_count).argmin()])
    chosen = results.sel(min_count=shown)
    with style.context():
        first, grid = style.figure(1, 1, width=PANEL, height=3.2)
        axes = grid[0, 0]
        rows = {
            kind: results[f"data_{kind}_spread"].transpose("seed", "min_count").values
            for kind in ("ratio", "counting")
        }
        style.band(axes, thresholds, _finite(rows["ratio"]), label="training data", color=_ORANGE, marker="o")
        style.band(axes, thresholds, rows["counting"], label="counting alone", color=_BLUE, linestyle="--")
        style.reference_line(axes, y=paper[1], label="paper")
        axes.set_xscale("log")
        axes.set_xticks(thresholds, [str(one) for one in thresholds])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("least count of v and -v, on average")
        axes.set_ylabel("spread of the occurrence ratio")
        first.legend(loc="outside lower center", ncols=2)
    with style.context():
        second, grid = style.figure(1, 1, width=PANEL, height=3.2)
        axes = grid[0, 0]
        for name, label, options in (
            ("ratio_spread", "samples of RBMs", {"color": style.CYCLE[2]}),
            ("counting_spread", "counting alone", {"color": _BLUE, "linestyle": "--"}),
        ):
            style.band(
                axes, results.removed.values, _finite(by_seed(chosen[name], "stage")), label=label, **options
            )
        axes.set_ylim(bottom=0)
        axes.set_ylabel(f"spread, least count {shown}")
        removed_axis(axes, results.removed.values)
        second.legend(loc="outside lower center", ncols=2)
    return inline_svg(
        [first, second],
        title="Occurrence ratio of configurations and their mirror images",
        description="Left: spread of the ratio in the training data against the least count, with what binomial counting "
        "gives. Right: the same spread for samples of machines against the share of weights removed.",
    )


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def relaxation_curves(results: xr.Dataset, n_lines: int = 4) -> InlineHTML:
    """How chains forget whether they started with all spins down or all up, at several iterations.

    Parameters
    ----------
    results : xarray.Dataset
        ``relaxation`` (seed, stage, start, step) and what :func:`moments_curves` reads.
    n_lines : int
        How many iterations are shown, dense machine included.
    """
    steps = results.step.values[1:]
    stages = np.unique(np.linspace(0, results.sizes["stage"] - 1, n_lines).round().astype(int))
    difference = np.abs(results.relaxation.sel(start="up") - results.relaxation.sel(start="down"))
    m = results.m.values
    variance = _mean(results.gibbs_up_spins, m**2).max()
    noise = np.sqrt(4 * variance / results.attrs["n_samples"])
    with style.context():
        figure, grid = style.figure(1, 1, height=3.2)
        axes = grid[0, 0]
        for stage, color in zip(stages, style.ramp(len(stages)), strict=True):
            rows = difference.isel(stage=int(stage)).transpose("seed", "step").values[:, 1:]
            label = f"{100 * float(results.removed[stage]):.0f} % removed" if stage else "dense"
            style.band(axes, steps, rows, color=color, label=label)
        style.reference_line(axes, y=float(noise), label="standard error")
        axes.set_xscale("log")
        axes.set_xticks(steps, [str(step) for step in steps])
        axes.minorticks_off()
        axes.set_yscale("log")
        style.limit_y(axes, bottom=noise / 30)
        axes.set_xlim(0.9, 1.1 * steps[-1])
        axes.set_xlabel("Gibbs steps")
        axes.set_ylabel("difference of the two means of m")
        figure.legend(loc="outside lower center", ncols=4)
    return inline_svg(
        figure,
        title="Chains forget their start",
        description="Difference of the mean of m between chains that started with all spins up and all spins down, on a "
        "logarithmic scale against Gibbs steps; it falls to the standard error.",
    )
