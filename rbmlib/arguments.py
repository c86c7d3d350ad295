"""What several modules ask of their arguments."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

COUNTER = 2**32
"""Values of a word of the random numbers' counter: of chains, and of steps."""


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


def check_counter(name: str, first: int, n: int, n_name: str) -> None:
    """Refuse numbers of chains or steps that the counter of the random numbers has no place for: it would start again, and
    give one chain the numbers of another.

    Raises
    ------
    ValueError
        If ``first + n`` exceeds 2**32.
    """
    if first + n > COUNTER:
        raise ValueError(f"{name} must lie in [0, 2**32 - {n_name}], not {first} with {n_name} = {n}")


def check_rate(name: str, value: Any) -> float:
    """A positive number that a kernel can hold as float32, of any of Python's or NumPy's kinds, as a float.

    Raises
    ------
    ValueError
        If it is something else.
    """
    largest = float(np.finfo(np.float32).max)
    number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    if not number or not 0 < float(value) <= largest:
        raise ValueError(f"{name} must be a positive number below 3.4e38, not {value!r}")
    return float(value)
