"""Figures of the chapter on correlations and the length of the chain: results in, figures out.

*Machines* are results by length and field, as :func:`rbmbook.studies.correlations.decay.derived` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import LABELS, PANEL, field_title, removed_axis

Results = Mapping[tuple[int, float], xr.Dataset]

RESCALED = ("eroe", "mroe", "correlation_mse")
_MARKS = ("o", "s", "^", "D", "v")
_GREY = style.COLORS["grey"]
_NOTHING = InlineHTML("<p>This run leaves this part out.</p>", "This run leaves this part out.")


def first_field(machines: Results) -> float:
    """The field that figures of a single one show: the critical point where a run has it, else its lowest."""
    fields = sorted({field for _, field in machines})
    return 1.0 if 1.0 in fields else fields[0]


def other_field(machines: Results) -> float | None:
    """The highest field besides the first, or None."""
    others = {field for _, field in machines} - {first_field(machines)}
    return max(others) if others else None


def _fields(machines: Results) -> list[float]:
    return sorted({field for _, field in machines})


def _at(machines: Results, field: float) -> list[tuple[int, xr.Dataset, str, str]]:
    """Length, results, colour and mark of each chain at a field, from the shortest to the longest."""
    lengths = sorted({n for n, _ in machines})
    looks = {n: (style.CYCLE[i % 5], _MARKS[i % 5]) for i, n in enumerate(lengths)}
    return [(n, machines[n, field], *looks[n]) for n in lengths if (n, field) in machines]


def _seeds(array: xr.DataArray, along: str = "stage") -> NDArray:
    return array.transpose("seed", along).values


def _legend_below(figure: Figure, axes: Axes, columns: int = 3) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)


def decay_curves(machines: Results, field: float | None) -> InlineHTML:
    """Fig. 4 of Golubeva & Melko: C(d) from mid-chain along all pruning iterations, one panel a length.

    Parameters
    ----------
    machines : mapping
        ``correlation`` (seed, stage, distance), ``exact_correlation`` and ``data_correlation`` (seed, distance).
    field : float or None
        h / J of the machines shown; None where a run has no such field.

    Returns
    -------
    InlineHTML
        Means over seeds, both axes logarithmic.
    """
    if field is None:
        return _NOTHING
    shown = _at(machines, field)
    return inline_svg(
        [_decay_panel(one, f"N = {n}, h/J = {field:g}") for n, one, _, _ in shown],
        title=f"Spin correlations along the pruning at {field_title(field)}",
        description="Connected correlation from the middle of the chain against distance, both logarithmic: one line a "
        "pruning iteration from blue (dense) to orange (last), the exact curve dashed in grey, the training data as open "
        f"circles; one panel a length: {', '.join(str(n) for n, *_ in shown)} spins.",
    )


def _decay_panel(one: xr.Dataset, title: str) -> Figure:
    mean = one.correlation.mean("seed").transpose("stage", "distance").values[:, 1:]
    exact, data = (one[f"{name}_correlation"].mean("seed").values[1:] for name in ("exact", "data"))
    distance, removed = np.arange(1, mean.shape[1] + 1), one.removed.values
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=3.7)
        axes = grid[0, 0]
        named = set(np.linspace(0, len(mean) - 1, 4).astype(int).tolist())
        for stage, (values, color) in enumerate(zip(mean, style.ramp(len(mean)), strict=True)):
            label = f"{100 * removed[stage]:.0f} % removed" if stage in named else None
            axes.plot(distance, values, color=color, linewidth=1.0, label=label)
        axes.plot(distance, exact, "--", color=_GREY, linewidth=2.0, label="exact", zorder=5)
        axes.plot(distance, data, "o", markersize=3, mfc="none", mew=0.6, color=_GREY, label="training data")
        axes.set_xscale("log")
        axes.set_yscale("log")
        # Below three standard errors of zero a logarithm would fill the panel with noise.
        floor = 3 * float(one.sampling_error.max())
        style.limit_y(axes, max(min(mean.min(), exact.min()), floor) / 1.3, 1.0)
        axes.set_xticks([d for d in (1, 2, 5, 10, 20, 50) if d <= distance[-1]])
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        style.reference_line(axes, x=float(one.largest_distance), label="N / 4")
        axes.set_xlabel("distance d (sites)")
        axes.set_ylabel("C(d)")
        axes.set_title(title)
        _legend_below(figure, axes, 2)
    return figure


def fit_examples(machines: Results, seed: int = 0) -> InlineHTML:
    """Both fits to C(d) of one seed of the longest chain, dense and after the last iteration."""
    n, one, _, _ = _at(machines, first_field(machines))[-1]
    if "preference" not in one:
        return _NOTHING
    panels = [
        _fit_panel(
            one.isel(seed=seed, stage=stage), f"N = {n}, {100 * float(one.removed[stage]):.0f} % removed"
        )
        for stage in (0, -1)
    ]
    return inline_svg(
        panels,
        title="Power law and exponential fitted to correlations",
        description="Measured correlations with error bars up to a quarter of the chain, and the best power law and "
        "exponential through them, for a dense machine and for one after the last pruning iteration.",
    )


def _fit_panel(one: xr.Dataset, title: str) -> Figure:
    last = int(one.largest_distance)
    distance, fine = np.arange(1, last + 1), np.linspace(1, last, 200)
    values, errors = one.correlation.values[1 : last + 1], one.sampling_error.values[1 : last + 1]
    with style.context():
        figure, grid = style.figure(1, 1, width=PANEL, height=3.3)
        axes = grid[0, 0]
        axes.errorbar(
            distance, values, 2 * errors, fmt="o", color=_GREY, markersize=3.5, linewidth=0.9,
            label="machine, 2 standard errors",
        )  # fmt: skip
        for form, color in zip(one.form.values, ("blue", "orange"), strict=True):
            fit = one.sel(form=form)
            progress = np.log(fine) if form == "power law" else fine - 1
            axes.plot(
                fine, float(fit.amplitude) * np.exp(-float(fit.rate) * progress), color=style.COLORS[color],
                label=f"{form}, $\\chi^2$ per degree of freedom {float(fit.reduced_chi2):.3g}",
            )  # fmt: skip
        axes.set_yscale("log")
        positive = values[values > 0]
        if positive.size:
            style.limit_y(axes, max(positive.min() / 1.5, 1e-3), positive.max() * 1.3)
        axes.set_xlabel("distance d (sites)")
        axes.set_ylabel("C(d)")
        axes.set_title(title)
        _legend_below(figure, axes, 1)
    return figure


def preference_curves(machines: Results) -> InlineHTML:
    """Which of the two decays fits better along the pruning, one panel a field."""
    if not any("preference" in one for one in machines.values()):
        return _NOTHING
    panels = []
    for field in _fields(machines):
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.4)
            axes = grid[0, 0]
            for n, one, color, _ in _at(machines, field):
                if "preference" not in one:
                    continue
                # So few distances decide nothing, and the line says so.
                line = ":" if int(one.largest_distance) < 6 else "-"
                removed = one.removed.values
                style.band(
                    axes, removed, _seeds(one.preference), color=color, label=f"N = {n}", linestyle=line
                )
                axes.plot(
                    [-0.02], [float(one.exact_preference)], ">", color=color, markersize=6, clip_on=False
                )
                removed_axis(axes, removed)
            style.reference_line(axes, y=0.0)
            axes.set_ylabel("ln (exponential / power-law misfit)")
            axes.set_title(field_title(field))
            _legend_below(figure, axes)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Preference for a power law over an exponential along the pruning",
        description="Log ratio of the misfits against the share of weights removed, mean and range over seeds, one line "
        "a length; above zero the power law fits better. Triangles at the left edge mark the exact curves.",
    )


def robustness_curves(machines: Results, levels: tuple[float, ...]) -> InlineHTML:
    """Retained share of the correlations against the share of weights removed, in two readings of equal damage.

    Parameters
    ----------
    machines : mapping
        ``retained`` and ``retained_near`` (seed, stage).
    levels : tuple of float
        Retained shares at which lengths are compared: dashed lines.
    """
    field, panels = first_field(machines), []
    for name, title in (("retained", "d up to N / 4"), ("retained_near", "d up to 4")):
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.4)
            axes = grid[0, 0]
            for n, one, color, _ in _at(machines, field):
                style.band(axes, one.removed.values, _seeds(one[name]), color=color, label=f"N = {n}")
                removed_axis(axes, one.removed.values)
            for level in levels:
                style.reference_line(axes, y=level)
            axes.set_ylim(bottom=0)
            axes.set_ylabel("retained correlation")
            axes.set_title(title)
            _legend_below(figure, axes)
        panels.append(figure)
    return inline_svg(
        panels,
        title=f"Correlations retained under pruning, {field_title(field)}",
        description="Correlation as a share of the exact one, relative to the dense machine, against the share of weights "
        "removed; mean and range over seeds, one line a length; averaged up to a quarter of the chain, and up to four sites.",
    )


def connectivity_curves(machines: Results) -> InlineHTML:
    """Share of machines in one piece, and the retained correlation of those in one piece and in several."""
    field = first_field(machines)
    with style.context():
        graphs, grid = style.figure(1, 1, width=PANEL, height=3.7)
        axes = grid[0, 0]
        for n, one, color, mark in _at(machines, field):
            whole = (_seeds(one.components) == 1).mean(axis=0)
            axes.plot(one.removed.values, whole, color=color, marker=mark, linewidth=1.2, label=f"N = {n}")
            limit = 1 - float(one.fewest_weights) / float(one.kept[0])
            axes.axvline(limit, color=color, linestyle=(0, (4, 3)), linewidth=1.0)
            removed_axis(axes, one.removed.values)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.03, 1.05)
        axes.set_ylabel("share of graphs in one piece")
        axes.set_title("Graphs")
        _legend_below(graphs, axes)
        damage, grid = style.figure(1, 1, width=PANEL, height=3.7)
        axes = grid[0, 0]
        for n, one, color, mark in _at(machines, field):
            share, whole = _seeds(one.retained), _seeds(one.components) == 1
            removed = np.broadcast_to(one.removed.values, share.shape)
            look = {"color": color, "marker": mark, "markersize": 3.2, "linestyle": "none", "mew": 0.8}
            axes.plot(removed[whole], share[whole], label=f"N = {n}", **look)
            axes.plot(removed[~whole], share[~whole], mfc="none", **look)
            removed_axis(axes, one.removed.values)
        axes.plot([], [], "o", color=_GREY, label="one piece")
        axes.plot([], [], "o", color=_GREY, mfc="none", label="several")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("retained correlation")
        axes.set_title("Each machine")
        _legend_below(damage, axes)
    return inline_svg(
        [graphs, damage],
        title=f"Connectivity and damage, {field_title(field)}",
        description="Left: share of machines whose graph is in one piece against the share of weights removed, one line a "
        "length; dashed lines where too few weights are left to connect any graph. Right: retained correlation of every "
        "machine, filled marks in one piece, open marks in several.",
    )


def size_curves(machines: Results) -> InlineHTML:
    """Error measures over their dense value against the share of weights removed, one column a field."""
    panels = []
    for field in _fields(machines):
        with style.context():
            figure, grid = style.figure(len(RESCALED), 1, width=PANEL, height=5.2, sharex=True)
            for axes, measure in zip(grid[:, 0], RESCALED, strict=True):
                for n, one, color, _ in _at(machines, field):
                    values = _seeds(one.rescaled.sel(measure=measure))
                    style.band(axes, one.removed.values, values, color=color, label=f"N = {n}")
                    removed_axis(axes, one.removed.values)
                axes.set_xlabel("weights removed (%)" if measure == RESCALED[-1] else "")
                axes.set_yscale("log")
                axes.set_ylabel(f"{LABELS[measure]} / dense")
            grid[0, 0].set_title(field_title(field))
            _legend_below(figure, grid[0, 0])
        panels.append(figure)
    return inline_svg(
        panels,
        title="Error measures over their dense value, for every length",
        description="eROE, mROE and mean squared error of the correlations, from samples, divided by the dense mean, on a "
        "logarithmic scale against the share of weights removed; mean and range over seeds; one column a field.",
    )


def training_curves(machines: Results, longer: Results) -> InlineHTML:
    """Training of the chains too long to enumerate, from samples: order parameter, energy, correlations.

    Parameters
    ----------
    machines, longer : mapping
        ``training`` (seed, epoch, measure), ``training_order`` (seed, epoch), ``exact_order``; the second from one seed
        trained for longer, without that dimension.
    """
    followed = {place: one for place, one in machines.items() if "training_order" in one}
    if not followed:
        return _NOTHING
    panels = []
    for field in _fields(followed):
        with style.context():
            figure, grid = style.figure(3, 1, width=PANEL, height=5.6, sharex=True)
            for n, one, color, _ in _at(followed, field):
                _history(grid[:, 0], one, color=color, label=f"N = {n}")
                if (n, field) in longer:
                    line = longer[n, field].expand_dims("seed")
                    _history(grid[:, 0], line, color=color, label=f"N = {n}, longer", linestyle=":")
            labels = ("$\\langle |m| \\rangle$ / exact", "error of the energy", "$C_\\mathrm{MSE}$ (exact)")
            for axes, label in zip(grid[:, 0], labels, strict=True):
                axes.set_ylabel(label)
            grid[0, 0].set_ylim(0, 1.5)
            style.reference_line(grid[0, 0], y=1.0)
            grid[1, 0].set_yscale("log")
            grid[2, 0].set_yscale("log")
            grid[-1, 0].set_xlabel("epoch")
            grid[0, 0].set_title(field_title(field))
            _legend_below(figure, grid[0, 0], 2)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Training of long chains, seen through samples",
        description="Order parameter over its exact value, relative error of the energy and mean squared error of the "
        "correlations against epochs; mean and range over seeds; dotted: one seed trained for longer; one column a field.",
    )


def _history(grid: NDArray, one: xr.Dataset, **look: str) -> None:
    exact = float(np.atleast_1d(one.exact_order.values)[0])
    rows = (
        one.training_order / exact,
        one.training.sel(measure="energy_error"),
        one.training.sel(measure="correlation_mse_exact"),
    )
    for axes, values in zip(grid, rows, strict=True):
        style.band(axes, one.epoch.values, _seeds(values, "epoch"), **look)


def mixing_curves(machines: Results, mixing: Results) -> InlineHTML:
    """Mean of |m| over chains from three starts against Gibbs steps: the longest chain, one panel a pruning stage.

    Parameters
    ----------
    machines, mixing : mapping
        ``removed`` (stage) of the one, ``absolute_magnetization`` (mixed_stage, start, step) of the other.
    """
    if not mixing:
        return _NOTHING
    n, field = max(mixing)
    one, panels = mixing[n, field], []
    for stage in one.mixed_stage.values:
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.2)
            axes = grid[0, 0]
            for start, color, mark in zip(one.start.values, style.CYCLE, _MARKS, strict=False):
                values = one.absolute_magnetization.sel(mixed_stage=stage, start=start).values
                axes.plot(one.step.values, values, color=color, marker=mark, label=str(start))
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xticks([0, 1, 10, 100, 1000])
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_ylim(0, 1.02)
            axes.set_xlabel("Gibbs steps")
            axes.set_ylabel("$\\langle |m| \\rangle$")
            removed = float(machines[n, field].removed[int(stage)])
            axes.set_title(f"N = {n}, {100 * removed:.0f} % removed")
            _legend_below(figure, axes)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Gibbs chains from three starts",
        description="Mean absolute magnetization over chains that start with all spins up, with random spins and at "
        "measurements, against Gibbs steps; a panel each for a dense, a half-pruned and a fully pruned machine.",
    )
