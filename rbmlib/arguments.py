"""What several modules ask of their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def plain_array(name: str, values: ArrayLike, dtype: DTypeLike = None) -> NDArray[Any]:
    """``values`` as an array, or an error that names the argument if some of them are masked.

    NumPy drops the mask of a masked array without a word, and what was masked would count.

    Raises
    ------
    ValueError
        If a value is masked.
    """
    if np.ma.is_masked(values):
        n_masked = np.ma.count_masked(values)
        raise ValueError(
            f"{name} must hold no masked values, not a numpy mask over {n_masked} of {np.size(values)}; fill them "
            "or leave them out"
        )
    return np.asarray(values, dtype)
