"""Figures of the chapter on spectra: results in, figures out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import percent
from rbmbook.studies.digits.panels import LABELS, PANEL, dilution_axis
from rbmlib.analysis.marchenko_pastur import MarchenkoPastur

PAPER_RANK = 62
_GREY, _BLUE, _ORANGE = (style.COLORS[name] for name in ("grey", "blue", "orange"))
_Array = NDArray[np.float64]
Law = Callable[[_Array, int], MarchenkoPastur]


def _by_dilution(found: xr.Dataset) -> list[tuple[float, str]]:
    dilutions = found.dilution.values
    return list(zip(dilutions.tolist(), style.ramp(len(dilutions)), strict=True))


def _legend(figure: Figure, axes: Axes, columns: int = 5, title: str | None = "$p_0$") -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title, columnspacing=1.0)


def spectra(found: xr.Dataset, shown: Sequence[float], law_of: Law) -> InlineHTML:
    """Fig. 4b of Diaz-Faloh & Mulet: eigenvalues in descending order; beside it the random law and shuffled weights.

    Parameters
    ----------
    found : xarray.Dataset
        ``eigenvalues`` (replica, dilution, rank) and ``shuffled`` (replica, dilution, null, rank).
    shown : sequence of float
        Dilutions of the right panel; the first and the last are shown.
    law_of : callable
        From a spectrum and the number of visible units to the law of its bulk.
    """
    ranks = found["rank"].values
    panels = []
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=3.8)
        axes = grid[0, 0]
        for p0, color in _by_dilution(found):
            row = found.eigenvalues.sel(dilution=p0).mean("replica")
            axes.plot(ranks, row, color=color, linewidth=1.1, label=percent(p0))
        if ranks[-1] > PAPER_RANK:
            style.reference_line(axes, x=PAPER_RANK, label="paper")
        _axes(axes, found)
        _legend(figure, axes)
    panels.append(figure)
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=3.8)
        axes = grid[0, 0]
        for p0, color in zip(dict.fromkeys((shown[0], shown[-1])), (_BLUE, _ORANGE), strict=False):
            one = found.sel(dilution=p0).mean("replica")
            law = law_of(one.eigenvalues.values, found.attrs["n_visible"])
            axes.plot(ranks, one.eigenvalues, color=color, linewidth=1.4, label=percent(p0))
            axes.plot(
                ranks, law.expected_spectrum(), "--", color=color, linewidth=1.0, label="law of its bulk"
            )
            axes.plot(
                ranks, one.shuffled.sel(null="nothing"), ":", color=color, linewidth=1.0, label="shuffled"
            )
            axes.plot(
                ranks,
                one.shuffled.sel(null="rows"),
                "-.",
                color=color,
                linewidth=0.8,
                label="shuffled in each pixel",
            )
        _axes(axes, found)
        _legend(figure, axes, 2, None)
    panels.append(figure)
    return inline_svg(
        panels,
        title="Eigenvalues in descending order",
        description="Left, one line a dilution, means over replicas, the paper's crossing dashed. Right, two dilutions with the "
        "Marchenko-Pastur law of their bulk and the spectra of their weights shuffled, all of them and within each pixel.",
    )


def _axes(axes: Axes, found: xr.Dataset) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    positive = found.eigenvalues.where(found.eigenvalues > 0)
    axes.set_ylim(0.3 * float(positive.mean("replica").min()), 2 * float(positive.mean("replica").max()))
    axes.set_xlabel("rank")
    axes.set_ylabel("eigenvalue of $W^T W$")


def edge_counts(
    trained: _Array, shuffled: _Array, distance: _Array, dilution: _Array, margin: float
) -> InlineHTML:
    """Eigenvalues above the edge, and the distance of the bulk from the law, against p0; one dot a machine.

    Parameters
    ----------
    trained, shuffled, distance : array, (n_replicas, n_dilutions)
        Numbers above the edge, and distances.
    dilution : array, (n_dilutions,)
        p0.
    margin : float
        Distance up to which a bulk counts as following the law.
    """
    panels = []
    for kind in ("edge", "bulk"):
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.0)
            axes = grid[0, 0]
            if kind == "edge":
                _dots(axes, dilution, trained, _BLUE, "trained")
                _dots(axes, dilution, shuffled, _GREY, "shuffled")
                axes.set_ylabel("eigenvalues above the edge")
            else:
                _dots(axes, dilution, distance, _BLUE, "bulk against its law")
                style.reference_line(axes, y=margin, label="follows below", end=True)
                axes.set_ylabel("largest difference of distributions")
            axes.set_ylim(bottom=0)
            dilution_axis(axes, dilution)
            _legend(figure, axes, 2, None)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Above the edge, and below it",
        description="Left, the number of eigenvalues above the edge of the Marchenko-Pastur law, for trained and for shuffled "
        "weights. Right, how far the distribution of the others is from the law. A dot a machine, lines through the means.",
    )


def _dots(axes: Axes, x: _Array, rows: _Array, color: str, label: str) -> None:
    axes.plot(x, rows.T, "o", color=color, markersize=2.6, alpha=0.5, markeredgewidth=0)
    axes.plot(x, rows.mean(axis=0), color=color, linewidth=1.4, label=label)


def crossing_ranks(ranks: _Array, names: Sequence[str], course: Mapping[int, _Array]) -> InlineHTML:
    """Where the spectra of two dilutions cross: for every pair, and along training.

    Parameters
    ----------
    ranks : array, (n_replicas, n_pairs)
        Crossings; NaN where two spectra do not cross.
    names : sequence of str
        What the pairs are called.
    course : mapping of int to array, (n_replicas, n_pairs)
        The same along training, by update.
    """
    panels = []
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=1.2 + 0.16 * max(len(names), 8))
        axes = grid[0, 0]
        y = np.arange(len(names))
        axes.plot(ranks.T, y, "o", color=_BLUE, markersize=2.6, alpha=0.5, markeredgewidth=0)
        axes.plot([_mean(row) for row in ranks.T], y, "|", color=_BLUE, markersize=9)
        style.reference_line(axes, x=PAPER_RANK, label="paper", end=True)
        axes.set_yticks(y, names, fontsize=7)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("rank of the crossing")
        axes.set_ylabel("$p_0$ of the pair")
    panels.append(figure)
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=1.2 + 0.16 * max(len(names), 8))
        axes = grid[0, 0]
        updates = [update for update in course if update > 0]
        for update in updates:
            values = course[update].ravel()
            axes.plot(
                np.full(len(values), update),
                values,
                "o",
                color=_BLUE,
                markersize=2.6,
                alpha=0.5,
                markeredgewidth=0,
            )
        axes.plot(updates, [_mean(course[update]) for update in updates], color=_BLUE, linewidth=1.4)
        style.reference_line(axes, y=PAPER_RANK, label="paper")
        axes.set_xscale("log")
        axes.set_xticks(updates, [f"{update:,}" for update in updates], rotation=45)
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("updates")
        axes.set_ylabel("rank of the crossing")
    panels.append(figure)
    return inline_svg(
        panels,
        title="Where spectra of different dilutions cross",
        description="Left, the rank at which two spectra cross, for every pair of dilutions that are no neighbours, a dot a "
        "replica and a stroke at the mean. Right, the same along training. Dashed, the paper's rank.",
    )


def _mean(values: _Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def shared_modes(shared: xr.Dataset) -> InlineHTML:
    """How far the spaces of the first k modes are shared: between dilutions, between replicas, with the images.

    Parameters
    ----------
    shared : xarray.Dataset
        ``overlap`` (modes, machine, other), ``data`` (modes, machine), coordinate ``dilution`` (machine).
    """
    p0 = shared.dilution.values
    same = (p0[:, None] == p0[None, :]) & ~np.eye(len(p0), dtype=bool)
    ends = (p0 == p0.min())[:, None] & (p0 == p0.max())[None, :]
    overlap = shared.overlap.transpose("modes", "machine", "other").values
    modes = shared.modes.values
    with style.context():
        figure, grid = style.figure(1, 1, width=5.0, height=3.2)
        axes = grid[0, 0]
        for mask, color, label in (
            (same, _BLUE, "replicas of one dilution"), (ends, _ORANGE, "least and most diluted"),
        ):  # fmt: skip
            if mask.any():
                axes.plot(modes, overlap[:, mask].mean(axis=1), "o-", color=color, label=label)
        axes.plot(
            modes,
            shared.data.mean("machine"),
            "s-",
            color=style.COLORS["green"],
            label="components of the images",
        )
        axes.plot(modes, modes / shared.attrs["n_visible"], "--", color=_GREY, label="at random")
        axes.set_xscale("log")
        axes.set_xticks(modes, [str(k) for k in modes])
        axes.minorticks_off()
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("modes k")
        axes.set_ylabel("overlap of the spaces")
        _legend(figure, axes, 2, None)
    return inline_svg(
        figure,
        title="Overlap of the largest modes of two machines",
        description="Overlap of the spaces of the first k left singular vectors against k: between replicas of one dilution, "
        "between the least and the most diluted machines, with the principal components of the images, and at random.",
    )


def truncated_machines(
    truncated: xr.Dataset, measures: Sequence[str] = ("quality", "aai", "second_moment")
) -> InlineHTML:
    """Measures of machines made of their largest modes alone, against the number of modes; one column a kind of biases.

    Parameters
    ----------
    truncated : xarray.Dataset
        Measures (biases, replica, dilution, modes).
    measures : sequence of str
        Names of the measures, one row each.
    """
    modes = truncated.modes.values
    panels = []
    for biases in truncated.biases.values:
        with style.context():
            figure, grid = style.figure(
                len(measures), 1, width=PANEL, height=1.0 + 1.7 * len(measures), sharex=True
            )
            for axes, name in zip(grid[:, 0], measures, strict=True):
                for p0, color in _by_dilution(truncated):
                    rows = (
                        truncated[name].sel(biases=biases, dilution=p0).transpose("replica", "modes").values
                    )
                    style.band(axes, modes, rows, color=color, label=percent(p0))
                every = truncated[name].values
                if name == "quality":
                    axes.set_ylim(-0.03, 1.05)
                else:
                    axes.set_yscale("log")
                    axes.set_ylim(0.8 * every[every > 0].min(), 1.25 * every.max())
                axes.set_xscale("log")
                axes.set_xticks(modes, [str(k) for k in modes])
                axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
                axes.set_ylabel(LABELS[name])
            grid[-1, 0].set_xlabel("modes kept")
            grid[0, 0].set_title(f"biases {biases}")
            _legend(figure, grid[0, 0])
        panels.append(figure)
    return inline_svg(
        panels,
        title="Machines of few modes",
        description="Q and two errors of machines whose weights are made of their largest modes alone, against their number; "
        "left with biases as trained, right with biases that make up for the change; mean and range over replicas.",
    )
