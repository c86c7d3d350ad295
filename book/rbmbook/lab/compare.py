"""How far a recomputed result may be from the stored one, where its bits are not promised.

A result whose attribute ``bits`` is ``"dependent ..."`` went through a library whose last digits depend on the
processor (BLAS, L-BFGS, an eigensolver). Its experiments state what must still agree: tolerances on variables,
and distances between the two results as wholes. Everything else is held to its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

BITS = "bits"
"""Attribute of a result that says what is promised of its bits."""
PORTABLE = "portable"
"""The promise of equal bits on every x86-64 processor; a result that says nothing is held to it, too."""


@dataclass(frozen=True)
class Tolerance:
    """Two values agree if ``|computed - stored| <= absolute + relative * |stored|``; NaN agrees with NaN.

    Attributes
    ----------
    relative, absolute : float
        Both 0 or more; both 0 asks for equal values.
    """

    relative: float = 0.0
    absolute: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.relative:g} relative"] * bool(self.relative)
        parts += [f"{self.absolute:g} absolute"] * (bool(self.absolute) or not self.relative)
        return " + ".join(parts)


@dataclass(frozen=True)
class Distance:
    """Two results agree if ``function(stored, computed) <= largest``.

    Attributes
    ----------
    function : callable
        Takes both datasets and returns a number of 0 or more.
    largest : float
        The largest distance allowed.
    """

    function: Callable[[xr.Dataset, xr.Dataset], float]
    largest: float


#: Name of a variable, or of a distance -> what is allowed.
Tolerances = Mapping[str, Tolerance | Distance]


@dataclass(frozen=True)
class Deviation:
    """How far one variable, or one distance, is off.

    Attributes
    ----------
    name : str
        The variable or the distance.
    share : float
        The deviation in units of what is allowed: at most 1 if it is.
    text : str
        Where it is largest and what stands there, in words.
    """

    name: str
    share: float
    text: str

    @property
    def allowed(self) -> bool:
        """Whether it is within what is allowed."""
        return self.share <= 1.0


def _place(variable: xr.DataArray, index: tuple[int, ...]) -> str:
    """Name an element by its labels where its dimensions have them: ``kl[stage=3, measure='kl']``."""
    parts = []
    for dim, at in zip(variable.dims, index, strict=True):
        label = variable.coords[dim].values[at].item() if dim in variable.coords else at
        parts.append(f"{dim}={label!r}")
    return f"{variable.name}[{', '.join(parts)}]" if parts else str(variable.name)


def deviation(stored: xr.DataArray, computed: xr.DataArray, tolerance: Tolerance) -> Deviation:
    """Compare two variables and tell where they are furthest apart in units of what is allowed.

    Parameters
    ----------
    stored, computed : xarray.DataArray
        Both of numbers.
    tolerance : Tolerance
        What is allowed.

    Returns
    -------
    Deviation
        Its share is infinite where shapes differ, or one of two values is not finite.
    """
    name = str(stored.name)
    if stored.dims != computed.dims or stored.shape != computed.shape:
        return Deviation(name, np.inf, f"{name} has shape {computed.shape}, stored is {stored.shape}")
    old, new = np.asarray(stored.values), np.asarray(computed.values)
    if old.size == 0:
        return Deviation(name, 0.0, f"{name} is empty in both")
    if old.dtype.kind not in "biuf" or new.dtype.kind not in "biuf":
        same = old.dtype == new.dtype and bool((old == new).all())
        return Deviation(name, 0.0 if same else np.inf, f"{name} is {'equal' if same else 'different'}")
    old, new = old.astype(np.float64), new.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.abs(new - old)
        allowed = tolerance.absolute + tolerance.relative * np.abs(old)
        share = np.where(difference == 0, 0.0, difference / allowed)
    agree = (new == old) | (np.isnan(new) & np.isnan(old))
    share = np.where(agree, 0.0, np.where(np.isnan(share), np.inf, share))
    at = np.unravel_index(int(np.argmax(share)), share.shape)
    index = tuple(int(i) for i in at)
    text = (
        f"{_place(stored, index)} is {new[at]:.10g}, stored {old[at]:.10g}: "
        f"{difference[at]:.1e} off, allowed {tolerance}"
    )
    if not share[at]:
        text = f"{name} is equal"
    return Deviation(name, float(share[at]), text)


def deviations(stored: xr.Dataset, computed: xr.Dataset, tolerances: Tolerances) -> list[Deviation]:
    """Compare two results under an experiment's tolerances.

    Parameters
    ----------
    stored, computed : xarray.Dataset
        The results.
    tolerances : mapping
        What must agree, and how far.

    Returns
    -------
    list of Deviation
        One for each tolerance, the worst first.
    """
    found = []
    for name, rule in tolerances.items():
        if isinstance(rule, Distance):
            size = float(rule.function(stored, computed))
            share = np.inf if np.isnan(size) else size / rule.largest
            found.append(Deviation(name, share, f"{name} is {size:.1e}, allowed {rule.largest:g}"))
        elif name not in stored.variables or name not in computed.variables:
            where = "stored" if name not in stored.variables else "computed"
            found.append(Deviation(name, np.inf, f"{name} is not among what is {where}"))
        else:
            found.append(deviation(stored[name], computed[name], rule))
    return sorted(found, key=lambda one: -one.share)


def bit_differences(stored: xr.Dataset, computed: xr.Dataset, names: list[str]) -> list[str]:
    """Say of each of some variables whose bits differ where it differs most.

    Parameters
    ----------
    stored, computed : xarray.Dataset
        The results; what is only in a local cache may be absent from the first.
    names : list of str
        Variables whose digests differ.

    Returns
    -------
    list of str
    """
    lines = []
    for name in names:
        if name not in computed.variables:
            lines.append(f"{name} is stored and was not computed")
        elif name not in stored.variables:
            lines.append(f"{name} differs from what was stored")
        else:
            old, new = stored[name], computed[name]
            if old.dtype != new.dtype:
                lines.append(f"{name} has type {new.dtype}, stored is {old.dtype}")
                continue
            off = deviation(old, new, Tolerance())
            n_off = _count_different(old.values, new.values) if old.shape == new.shape else old.size
            unlabelled = off.text.removesuffix(", allowed 0 absolute")
            lines.append(
                f"{unlabelled if off.share else f'{name} differs in bits'} ({n_off} of {old.size} differ)"
            )
    return lines


def _count_different(old: Any, new: Any) -> int:
    if old.dtype.kind in "fc":
        bits = f"V{old.dtype.itemsize}"
        return int((np.atleast_1d(old).view(bits) != np.atleast_1d(new).view(bits)).sum())
    return int((old != new).sum())
