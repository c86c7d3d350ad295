"""Figures of the chapter on diluted and pruned machines of MNIST: results in, figures out.

*Machines* are measures by ``(replica, dilution, removed)``, where ``dilution`` is p0, the share of weights that
were zero from the start, ``removed`` is f, the share pruned of those that training left, and ``total``
(dilution, removed) is p, the share of all weights that are then zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FormatStrFormatter,
    LogFormatterSciNotation,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    PercentFormatter,
)

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import percent
from rbmbook.studies.digits.panels import LABELS, LOGARITHMIC, LOOKS, MARKS, PANEL, dilution_axis
from rbmlib.mnist.diversity import FEWEST_ACCEPTED

ORDERS = {"magnitude": "smallest first", "random": "at random", "largest": "largest first"}
"""What an order of pruning is called in a legend."""


_BLUE, _ORANGE, _GREY = (style.COLORS[name] for name in ("blue", "orange", "grey"))
_TOO_FEW = {"imbalance": f"No d_f: of no machine {FEWEST_ACCEPTED} samples or more pass for digits."}
"""Why a panel of a measure may be empty."""
_NOTHING = InlineHTML("<p>This run leaves this part out.</p>", "This run leaves this part out.")


def training_curves(machines: xr.Dataset) -> InlineHTML:
    """Pseudo-likelihood of test images along the training, one line a dilution.

    Parameters
    ----------
    machines : xarray.Dataset
        ``pseudo_likelihood`` (replica, dilution, update, part) in nats an image.

    Returns
    -------
    InlineHTML
    """
    panels = []
    for part in machines.part.values:
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=3.2)
            axes = grid[0, 0]
            for p0, color in _by_dilution(machines):
                rows = machines.pseudo_likelihood.sel(dilution=p0, part=part)
                style.band(
                    axes, rows["update"].values, rows.transpose("replica", "update").values, color=color,
                    label=percent(p0), linewidth=1.1,
                )  # fmt: skip
            # Before training the value is so low that it would leave no room for the rest.
            trained = machines.pseudo_likelihood.sel(part=part).isel(update=slice(1, None))
            if trained.size:
                low, high = float(trained.min()), float(trained.max())
                style.limit_y(axes, low - 0.1 * (high - low), high + 0.1 * (high - low))
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.set_xlabel("updates")
            axes.set_ylabel("pseudo-likelihood (nats an image)")
            axes.set_title({"train": "training images", "test": "test images"}.get(str(part), str(part)))
            _dilution_legend(figure, axes)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Pseudo-likelihood during training",
        description="Pseudo-likelihood of training and of test images against updates, one line a dilution, blue for none "
        "to orange for the highest; mean and range over replicas.",
    )


def quality_by_dilution(machines: xr.Dataset, floors: xr.Dataset, plausible: float) -> InlineHTML:
    """Fig. 2 of Diaz-Faloh & Mulet: Q of unpruned machines against p0 by both judges, and beside it d_f.

    Parameters
    ----------
    machines : xarray.Dataset
        ``quality``, ``quality_other`` and ``imbalance``.
    floors : xarray.Dataset
        ``imbalance`` of real images.
    plausible : float
        Where the paper's axis begins, a dashed line.
    """
    unpruned = machines.isel(removed=0)
    with style.context():
        left, grid = style.figure(1, 1, width=PANEL, height=3.2)
        axes = grid[0, 0]
        for name, label, shift in (
            ("quality", "judge of over-pruned machines", -0.008),
            ("quality_other", "judge of synthetic negatives", 0.008),
        ):
            _dots(axes, unpruned[name], LOOKS[name], label, shift, MARKS[name])
        lowest = float(min(unpruned.quality.min(), unpruned.quality_other.min(), plausible))
        style.limit_y(axes, lowest - 0.08 * (1 - lowest), 1 + 0.04 * (1 - lowest))
        style.reference_line(axes, y=plausible)
        axes.set_ylabel("Q without pruning")
        dilution_axis(axes, machines)
        left.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    with style.context():
        right, grid = style.figure(1, 1, width=PANEL, height=3.2)
        axes = grid[0, 0]
        _dots(axes, unpruned.imbalance, LOOKS["quality"], "judge of over-pruned machines")
        why = style.say_why_empty(axes, unpruned.imbalance, _TOO_FEW["imbalance"])
        style.reference_line(axes, y=_floor(floors, "imbalance"), label="real digits")
        _logarithmic(axes)
        axes.set_ylabel("$d_f$ without pruning")
        dilution_axis(axes, machines)
        right.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return inline_svg(
        [left, right],
        title="Quality and diversity against the dilution in training",
        description="Left: Q of machines without pruning against p0, as two judges give it, one dot a replica and a line "
        "through the means. Right: the class imbalance of their samples on a logarithmic scale, with that of real digits."
        + why,
    )


def likeness_by_dilution(machines: xr.Dataset, floors: xr.Dataset) -> InlineHTML:
    """What needs no judge, of unpruned machines against p0: both errors over their floors, and the likelihood.

    Parameters
    ----------
    machines : xarray.Dataset
        ``aai``, ``second_moment``, and ``log_likelihood`` (replica, dilution, part) in nats an image.
    floors : xarray.Dataset
        ``aai`` and ``second_moment`` of as many real images.
    """
    unpruned = machines.isel(removed=0)
    with style.context():
        left, grid = style.figure(1, 1, width=PANEL, height=3.2)
        axes = grid[0, 0]
        for name, shift in (("aai", -0.008), ("second_moment", 0.008)):
            _dots(axes, unpruned[name] / _floor(floors, name), LOOKS[name], LABELS[name], shift, MARKS[name])
        style.reference_line(axes, y=1.0, label="real against real images")
        _logarithmic(axes)
        axes.set_ylabel("error / its floor")
        dilution_axis(axes, machines)
        left.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    with style.context():
        right, grid = style.figure(1, 1, width=PANEL, height=3.2)
        axes = grid[0, 0]
        for part, color, shift in (("train", _BLUE, -0.008), ("test", _ORANGE, 0.008)):
            _dots(axes, machines.log_likelihood.sel(part=part), color, f"{part} images", shift)
        axes.set_ylabel("log-likelihood (nats an image)")
        dilution_axis(axes, machines)
        right.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return inline_svg(
        [left, right],
        title="Errors and likelihood against the dilution in training",
        description="Left: adversarial and second-moment error of machines without pruning over those of real images, on a "
        "logarithmic scale against p0. Right: log-likelihood of training and test images. One dot a replica.",
    )


def pruning_curves(machines: xr.Dataset, floors: xr.Dataset, measures: Sequence[str]) -> InlineHTML:
    """Fig. 3 of Diaz-Faloh & Mulet: measures against the total share p of zero weights, and against the share f
    of what training left.

    Parameters
    ----------
    machines : xarray.Dataset
        The measures, and ``total`` (dilution, removed).
    floors : xarray.Dataset
        Of the same names, where a measure has a floor.
    measures : sequence of str
        Names of the measures, one row each.

    Returns
    -------
    InlineHTML
        One line a dilution, mean over replicas, and a band over one standard deviation.
    """
    panels, why = [], ""
    for by, label in (("total", "p, all zero weights (%)"), ("removed", "f, removed after training (%)")):
        with style.context():
            height = 3.4 if len(measures) == 1 else 1.0 + 2.1 * len(measures)
            figure, grid = style.figure(len(measures), 1, width=PANEL, height=height, sharex=True)
            for axes, name in zip(grid[:, 0], measures, strict=True):
                _pruned(axes, machines, name, by)
                if name in _TOO_FEW:
                    why = style.say_why_empty(axes, machines[name], _TOO_FEW[name])
                if name in floors:
                    style.reference_line(axes, y=_floor(floors, name), label="real digits")
                if name in LOGARITHMIC:
                    _logarithmic(axes)
                axes.set_ylabel(LABELS[name])
            axes.set_xlabel(label)
            _dilution_legend(figure, grid[0, 0])
        panels.append(figure)
    names = " and ".join(name.replace("_", " ") for name in measures)
    return inline_svg(
        panels,
        title=f"Pruned machines: {names}",
        description="Against the total share of zero weights on the left and the share removed of those that training left "
        "on the right, one line a dilution, blue for none to orange for the highest; mean and standard deviation over replicas."
        + why,
    )


def _pruned(axes: Axes, machines: xr.Dataset, name: str, by: str) -> None:
    for p0, color in _by_dilution(machines):
        one = machines.sel(dilution=p0)
        rows = one[name].transpose("replica", "removed").values
        # Where most replicas have no value the mean of the others is another quantity.
        known = np.isfinite(rows).mean(axis=0) > 0.5
        style.band(
            axes, one[by].values[known], rows[:, known], color=color,
            label=percent(p0), spread="deviation", linewidth=1.2,
        )  # fmt: skip
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    axes.set_xlim(-0.02, 1.02)
    if name.startswith("quality"):
        axes.set_ylim(-0.03, 1.05)


def order_curves(
    controls: xr.Dataset, measures: Sequence[str] = ("quality", "quality_other", "aai")
) -> InlineHTML:
    """The same machines pruned in three orders: measures against f, one column a dilution.

    Parameters
    ----------
    controls : xarray.Dataset
        Measures (order, machine, removed) with the coordinate ``dilution`` (machine).
    measures : sequence of str
        Names of the measures, one row each.
    """
    if not controls.sizes.get("machine", 0):
        return _NOTHING
    panels = []
    for p0 in np.unique(controls.dilution.values):
        chosen = controls.isel(machine=np.flatnonzero(controls.dilution.values == p0))
        with style.context():
            figure, grid = style.figure(
                len(measures), 1, width=style.COLUMN_WIDTH / 3, height=1.2 + 1.6 * len(measures), sharex=True
            )
            for axes, name in zip(grid[:, 0], measures, strict=True):
                for order, color in zip(ORDERS, (_BLUE, _GREY, _ORANGE), strict=True):
                    rows = chosen[name].sel(order=order).transpose("machine", "removed").values
                    style.band(axes, chosen.removed.values, rows, color=color, label=ORDERS[order])
                if name in LOGARITHMIC:
                    style.limit_y(axes, 0, 1.08 * float(controls[name].max()))
                else:
                    axes.set_ylim(-0.03, 1.05)
                axes.set_ylabel(LABELS[name])
                # Other orders do their damage within the first per cent: from there on the axis is logarithmic.
                axes.set_xscale("symlog", linthresh=0.01, linscale=0.6)
                axes.set_xlim(0, 1)
                axes.set_xticks([0, 0.01, 0.1, 1], ["0", "1", "10", "100"])
                axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("f, removed (%)")
            grid[0, 0].set_title(f"$p_0$ = {percent(p0)}")
            figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Machines pruned in three orders",
        description="Measures against the share removed when the smallest weights go first, when they go at random, and when "
        "the largest go first; mean and range over machines, one column a dilution.",
    )


def failed_looks(looks: xr.Dataset, centred: float) -> InlineHTML:
    """How the samples of failed machines look, one dot a machine, between noise of equal ink and the data.

    Parameters
    ----------
    looks : xarray.Dataset
        (replica, dilution): ``ink`` in units of the data's, ``contact`` from 0 for noise to 1 for data,
        ``variation`` in units of that of noise, ``off_centre`` in shares of the image's side; NaN where a machine
        has not failed. The data's own as attributes ``data_variation`` and ``data_off_centre``.
    centred : float
        Off-centre distance up to which ink counts as in the middle.
    """
    if not looks.ink.notnull().any():
        words = "No machine of this run has failed."
        return InlineHTML(f"<p>{words}</p>", words)
    lines = {
        "ink": ("ink / data's ink", {"data": 1.0}),
        "contact": ("contact, from noise to data", {"data": 1.0, "noise": 0.0}),
        "variation": ("variation / that of noise", {"data": looks.attrs["data_variation"], "noise": 1.0}),
        "off_centre": (
            "centre of ink off the middle (%)",
            {"data": looks.attrs["data_off_centre"], "in the middle": centred},
        ),
    }
    panels = []
    for name, (label, references) in lines.items():
        with style.context():
            figure, grid = style.figure(1, 1, width=PANEL, height=2.5)
            axes = grid[0, 0]
            _dots(axes, looks[name], _BLUE, "")
            for text, y in references.items():
                style.reference_line(axes, y=y, label=text, end=text == "data")
            # Blank images have no contact.
            known = looks[name].values[np.isfinite(looks[name].values)]
            top = max([*known, *references.values()])
            style.limit_y(axes, min([0.0, *known]) - 0.04 * top, 1.15 * top)
            if name == "off_centre":
                axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
            axes.set_ylabel(label)
            dilution_axis(axes, looks)
            # Room beside the last dots for the word at the line's end.
            axes.set_xlim(right=axes.get_xlim()[1] + 0.1)
        panels.append(figure)
    return inline_svg(
        panels,
        title="Looks of failed samples",
        description="Four panels against p0, a dot for every failed machine: amount of ink, contact between inked pixels, "
        "variation between samples and distance of the ink's centre from the middle, with lines for data and for noise.",
    )


def _by_dilution(machines: xr.Dataset) -> list[tuple[float, str]]:
    dilutions = machines.dilution.values
    return list(zip(dilutions.tolist(), style.ramp(len(dilutions)), strict=True))


def _floor(floors: xr.Dataset, name: str) -> float:
    return float(floors[name].mean())


def _dots(
    axes: Axes, values: xr.DataArray, color: str, label: str, shift: float = 0.0, mark: str = "o"
) -> None:
    """One dot a replica over each dilution, and a line through their means."""
    rows = values.transpose("replica", "dilution").values
    x = values.dilution.values + shift
    known = np.isfinite(rows).any(axis=0)
    axes.plot(x[known], rows.T[known], mark, color=color, markersize=2.6, alpha=0.5, markeredgewidth=0)
    axes.plot(x[known], np.nanmean(rows[:, known], axis=0), color=color, linewidth=1.4, label=label or None)


def _dilution_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, title="$p_0$", columnspacing=1.0)


def _logarithmic(axes: Axes) -> None:
    """A logarithmic axis over what is drawn: plain numbers where it spans few decades, powers of ten elsewhere."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    wide, small = high / low > 200, low < 1e-4
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    powers = LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf))
    axes.yaxis.set_major_formatter(powers if wide or small else FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())
