"""Panels that the figures of several studies have: their size, titles and axes, and what a measure is called."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from . import style
from .inline_svg import InlineHTML

LABELS = {
    "kl": "KL",
    "infidelity": "infidelity",
    "eroe": "eROE",
    "mroe": "mROE",
    "correlation_mse": "$C_\\mathrm{MSE}$",
    "energy_error": "energy",
    "order_error": "order parameter",
    "correlation_mse_exact": "$C_\\mathrm{MSE}$ (exact)",
    "kl_data": "KL (data)",
}
"""What a measure is called in a legend."""
PANEL = style.COLUMN_WIDTH / 2
LEFT_OUT = InlineHTML("<p>This run leaves this part out.</p>", "This run leaves this part out.")
PHASES = {1.0: "critical point", 2.0: "paramagnet"}


def field_title(field: float) -> str:
    """Title of a panel at a field: h/J, and the phase where it has a name."""
    name = PHASES.get(float(field))
    return f"h/J = {field:g}" + (f", {name}" if name else "")


def removed_axis(axes: Axes, removed: np.ndarray) -> None:
    """Make an axis that of the share of weights removed, in per cent."""
    axes.set_xlim(-0.02, float(removed[-1]) + 0.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    axes.set_xlabel("weights removed (%)")


def by_seed(array: xr.DataArray, along: str) -> np.ndarray:
    """A (seed, along) array without the seeds that were not run."""
    kept = array.dropna("seed", how="all") if array.notnull().any() else array
    return kept.transpose("seed", along).values


def percent(share: float) -> str:
    """A share in whole per cent."""
    return f"{100 * share:.0f} %"
