"""Figures of the chapter on pruning the Ising chain: results in, figures out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import LABELS, LEFT_OUT, PANEL, by_seed, field_title, removed_axis
from rbmbook.drawing.slider import slider

PLOTTED = ("kl", "infidelity", "eroe", "mroe", "correlation_mse")
"""The measures of Fig. 2 of Golubeva & Melko, in the order of their colours."""


def _shown(results: xr.Dataset) -> str:
    """The way of training that figures of a single one show: contrastive divergence, where a run has it."""
    return "cd" if "cd" in results.algorithm else str(results.algorithm.values[0])


def pruning_curves(results: xr.Dataset, disconnected: float | None = None) -> InlineHTML:
    """Fig. 2 of Golubeva & Melko: every measure through training and pruning, one panel a field.

    Parameters
    ----------
    results : xarray.Dataset
        ``training`` (field, seed, epoch, measure), ``pruning`` (algorithm, field, seed, stage, measure),
        ``removed`` (stage).
    disconnected : float, optional
        Share of the weights removed at which the graph is necessarily disconnected: a dashed line.

    Returns
    -------
    InlineHTML
    """
    algorithm = _shown(results)
    panels = [
        _pruning_panel(results, algorithm, float(field), disconnected) for field in results.field.values
    ]
    seeds = results.sizes["seed"]
    return inline_svg(
        panels,
        title="Error measures through training and pruning",
        description=f"Five error measures on a logarithmic scale, first against training epochs, then against the share of weights "
        f"removed, at {' and '.join(field_title(h) for h in results.field.values)}; mean and range over {seeds} seeds.",
    )


def _pruning_panel(results: xr.Dataset, algorithm: str, field: float, disconnected: float | None) -> Figure:
    pruning = results.pruning.sel(algorithm=algorithm, field=field)
    removed = results.removed.values
    # Chains too long to enumerate have no history.
    history = "training" in results and bool(results.training.notnull().any())
    with style.context():
        figure, grid = style.figure(1, 2, width=PANEL, height=3.6, sharey=True, width_ratios=[1, 2.4])
        before, after = grid[0]
        for name in PLOTTED:
            if np.isnan(pruning.sel(measure=name)).all():
                continue
            if history:
                training = results.training.sel(field=field, measure=name)
                style.band(before, results.epoch.values, by_seed(training, "epoch"))
            style.band(after, removed, by_seed(pruning.sel(measure=name), "stage"), label=LABELS[name])
        after.set_yscale("log")
        if history:
            before.set_xlabel("epoch")
            before.set_xticks([0, int(results.epoch[-1])])
        else:
            before.set_visible(False)
        removed_axis(after, removed)
        if disconnected is not None:
            style.reference_line(after, x=disconnected)
        (before if history else after).set_ylabel("error")
        figure.suptitle(field_title(field), x=0.02, ha="left", fontsize=9.5, fontweight="bold")
        figure.legend(*after.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def algorithm_curves(results: xr.Dataset, floor: float | None = None) -> InlineHTML:
    """The same pruning by contrastive divergence and by the exact gradient, measure by measure.

    Parameters
    ----------
    results : xarray.Dataset
        As for :func:`pruning_curves`.
    floor : float, optional
        The finite-data floor of the KL divergence: parameters / (2 samples).
    """
    names = {"cd": "contrastive divergence", "exact": "exact gradient"}
    measures = ("kl", "mroe", "correlation_mse")
    panels = []
    for field in results.field.values:
        with style.context():
            figure, grid = style.figure(len(measures), 1, width=PANEL, height=5.2, sharex=True)
            for axes, measure in zip(grid[:, 0], measures, strict=True):
                for algorithm in results.algorithm.values:
                    values = results.pruning.sel(algorithm=algorithm, field=field, measure=measure)
                    style.band(
                        axes, results.removed.values, by_seed(values, "stage"), label=names[str(algorithm)]
                    )
                if measure == "kl" and floor is not None:
                    style.reference_line(axes, y=floor, label="finite-data floor")
                axes.set_yscale("log")
                axes.set_ylabel(LABELS[measure])
            removed_axis(grid[-1, 0], results.removed.values)
            grid[0, 0].set_title(field_title(float(field)))
            figure.legend(*grid[-1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Pruning by contrastive divergence and by the exact gradient",
        description="KL divergence, mROE and mean squared error of the correlations against the share of weights "
        "removed, for both ways of training, one column a field; mean and range over seeds.",
    )


def sensitivity_curves(results: xr.Dataset) -> InlineHTML:
    """Bare relative errors of energy, order parameter and correlations, exact and from samples, along the
    pruning.
    """
    algorithm = _shown(results)
    panels = []
    for field in results.field.values:
        chosen = results.sel(algorithm=algorithm, field=field)
        scale = float(np.sqrt((chosen.exact_correlation.isel(seed=0) ** 2).mean()))
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.2)
            axes = grid[0, 0]
            for color, (name, label) in zip(
                style.CYCLE,
                (
                    ("energy_error", "energy"),
                    ("order_error", "order parameter"),
                    ("correlation_mse_exact", "correlations"),
                ),
                strict=False,
            ):
                for source, options in (
                    ("pruning", {"label": label}),
                    ("sampled", {"linestyle": ":", "linewidth": 1.0}),
                ):
                    values = by_seed(chosen[source].sel(measure=name), "stage")
                    if name == "correlation_mse_exact":
                        values = np.sqrt(values) / scale
                    if source == "pruning":
                        style.band(axes, results.removed.values, values, color=color, **options)
                    else:
                        axes.plot(results.removed.values, values.mean(axis=0), color=color, **options)
            axes.set_yscale("log")
            axes.set_title(field_title(float(field)))
            axes.set_ylabel("bare relative error")
            removed_axis(axes, results.removed.values)
            figure.legend(loc="outside lower center", ncols=3)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Bare relative errors of three observables under pruning",
        description="Relative errors of the energy, the order parameter and the correlations against the share of weights "
        "removed; solid lines by enumeration with the range over seeds, dotted lines from samples.",
    )


def convergence_curves(convergence: xr.Dataset | None, n_epochs: int = 500) -> InlineHTML:
    """Long training at several rates: KL divergence and mROE against epochs.

    Parameters
    ----------
    convergence : xarray.Dataset
        ``training`` (rate, field, seed, epoch, measure); None if the run left the long training out.
    n_epochs : int
        Where the claim puts the end of equilibration: a dashed line.
    """
    if convergence is None:
        return LEFT_OUT
    panels = []
    for field in convergence.field.values:
        with style.context():
            figure, grid = style.figure(2, 1, width=PANEL, height=4.2, sharex=True)
            for axes, measure in zip(grid[:, 0], ("kl", "mroe"), strict=True):
                for rate in convergence.rate.values:
                    values = convergence.training.sel(rate=rate, field=field, measure=measure)
                    style.band(axes, convergence.epoch.values, by_seed(values, "epoch"), label=str(rate))
                axes.set_yscale("log")
                axes.set_ylabel(LABELS[measure])
                style.reference_line(axes, x=n_epochs)
            grid[-1, 0].set_xlabel("epoch")
            grid[0, 0].set_title(field_title(float(field)))
            figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Long training at constant and decaying rates",
        description="KL divergence and mROE on a logarithmic scale against epochs for three learning rates, one column a field.",
    )


def check_curves(checks: xr.Dataset | None, measure: str = "kl") -> InlineHTML:
    """The pruning curves of one measure under the other choices of the hyperparameter check, seed means."""
    if checks is None:
        return LEFT_OUT
    colors = style.ramp(checks.sizes["variant"])
    panels = []
    for field in checks.field.values:
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=4.4)
            axes = grid[0, 0]
            for variant, color in zip(checks.variant.values, colors, strict=True):
                values = by_seed(checks.pruning.sel(variant=variant, field=field, measure=measure), "stage")
                line = "--" if str(variant).startswith("exact") else "-"
                axes.plot(
                    checks.removed.values,
                    values.mean(axis=0),
                    line,
                    color=color,
                    linewidth=1.2,
                    label=str(variant),
                )
            axes.set_yscale("log")
            axes.set_title(field_title(float(field)))
            axes.set_ylabel(LABELS[measure])
            removed_axis(axes, checks.removed.values)
            figure.legend(loc="outside lower center", ncols=1, fontsize=7.0)
        panels.append(figure)
    return inline_svg(
        panels,
        title=f"{LABELS[measure]} under pruning for other training choices",
        description="One line for each combination of Gibbs steps, learning-rate schedule and fine-tuning length, and "
        "for other penalties and tolerances of the exact fit; seed means.",
    )


def weights_slider(results: xr.Dataset, seed: int = 0) -> InlineHTML:
    """The weights of one seed's machines at every pruning stage: area by magnitude, colour by sign, one panel
    a field.
    """
    algorithm = _shown(results)
    weights = results.weights.sel(algorithm=algorithm, seed=seed)
    frames = [
        [_weights_panel(weights.sel(field=field), stage) for field in results.field.values]
        for stage in range(weights.sizes["stage"])
    ]
    labels = [f"iteration {stage}: {int(kept)} weights" for stage, kept in enumerate(results.kept.values)]
    return slider(
        frames,
        labels,
        name="pruning iteration",
        title="Weights at every pruning iteration",
        description="A grid of visible by hidden units; each remaining weight is a disc whose area grows with its "
        "magnitude, blue for positive and orange for negative.",
    )


def _weights_panel(weights: xr.DataArray, stage: int) -> Figure:
    largest = float(np.abs(weights).max())
    values = weights.isel(stage=stage).transpose("visible", "hidden").values
    visible, hidden = np.nonzero(values)
    shown = values[visible, hidden]
    n_visible, n_hidden = values.shape
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=2.6)
        axes = grid[0, 0]
        colors = np.where(shown > 0, style.COLORS["blue"], style.COLORS["orange"])
        axes.scatter(visible + 1, hidden + 1, s=90 * np.abs(shown) / largest, c=list(colors), linewidths=0)
        axes.set_xlim(0.2, n_visible + 0.8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(0.2, n_hidden + 0.8)
        axes.set_xlabel("visible unit (site)")
        axes.set_ylabel("hidden unit")
        axes.set_title(field_title(float(weights.field)))
    return figure


def schedule_table(results: xr.Dataset, nominal: Sequence[float]) -> InlineHTML:
    """Table I of Golubeva & Melko from the schedule, with what became of the graphs.

    Parameters
    ----------
    results : xarray.Dataset
        ``kept`` (stage) and ``components`` (algorithm, field, seed, stage).
    nominal : sequence of float
        Share that the schedule means to leave at each stage.
    """
    algorithm = _shown(results)
    components = results.components.sel(algorithm=algorithm)
    fields = results.field.values
    head = "".join(f"<th>connected graphs, h/J = {h:g}</th>" for h in fields)
    rows = []
    for stage, (kept, share) in enumerate(zip(results.kept.values, nominal, strict=True)):
        connected = [(components.sel(field=h).isel(stage=stage).dropna("seed") == 1) for h in fields]
        cells = "".join(f"<td>{int(one.sum())} of {one.size}</td>" for one in connected)
        rows.append(
            f"<tr><td>{stage}</td><td>{int(kept)}</td><td>{100 * share:.1f} %</td>"
            f"<td>{100 * kept / results.kept.values[0]:.1f} %</td>{cells}</tr>"
        )
    table = (
        "<style>.rbm-schedule td, .rbm-schedule th { padding: .1rem .6rem; text-align: right; "
        "white-space: nowrap; } .rbm-schedule th { white-space: normal; }</style>"
        '<table class="rbm-schedule"><thead><tr><th>iteration</th><th>weights</th><th>nominal</th><th>actual</th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
    text = ", ".join(str(int(kept)) for kept in results.kept.values)
    return InlineHTML(
        f'<div style="overflow-x:auto">{table}</div>', f"Weights kept at each iteration: {text}"
    )
