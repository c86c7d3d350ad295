"""Figures of the chapter on large systems: results by length and field in, figures out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.special import ndtri

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import PANEL, field_title, removed_axis

Results = Mapping[tuple[int, float], xr.Dataset]

_MARKS = ("o", "s", "^", "D", "v")
_METHODS = {
    "annealed": "annealed (from below)",
    "reverse": "reverse (from above)",
    "importance": "importance sampling",
    "bridge": "geometric bridge",
}
_CALIBRATED = {**_METHODS, "kl": "KL divergence", "log_fidelity": "fidelity"}


def _fields(results: Results) -> list[float]:
    return sorted({field for _, field in results})


def _lengths(results: Results) -> list[int]:
    return sorted({n for n, _ in results})


def _rows(figure: Figure, grid: np.ndarray, labels: list[str]) -> None:
    for axes, label in zip(grid[:, 0], labels, strict=True):
        axes.set_ylabel(label)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)


def divergence_curves(results: Results) -> InlineHTML:
    """KL divergence, KL divergence of the even part and -log F, each per spin, along the pruning.

    Parameters
    ----------
    results : mapping of (int, float) to xarray.Dataset
        What :func:`rbmbook.studies.large_systems.study.results` returned.

    Returns
    -------
    InlineHTML
        One panel a field, one line a length; bands are ranges over seeds, bars the median 95 % interval.
    """
    rows = {"kl": "KL / N", "even_kl": "KL of even part / N", "log_fidelity": r"$-\log F$ / N"}
    panels = []
    for field in _fields(results):
        with style.context():
            figure, grid = style.figure(3, 1, width=PANEL, height=6.6, sharex=True)
            for axes, name in zip(grid[:, 0], rows, strict=True):
                for i, n in enumerate(_lengths(results)):
                    if (n, field) not in results:
                        continue
                    one = results[n, field]
                    sign = -1.0 if name == "log_fidelity" else 1.0
                    values = sign * one[name].transpose("seed", "stage").values / n
                    removed, color = one.removed.values, style.CYCLE[i % len(style.CYCLE)]
                    style.band(
                        axes,
                        removed,
                        values,
                        color=color,
                        label=f"N = {n}",
                        marker=_MARKS[i % 5],
                        markersize=2.5,
                    )
                    error = (
                        1.96 * np.median(one[f"{name}_error"].transpose("seed", "stage").values, axis=0) / n
                    )
                    axes.errorbar(
                        removed, values.mean(axis=0), error, fmt="none", ecolor=color, elinewidth=0.8
                    )
                axes.set_yscale("log")
            removed_axis(grid[-1, 0], one.removed.values)
            grid[0, 0].set_title(field_title(field))
            _rows(figure, grid, list(rows.values()))
        panels.append(figure)
    return inline_svg(
        panels,
        title="KL divergence and fidelity per spin along the pruning",
        description="On logarithmic axes, against the share of weights removed, one line a chain length "
        f"({', '.join(map(str, _lengths(results)))} spins), one panel a field.",
    )


def partition_brackets(results: Results) -> InlineHTML:
    """Estimates of log Z of the first seed's machines, relative to the value that is used, one row a length.

    Parameters
    ----------
    results : mapping of (int, float) to xarray.Dataset
        What :func:`rbmbook.studies.large_systems.study.results` returned.
    """
    lengths = _lengths(results)
    panels = []
    for field in _fields(results):
        with style.context():
            figure, grid = style.figure(
                len(lengths), 1, width=PANEL, height=1.2 + 1.8 * len(lengths), sharex=True
            )
            for axes, n in zip(grid[:, 0], lengths, strict=True):
                one = results[n, field].isel(seed=0)
                exact = one.log_partition.sel({"method": "exact"}, drop=True)
                middle = 0.5 * (
                    one.log_partition_low.sel({"method": "annealed"}, drop=True)
                    + one.log_partition_high.sel({"method": "reverse"}, drop=True)
                )
                reference = exact.where(exact.notnull(), middle).values
                for i, (method, label) in enumerate(_METHODS.items()):
                    here = one.sel({"method": method})
                    value = here.log_partition.values
                    ends = np.abs(
                        np.array([here.log_partition_low.values, here.log_partition_high.values]) - value
                    )
                    axes.errorbar(
                        one.stage.values + 0.17 * (i - 1.5), value - reference, ends, fmt=_MARKS[i], markersize=2.5,
                        elinewidth=0.8, color=style.CYCLE[i], label=label,
                    )  # fmt: skip
                style.reference_line(axes, y=0.0)
                against = "" if exact.notnull().all() else ", against the bracket's middle"
                first = f"{field_title(field)}\n" if n == lengths[0] else ""
                axes.set_title(f"{first}N = {n}{against}", fontsize=8)
            grid[-1, 0].set_xlabel("pruning iteration")
            handles, names = grid[0, 0].get_legend_handles_labels()
            figure.supylabel("log Z, deviation (nats)", fontsize=8)
            figure.legend(handles, names, loc="outside lower center", ncols=2)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Estimates of the partition function along the pruning",
        description="Deviation of four estimates of log Z with 95 % intervals against the pruning iteration, "
        "one row a chain length, one panel a field; the zero line is the exact value where the hidden layer can be "
        "enumerated.",
    )


def effective_shares(results: Results) -> InlineHTML:
    """Effective sample sizes as shares of the samples: importance sampling, fidelity, annealing.

    Parameters
    ----------
    results : mapping of (int, float) to xarray.Dataset
        What :func:`rbmbook.studies.large_systems.study.results` returned.
    """
    rows = {"importance": "importance\nsampling", "fidelity": "fidelity", "annealed": "annealed"}
    panels = []
    for field in _fields(results):
        with style.context():
            figure, grid = style.figure(3, 1, width=PANEL, height=5.4, sharex=True, sharey=True)
            for axes, name in zip(grid[:, 0], rows, strict=True):
                for i, n in enumerate(_lengths(results)):
                    one = results[n, field]
                    shares = (
                        one.log_fidelity_share
                        if name == "fidelity"
                        else one.log_partition_share.sel({"method": name}, drop=True)
                    )
                    style.band(
                        axes, one.removed.values, shares.transpose("seed", "stage").values,
                        color=style.CYCLE[i % len(style.CYCLE)], label=f"N = {n}",
                    )  # fmt: skip
                axes.set_yscale("log")
            bottom = min(float(one.log_partition_share.min()) for one in results.values())
            style.limit_y(grid[0, 0], min(0.006, 0.7 * bottom), 1.5)
            style.reference_line(grid[0, 0], y=0.01, label="refused below")
            removed_axis(grid[-1, 0], one.removed.values)
            grid[0, 0].set_title(field_title(field))
            _rows(figure, grid, list(rows.values()))
        panels.append(figure)
    return inline_svg(
        panels,
        title="Effective sample sizes along the pruning",
        description="Effective sample size over number of samples, on logarithmic axes, against the share of weights "
        "removed, one line a chain length.",
    )


def calibration_curves(scores: Mapping[str, np.ndarray]) -> InlineHTML:
    """How often intervals hold the exact value against how often they should.

    Parameters
    ----------
    scores : mapping of str to array
        By estimate, deviations from the exact value in standard errors, as
        :func:`rbmbook.studies.large_systems.numbers.calibration` gives them.
    """
    levels = np.linspace(0.02, 0.995, 60)
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=4.2)
        axes = grid[0, 0]
        axes.plot([0, 1], [0, 1], color=style.COLORS["grey"], linestyle=(0, (4, 3)), linewidth=1.0)
        for i, (name, values) in enumerate(scores.items()):
            held = [(np.abs(values) <= ndtri(0.5 + level / 2)).mean() for level in levels]
            label = f"{_CALIBRATED[name]} ({values.size})"
            look = "-" if name in _METHODS else (0, (5, 1.5))
            color = style.CYCLE[i % len(_METHODS)]
            axes.plot(levels, held, color=color, linestyle=look, label=label, linewidth=1.2)
        axes.set_xlabel("nominal confidence")
        axes.set_ylabel("share that holds the exact value")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return inline_svg(
        [figure],
        title="Calibration of the intervals",
        description="Share of intervals that hold the exact value against their nominal confidence, one line an "
        "estimate; on the diagonal both agree.",
    )
