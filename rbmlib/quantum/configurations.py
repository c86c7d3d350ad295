"""Spin configurations as 0/1 arrays and as integer codes.

A configuration of N spins is a row of N values: 1 is spin up (sigma^z = +1), 0 is spin down (sigma^z = -1),
so ``sigma = 2 v - 1``. Its code is the integer whose bit i (value 2**i) is site i: site 0 is the *least*
significant bit.
"""

from __future__ import annotations

import math
import numbers

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array

MAX_ENUMERATED_SPINS = 24


def encode(states: ArrayLike) -> NDArray[np.int64]:
    """Integer codes of configurations.

    Parameters
    ----------
    states : array_like, shape (n_samples, n_spins)
        Zeros and ones, at most 62 spins.

    Returns
    -------
    numpy.ndarray, shape (n_samples,)
        Codes, site 0 in the least significant bit.
    """
    checked = check_states(states)
    n_spins = checked.shape[1]
    if n_spins > 62:
        raise ValueError(f"states has {n_spins} spins, but an integer code holds at most 62.")
    codes = np.zeros(checked.shape[0], np.int64)
    for site in range(n_spins):
        codes |= checked[:, site].astype(np.int64) << site
    return codes


def decode(codes: ArrayLike, n_spins: int) -> NDArray[np.uint8]:
    """Configurations of integer codes, the inverse of :func:`encode`.

    Parameters
    ----------
    codes : array_like of int, shape (n_samples,)
        Codes in [0, 2**n_spins).
    n_spins : int
        Number of spins, at most 62.

    Returns
    -------
    numpy.ndarray of uint8, shape (n_samples, n_spins)
        Zeros and ones.
    """
    n_spins = check_n_spins(n_spins, largest=62, smallest=1)
    array = plain_array("codes", codes)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"codes must be a one-dimensional integer array, not {array.dtype} of shape {array.shape}."
        )
    if array.size and (array.min() < 0 or array.max() >= 2**n_spins):
        raise ValueError(
            f"codes must lie in [0, 2**{n_spins}), but range from {array.min()} to {array.max()}."
        )
    states = np.empty((array.size, n_spins), np.uint8)
    for site in range(n_spins):
        states[:, site] = (array >> site) & 1
    return states


def all_states(n_spins: int) -> NDArray[np.uint8]:
    """All 2**n_spins configurations in the order of their codes, shape (2**n_spins, n_spins)."""
    n_spins = check_n_spins(n_spins, largest=MAX_ENUMERATED_SPINS, smallest=1)
    return decode(np.arange(2**n_spins), n_spins)


def center_site(n_spins: int) -> int:
    """The site (counted from 0) from which correlations are measured: N/2 - 1 for even N, the middle site for
    odd N.

    The distances 0 ... N // 2 from it all stay on the chain, and the largest ends on the last site.
    """
    return (n_spins - 1) // 2


def check_states(states: ArrayLike, n_spins: int | None = None, name: str = "states") -> NDArray[np.uint8]:
    """``states`` as a C-contiguous uint8 array (n_samples, n_spins) of zeros and ones, or an error."""
    array = plain_array(name, states)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} must have the shape (n_samples, n_spins), not {array.shape}.")
    if n_spins is not None and array.shape[1] != n_spins:
        raise ValueError(f"{name} must have {n_spins} columns, one for each spin, not {array.shape[1]}.")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold the numbers 0 and 1, not {array.dtype}.")
    if array.dtype != np.bool_ and not np.all((array == 0) | (array == 1)):
        wrong = array[(array != 0) & (array != 1)][0]
        raise ValueError(f"{name} must hold only 0 (spin down) and 1 (spin up), but holds {wrong}.")
    return np.ascontiguousarray(array, dtype=np.uint8)


def check_n_spins(n_spins: int, *, largest: int | None = None, smallest: int = 2, instead: str = "") -> int:
    """``n_spins`` as an int within [smallest, largest], or an error that says what to use instead."""
    if isinstance(n_spins, bool) or not isinstance(n_spins, numbers.Integral):
        raise TypeError(f"n_spins must be an integer, not {n_spins!r}.")
    if n_spins < smallest:
        raise ValueError(f"n_spins must be at least {smallest}, not {n_spins}.")
    if largest is not None and n_spins > largest:
        raise ValueError(
            f"n_spins must be at most {largest} here, not {n_spins}{instead and '; ' + instead}."
        )
    return int(n_spins)


def check_field(field: float) -> float:
    """``field`` as a positive finite float, or an error."""
    if isinstance(field, bool) or not isinstance(field, numbers.Real):
        raise TypeError(f"field must be a number, the transverse field h in units of J, not {field!r}.")
    if not (math.isfinite(field) and field > 0):
        raise ValueError(f"field must be positive and finite (h in units of J), not {field}.")
    return float(field)


def check_positive_integer(value: int, name: str) -> int:
    """``value`` as a positive int, or an error that names the argument."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, not {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}.")
    return int(value)


def check_seed(seed: int, name: str = "seed") -> int:
    """``seed`` as an int in [0, 2**64), or an error."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise TypeError(f"{name} must be an integer, not {seed!r}.")
    if not 0 <= seed < 2**64:
        raise ValueError(f"{name} must lie in [0, 2**64), not {seed}.")
    return int(seed)
