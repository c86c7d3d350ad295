"""The one look that every figure of the book shares.

Figures are drawn for a text column 700 pixels wide and must read equally well on a white and on a nearly
black page, because the book follows the reader's choice. Hence the palette: each colour has a relative
luminance between 0.13 and 0.30, which gives a contrast of at least 3:1 against both grounds (the threshold
of WCAG 2.1 for graphical objects), and the five colours of :data:`CYCLE` stay apart for the three common
kinds of colour blindness. Text, axes and ticks are drawn in black here; `rbmbook.drawing.inline_svg` turns
black into the colour of the surrounding text.

Figures are made without ``pyplot``, so a notebook shows a figure once, where it asks for it, and nothing
stays behind in a global list of open figures.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

COLUMN_WIDTH = 7.0
"""Width of the text column in inches, at 100 CSS pixels to the inch."""

PIXELS_PER_INCH = 100
"""CSS pixels to the inch of a figure in the book."""

COLORS: Mapping[str, str] = MappingProxyType(
    {
        "blue": "#2f6fd0",
        "orange": "#d97a0b",
        "green": "#0f9d77",
        "magenta": "#c2559d",
        "brown": "#8c5a2b",
        "grey": "#7f7f7f",
    }
)
"""Colours by name; grey is for what data are compared with: references, thresholds, grids."""

CYCLE: tuple[str, ...] = tuple(COLORS[name] for name in ("blue", "orange", "green", "magenta", "brown"))
"""The order in which series take their colours."""

_RAMP = ("#2f6fd0", "#9565b4", "#c2559d", "#cf5a5a", "#d97a0b")

_RC: Any = MappingProxyType(
    {
        # Paths, not text: every reader sees the same glyphs, and a line break never depends on a font.
        "svg.fonttype": "path",
        # Without a salt matplotlib draws random ids, and a rerun would change the file.
        "svg.hashsalt": "rbmlib",
        "font.family": "DejaVu Sans",
        "mathtext.fontset": "dejavusans",
        "font.size": 9.0,
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9.0,
        "xtick.labelsize": 8.0,
        "ytick.labelsize": 8.0,
        "legend.fontsize": 8.0,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "axes.prop_cycle": cycler(color=CYCLE),
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": COLORS["grey"],
        "grid.alpha": 0.25,
        "grid.linewidth": 0.5,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.minor.width": 0.5,
        "ytick.minor.width": 0.5,
        "lines.linewidth": 1.5,
        "lines.markersize": 4.0,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        # Simplification drops points by a rule that depends on the size of the canvas.
        "path.simplify": False,
    }
)


@contextmanager
def context() -> Iterator[None]:
    """Draw in the book's style inside a ``with`` block, whatever the user's own settings are."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Axes on which nothing has a place say so themselves, see `rbmbook.drawing.inline_svg`.
        warnings.filterwarnings("ignore", "Data has no positive values")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def figure(
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = COLUMN_WIDTH,
    height: float = 3.0,
    **options: Any,
) -> tuple[Figure, np.ndarray]:
    """Make an empty figure and its axes in the book's style.

    Call it inside :func:`context`, so that what is drawn afterwards has the style as well.

    Parameters
    ----------
    rows, columns : int
        Number of axes in each direction.
    width, height : float
        Size in inches; the text column is :data:`COLUMN_WIDTH` inches wide, and half of it makes a panel that
        keeps its size on a phone.
    **options
        Handed to :meth:`matplotlib.figure.Figure.subplots` (``sharex``, ``sharey``, ``width_ratios``, ...).

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure, with constrained layout.
    axes : ndarray of matplotlib.axes.Axes, shape (rows, columns)
        The axes, two-dimensional whatever their number.

    Raises
    ------
    ValueError
        If the figure would be wider than the text column.
    """
    if width > COLUMN_WIDTH:
        raise ValueError(f"width must be at most {COLUMN_WIDTH} inches, the text column's width; got {width}")
    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots(rows, columns, squeeze=False, **options)


