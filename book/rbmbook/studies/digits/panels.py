"""Panels that the figures of several studies of digits have: what measures are called and how they look."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from rbmbook.drawing import style

PANEL = style.COLUMN_WIDTH / 2
LABELS = {
    "quality": "Q",
    "quality_other": "Q, other judge",
    "imbalance": "$d_f$",
    "digits": "effective digits",
    "aai": "$E_\\mathrm{AAI}$",
    "second_moment": "$E^{(2)}$",
}
"""What a measure is called on an axis."""
LOGARITHMIC = ("imbalance", "aai", "second_moment")
"""Measures that fall to a floor, drawn on a logarithmic axis."""
LOOKS = dict(zip(("quality", "quality_other", "digits", "aai", "second_moment"), style.CYCLE, strict=True))
"""A measure's colour where several stand in one panel."""
MARKS = dict(zip(LOOKS, ("o", "s", "v", "^", "D"), strict=True))
"""And its mark."""


def dilution_axis(axes: Axes, of: xr.Dataset | NDArray[np.float64]) -> None:
    """Label the horizontal axis as that of p0, over all dilutions of a run."""
    dilution = of.dilution.values if isinstance(of, xr.Dataset) else of
    axes.set_xlim(min(dilution) - 0.04, max(dilution) + 0.04)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    axes.set_xlabel("$p_0$, zero from the start (%)")
