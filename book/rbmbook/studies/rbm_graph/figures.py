"""Figures of the chapter on the graph of a small machine: results in, figures out."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import PANEL, field_title
from rbmbook.drawing.slider import slider

WIDEST = 5.0
"""Width in points of the line of the largest weight."""
_FAINTEST = 0.12


def graph_slider(results: xr.Dataset, seed: int = 0) -> InlineHTML:
    """Fig. 1 of Golubeva & Melko: the bipartite graph of one seed's machines, before training and at every
    pruning iteration, one panel a field.

    Parameters
    ----------
    results : xarray.Dataset
        ``weights`` (field, seed, stage, visible, hidden), ``initial`` (field, seed, visible, hidden) and
        ``kept`` (stage).
    seed : int
        Whose machines.

    Returns
    -------
    InlineHTML
        Line width is proportional to magnitude, on the scale of the largest trained weight at that field.
    """
    kept = results.kept.values
    # Short, for a label keeps its place beside the slider on a phone.
    labels = ["before training", *(f"{stage}: {count} weights" for stage, count in enumerate(kept))]
    frames = [
        [_graph_panel(results.sel(field=field, seed=seed), stage) for field in results.field.values]
        for stage in range(-1, len(kept))
    ]
    return slider(
        frames,
        labels,
        name="iteration",
        start=1,
        title="The graph of a machine before training and at every pruning iteration",
        description="Visible units in a row below, hidden units in a row above; a line for each remaining weight, as wide as the "
        "weight is large, blue for positive and orange for negative.",
    )


def _graph_panel(results: xr.Dataset, stage: int) -> Figure:
    """The graph of one machine; stage -1 is the machine before training."""
    trained = results.weights.transpose("stage", "visible", "hidden").values
    weights = results.initial.transpose("visible", "hidden").values if stage < 0 else trained[stage]
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=2.4)
        axes = grid[0, 0]
        _draw_graph(axes, weights, np.abs(trained).max(), _hidden_order(trained[0]))
        axes.set_title(field_title(float(results.field)))
    return figure


def _hidden_order(weights: NDArray[np.floating]) -> NDArray[np.intp]:
    """Hidden units from left to right by the centre of the squared weights that they have."""
    squares = weights.astype(float) ** 2
    centre = (squares * np.arange(len(weights))[:, None]).sum(axis=0) / np.maximum(
        squares.sum(axis=0), 1e-300
    )
    return np.argsort(centre, kind="stable")


def _draw_graph(axes: Axes, weights: NDArray[np.floating], largest: float, order: NDArray[np.intp]) -> None:
    n_visible, n_hidden = weights.shape
    below = np.arange(n_visible, dtype=float)
    above = np.empty(n_hidden)
    above[order] = (np.arange(n_hidden) + 0.5) * n_visible / n_hidden - 0.5
    visible, hidden = np.nonzero(weights)
    size = np.abs(weights[visible, hidden]) / largest
    # Small weights first, so that the large ones lie on top.
    rank = np.argsort(size, kind="stable")
    visible, hidden, size = visible[rank], hidden[rank], size[rank]
    positive = weights[visible, hidden] > 0
    axes.add_collection(
        LineCollection(
            [[(below[v], 0.0), (above[h], 1.0)] for v, h in zip(visible, hidden, strict=True)],
            linewidths=np.minimum(np.maximum(WIDEST * size, _FAINTEST), WIDEST),
            colors=list(np.where(positive, style.COLORS["blue"], style.COLORS["orange"])),
            capstyle="round",
            zorder=1,
        )
    )
    look = {
        "linestyle": "none",
        "markersize": 8.0,
        "markerfacecolor": "white",
        "markeredgecolor": "black",
        "zorder": 2,
    }
    axes.plot(below, np.zeros(n_visible), marker="o", **look)
    axes.plot(above, np.ones(n_hidden), marker="s", **look)
    axes.annotate("hidden", (-0.9, 1.0), ha="right", va="center", fontsize=8.0, annotation_clip=False)
    axes.annotate("visible", (-0.9, 0.0), ha="right", va="center", fontsize=8.0, annotation_clip=False)
    axes.set_xlim(-0.25 * n_visible - 0.3, n_visible - 0.4)
    axes.set_ylim(-0.12, 1.12)
    axes.axis("off")


_BOXES = (
    ("train", "the dense machine on the data", "blue"),
    ("prune", "set the smallest of the\nremaining weights to zero", "orange"),
    ("fine-tune", "train on without them", "green"),
)


def procedure() -> InlineHTML:
    """The procedure as a diagram: train, then prune and fine-tune in turn (Golubeva & Melko, Fig. 1)."""
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=3.0)
        axes = grid[0, 0]
        width, height, gap = 3.2, 1.0, 0.6
        for place, (name, text, color) in enumerate(_BOXES):
            bottom = -place * (height + gap)
            shape = FancyBboxPatch(
                (0.0, bottom), width, height, boxstyle="round,pad=0,rounding_size=0.15",
                facecolor="none", edgecolor=style.COLORS[color], linewidth=1.6,
            )  # fmt: skip
            axes.add_patch(shape)
            axes.text(
                width / 2, bottom + 0.77, name, ha="center", va="center", fontweight="bold", fontsize=9.5
            )
            axes.text(width / 2, bottom + 0.34, text, ha="center", va="center", fontsize=8.0)
            if place:
                _arrow(
                    axes, (width / 2, bottom + height + gap - 0.04), (width / 2, bottom + height + 0.04), 0.0
                )
        start, end = height / 2 - 2 * (height + gap), height / 2 - (height + gap)
        _arrow(axes, (width + 0.04, start), (width + 0.04, end), 0.5)
        axes.text(width + 0.5, (start + end) / 2, "next\niteration", ha="left", va="center", fontsize=8.0)
        axes.set_xlim(-0.1, width + 1.5)
        axes.set_ylim(-2 * (height + gap) - 0.1, height + 0.1)
        axes.axis("off")
    return inline_svg(
        figure,
        title="Training, pruning and fine-tuning",
        description="Three boxes below one another, train, prune, fine-tune, joined by arrows; a fourth arrow leads from fine-tune "
        "back to prune for the next iteration.",
    )


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float) -> None:
    look = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "color": "black", "linewidth": 1.2}
    axes.annotate(
        "", xy=end, xytext=start, arrowprops={**look, "shrinkA": 0.0, "shrinkB": 0.0, "mutation_scale": 11.0}
    )


def concentration_curves(results: xr.Dataset, share: float = 0.2) -> InlineHTML:
    """Part of the summed magnitude that the largest weights hold, before and after training, one panel a
    field.

    Parameters
    ----------
    results : xarray.Dataset
        As for :func:`graph_slider`.
    share : float
        The share of the weights that the claim is about: a dashed line.
    """
    panels = []
    for field in results.field.values:
        chosen = results.sel(field=field)
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.0)
            axes = grid[0, 0]
            for array, label in (
                (chosen.initial, "before training"),
                (chosen.weights.isel(stage=0), "trained"),
            ):
                weights = array.transpose("seed", "visible", "hidden").values
                x, held = _held(weights.reshape(len(weights), -1))
                style.band(axes, x, held, label=label)
            style.reference_line(axes, x=share, label=f"largest {100 * share:.0f} %", end=False)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.01)
            axes.set_xlabel("share of the weights, largest first (%)")
            axes.set_ylabel("share of the summed magnitude (%)")
            axes.set_title(field_title(float(field)))
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        panels.append(figure)
    return inline_svg(
        panels,
        title="How much of the summed magnitude the largest weights hold",
        description="Cumulative share of the summed magnitude against the share of the weights, largest first, before and after "
        f"training, one panel a field; mean and range over {results.sizes['seed']} seeds.",
    )


def _held(weights: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of the weights (n + 1,) and of the magnitude that so many of the largest hold (seed, n + 1)."""
    magnitude = -np.sort(-np.abs(weights.astype(float)), axis=1)
    held = np.cumsum(magnitude, axis=1) / magnitude.sum(axis=1, keepdims=True)
    held = np.concatenate([np.zeros((len(held), 1)), held], axis=1)
    return np.linspace(0.0, 1.0, held.shape[1]), held