def ramp(n_steps: int) -> list[str]:
    """Return colours for an ordered series, from blue (first) to orange (last).

    Unlike a sequential colour map it stays at mid luminance: neither end is lost on a white or a black page.

    Parameters
    ----------
    n_steps : int
        Number of colours, at least 1.

    Returns
    -------
    list of str
        Hexadecimal colours.

    Raises
    ------
    ValueError
        If `n_steps` is smaller than 1.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1; got {n_steps}")
    anchors = np.array([to_rgb(color) for color in _RAMP])
    places = np.linspace(0.0, len(_RAMP) - 1.0, n_steps)
    channels = [np.interp(places, np.arange(len(_RAMP)), anchors[:, channel]) for channel in range(3)]
    return [to_hex(color) for color in np.stack(channels, axis=1)]


def band(
    axes: Axes,
    x: ArrayLike,
    values: ArrayLike,
    *,
    color: str | None = None,
    label: str | None = None,
    spread: Literal["range", "deviation"] = "range",
    **line_options: Any,
) -> Line2D:
    """Draw the mean over seeds as a line and the seeds' spread as a band around it.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    x : array_like, shape (n_points,)
        Abscissae.
    values : array_like, shape (n_seeds, n_points)
        One row a seed; what is not finite marks a missing value and is left out. Nothing is drawn of a series without
        values, whose legend entry stays.
    color : str, optional
        Colour of line and band; the next one of the cycle by default.
    label : str, optional
        Legend entry of the line.
    spread : {"range", "deviation"}
        What the band shows: the smallest and the largest seed, or one standard deviation (``ddof=1``) to
        either side of the mean, as far as there are seeds: neither runs off the bottom of a logarithmic axis.
    **line_options
        Handed to :meth:`matplotlib.axes.Axes.plot`.

    Returns
    -------
    matplotlib.lines.Line2D
        The line of the mean.

    Raises
    ------
    ValueError
        If the shapes do not fit or `spread` is unknown.
    """
    x = np.asarray(x, dtype=float)
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.shape[1:] != x.shape:
        raise ValueError(
            f"values must have shape (n_seeds, {x.size}) to go with x of shape {x.shape}; got {values.shape}"
        )
    if spread not in ("range", "deviation"):
        raise ValueError(f'spread must be "range" or "deviation"; got {spread!r}')
    values = np.where(np.isfinite(values), values, np.nan)
    present = ~np.isnan(values).all(axis=0)
    if not present.any():
        (line,) = axes.plot([], [], color=color, label=label, **line_options)
        return line
    x, values = x[present], values[:, present]
    mean = np.nanmean(values, axis=0)
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    # A deviation takes two values; where there is one, it is the whole range.
    several = (~np.isnan(values)).sum(axis=0) > 1
    if spread == "deviation" and several.any():
        deviation = np.zeros_like(mean)
        deviation[several] = np.nanstd(values[:, several], axis=0, ddof=1)
        low, high = np.maximum(low, mean - deviation), np.minimum(high, mean + deviation)
    (line,) = axes.plot(x, mean, color=color, label=label, **line_options)
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.22, linewidth=0)
    return line


def limit_y(axes: Axes, bottom: float | None = None, top: float | None = None) -> None:
    """Set the limits of a vertical axis that come from data, as far as the data have any.

    A limit that is not finite, as that of a series without values, is left to what is drawn, and so is one that a
    logarithmic axis has no place for.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Whose limits.
    bottom, top : float, optional
        The limits.
    """
    logarithmic = axes.get_yscale() == "log"
    ends = {"bottom": bottom, "top": top}
    known = {
        end: value
        for end, value in ends.items()
        if value is not None and np.isfinite(value) and (value > 0 or not logarithmic)
    }
    if len(known) < 2 or known["bottom"] < known["top"]:
        axes.set_ylim(**known)


def say_why_empty(axes: Axes, values: ArrayLike, why: str) -> str:
    """Write into axes why they are empty, where none of the values that they show is finite.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where the values would be.
    values : array_like
        What they show.
    why : str
        A sentence.

    Returns
    -------
    str
        The sentence for the figure's description, with a space before it; empty where something is shown.
    """
    if np.isfinite(np.asarray(values, dtype=float)).any():
        return ""
    words = why.split()
    lines = [" ".join(words[at : at + 5]) for at in range(0, len(words), 5)]
    axes.text(
        0.5, 0.5, "\n".join(lines), transform=axes.transAxes, ha="center", va="center", fontsize=8.0, color=COLORS["grey"],
    )  # fmt: skip
    return f" {why}"


def reference_line(
    axes: Axes,
    *,
    x: float | None = None,
    y: float | None = None,
    label: str = "",
    end: bool = False,
) -> None:
    """Draw a dashed grey line across the axes at one abscissa or one ordinate, labelled along the line.

    It marks what the data are compared with: the fraction at which a graph falls apart, a threshold, a floor.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    x, y : float, optional
        Position; exactly one of the two.
    label : str
        Short text set along the line.
    end : bool
        Whether the text stands at the line's upper or right end, rather than at its lower or left one.

    Raises
    ------
    ValueError
        If both or neither of `x` and `y` are given.
    """
    if (x is None) == (y is None):
        raise ValueError(f"exactly one of x and y must be given; got x={x} and y={y}")
    look: dict[str, Any] = {"color": COLORS["grey"], "linestyle": (0, (4, 3)), "linewidth": 1.0, "zorder": 1}
    text_look: dict[str, Any] = {"color": COLORS["grey"], "fontsize": 7.5, "textcoords": "offset points"}
    place, (dx, dy) = (0.98, (-1, -1)) if end else (0.02, (1, 1))
    if x is not None:
        axes.axvline(x, **look)
        axes.annotate(
            label, (x, place), xycoords=("data", "axes fraction"), xytext=(-2.5, dy), rotation=90,
            ha="right", va="top" if end else "bottom", **text_look,
        )  # fmt: skip
    elif y is not None:
        axes.axhline(y, **look)
        axes.annotate(
            label, (place, y), xycoords=("axes fraction", "data"), xytext=(dx, 2.5),
            ha="right" if end else "left", va="bottom", **text_look,
        )  # fmt: skip
