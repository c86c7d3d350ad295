"""Figures of the chapter on samples of pruned machines: images side by side, with the measures of their set below.

Inked pixels have a colour of mid luminance and all others none, so that images are legible on a white and on a black
page; those of machines are blue, real ones orange. A panel's images are one small picture in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import InlineHTML, inline_svg
from rbmbook.drawing.panels import percent
from rbmbook.drawing.slider import slider

COLUMNS, ROWS = 5, 8
_GAP = 3
_MARGIN, _ABOVE, _BELOW = 0.06, 0.26, 0.5
_WIDTH = style.COLUMN_WIDTH / 4
_BLUE, _ORANGE = (style.COLORS[name] for name in ("blue", "orange"))


def first_dilution(results: xr.Dataset, removed: Sequence[float]) -> InlineHTML:
    """Fig. 1 of Diaz-Faloh & Mulet: samples of a machine at a few shares removed, real images first.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmbook.studies.mnist_samples.study.results` returned; its first dilution is shown.
    removed : sequence of float
        Shares f; those that the run does not have are left out.

    Returns
    -------
    InlineHTML
    """
    one = results.isel(dilution=0)
    shares = [share for share in removed if share in one.removed.values]
    panels = [_data_panel(results)]
    for share in shares:
        panels.append(
            _machine_panel(
                one.sel(removed=share), results, f"p = {percent(float(one.total.sel(removed=share)))}"
            )
        )
    listed = ", ".join(percent(share) for share in shares)
    return inline_svg(
        panels,
        title="Samples of a machine before and after pruning",
        description=f"Grids of binary images: real digits, then samples of one machine with {listed} of its weights removed; "
        f"below each its measures. {_in_words(one.sel(removed=shares))}",
    )


def sample_slider(results: xr.Dataset) -> InlineHTML:
    """Samples of one machine a dilution, a frame for every share removed, real images beside them.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmbook.studies.mnist_samples.study.results` returned.
    """
    data = _data_panel(results)
    frames = [
        [
            data,
            *(
                _machine_panel(
                    results.isel(dilution=at, removed=point),
                    results,
                    f"$p_0$ = {percent(float(p0))}",
                    with_p=True,
                )
                for at, p0 in enumerate(results.dilution.values)
            ),
        ]
        for point in range(results.sizes["removed"])
    ]
    return slider(
        frames,
        [f"{percent(float(share))} removed" for share in results.removed.values],
        name="pruning",
        title="Samples of machines under pruning",
        description="Grids of binary images: real digits, and samples of machines with several dilutions; the slider removes "
        "more and more of the weights that training left. "
        + " ".join(_in_words(results.isel(dilution=at)) for at in range(results.sizes["dilution"])),
    )


def _data_panel(results: xr.Dataset) -> Figure:
    attributes = results.attrs
    lines = [
        _line(("Q", attributes.get("floor_quality"), ".3f"), ("d_f", attributes.get("floor_imbalance"), "e")),
        _line(("A_T", 0.5, ".2f"), ("A_S", 0.5, ".2f")),
    ]
    return _panel(results.data_shown.values, results, "real digits", lines, _ORANGE)


def _machine_panel(one: xr.Dataset, results: xr.Dataset, title: str, with_p: bool = False) -> Figure:
    lines = [
        _line(("Q", float(one.quality), ".3f"), ("d_f", float(one.imbalance), "e")),
        _line(("A_T", float(one.aai_generated), ".2f"), ("A_S", float(one.aai_data), ".2f")),
    ]
    if with_p:
        title = f"{title}, p = {percent(float(one.total))}"
    return _panel(one.shown.values, results, title, lines, _BLUE)


def _panel(
    images: NDArray[np.uint8], results: xr.Dataset, title: str, lines: Sequence[str], color: str
) -> Figure:
    """A grid of images with a title above and lines of text below."""
    mosaic = tile(images.reshape(-1, results.attrs["height"], results.attrs["width"]))
    pixels = np.zeros((*mosaic.shape, 4), np.uint8)
    pixels[mosaic == 1, :3] = np.round(255 * np.array(to_rgb(color)))
    pixels[mosaic == 1, 3] = 255
    side = _WIDTH - 2 * _MARGIN
    picture = side * mosaic.shape[0] / mosaic.shape[1]
    height = _ABOVE + picture + _BELOW
    with style.context():
        # A place of its own for everything: a layout that fits the words would move the picture from frame to frame.
        figure = Figure(figsize=(_WIDTH, height))
        axes = figure.add_axes((_MARGIN / _WIDTH, _BELOW / height, side / _WIDTH, picture / height))
        # Without interpolation the picture goes into the page at its own size, a byte or less a pixel.
        axes.imshow(pixels, interpolation="none", aspect="auto")
        axes.set_axis_off()
        look = {"ha": "center", "va": "baseline"}
        figure.text(0.5, 1 - 0.16 / height, title, fontsize=8.0, fontweight="bold", **look)
        for row, line in enumerate(lines):
            figure.text(0.5, (_BELOW - 0.2 - 0.16 * row) / height, line, fontsize=7.5, **look)
    return figure


def tile(images: NDArray[np.uint8], columns: int = COLUMNS, rows: int = ROWS) -> NDArray[np.uint8]:
    """Images (n, height, width) in a grid with gaps between them; those beyond the grid are left out.

    Parameters
    ----------
    images : array of uint8, (n, height, width)
        Zeros and ones.
    columns, rows : int
        Size of the grid; rows that would be empty are left out.

    Returns
    -------
    array of uint8, (rows * (height + gap) - gap, columns * (width + gap) - gap)
    """
    n, height, width = images.shape
    used = min(rows, -(-n // columns))
    sheet = np.zeros((used * columns, height + _GAP, width + _GAP), np.uint8)
    sheet[: min(n, used * columns), :height, :width] = images[: used * columns]
    rows_of = sheet.reshape(used, columns, height + _GAP, width + _GAP).swapaxes(1, 2)
    return rows_of.reshape(used * (height + _GAP), columns * (width + _GAP))[:-_GAP, :-_GAP]


def _line(*entries: tuple[str, float | None, str]) -> str:
    """Names with their values, side by side; a dash for what is not known."""
    return "   ".join(f"${name}$ {_value(value, form)}" for name, value, form in entries)


def _value(value: float | None, form: str) -> str:
    if value is None or np.isnan(value):
        return "\u2013"
    if form == "e":
        digits, power = f"{value:.1e}".split("e")
        return f"${digits}\\cdot 10^{{{int(power)}}}$"
    return f"{value:{form}}"


def _in_words(one: xr.Dataset) -> str:
    """Q along the shares removed, for a reader who cannot see the images."""
    shares = zip(one.removed.values, one.quality.values, strict=True)
    told = ", ".join(f"{quality:.2f} at {percent(float(share))}" for share, quality in shares)
    return f"Q with {percent(float(one.dilution))} zero from the start: {told}."
