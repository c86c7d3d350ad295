r"""Diluted RBMs of MNIST, pruned until they fail and trained again (Diaz-Faloh & Mulet, Fig. 5, Table 1).

The arms of the design and their cells stand in :mod:`rbmbook.studies.digits.arms`; here they are read together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import arms as mnist_arms
from rbmbook.studies.digits import judges as mnist_judges
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.arms import (
    ARMS,
    arms_of,
    check,
    design,
    judged_cell,
    label_of,
    machine_cell,
    sample_cell,
)
from rbmbook.studies.digits.drops import MEASURES, effective_digits
from rbmlib.analysis.drops import LEAST_FALL, LEAST_RISE, NEVER, Measure, find_drop, total_removed

PROFILES = {
    "book": Profile(mnist_arms.BOOK, "about seven hours on two cores"),
    "quick": Profile(mnist_arms.QUICK, "about two minutes on two cores"),
}


def base_cells(p: Mapping[str, Any], pair: Sequence[float], replica: int) -> tuple[Cell, Cell, Cell]:
    """The cells of a pair's base machine, of its samples, and of what its judges say of them."""
    one = float(pair[0]), replica
    return (
        mnist_standard.machine_cell(p, *one),
        mnist_standard.sample_cell(p, *one),
        mnist_judges.judged_cell(p, *one),
    )


def arm_cells(p: Mapping[str, Any], arm: str, pair: Sequence[float], replica: int) -> tuple[Cell, Cell, Cell]:
    """The cells of an arm's machine, of its samples, and of what the judges say of them."""
    return tuple(cell(p, arm, pair, replica) for cell in (machine_cell, sample_cell, judged_cell))


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = check(resolve(PROFILES, "book", parameters))
    made = [cell for pair, replica, arm in design(p) for cell in arm_cells(p, arm, pair, replica)]
    bases = [
        cell
        for pair in p["pairs"]
        for replica in range(p["n_replicas"])
        for cell in base_cells(p, pair, replica)
    ]
    return list(dict.fromkeys([*made, *bases, mnist_standard.floors_cell(p)]))


# --- results --------------------------------------------------------------------------------------------------------

_OF_SAMPLES = ("kept", "components", "aai", "aai_error", "second_moment")
_OF_JUDGES = (
    "quality",
    "quality_error",
    "quality_other",
    "quality_other_error",
    "imbalance",
    "second_moment_error",
)
_OF_TRAINING = ("log_likelihood", "log_likelihood_error")
_HALF = 0.5


class Study(NamedTuple):
    """Results of :func:`results`.

    Attributes
    ----------
    machines : xarray.Dataset
        Measures (pair, arm, replica, removed) with errors under ``..._error``: ``quality``, ``quality_other`` (by the judge
        that learnt from no machine), ``imbalance``, ``digits`` (their effective number), ``aai``, ``second_moment``;
        ``kept`` and ``components``; ``log_likelihood`` (pair, arm, replica, part) with its error (pair, arm, replica). NaN
        where a pair lacks an arm. ``removed`` is the share taken of the weights that an arm's machine has, so that
        ``total`` (pair, removed) of all weights are zero; ``dilution`` and ``sparsity`` (pair) are p0 and p.
    base : xarray.Dataset
        The same of the base machines (pair, replica) without pruning.
    drops : xarray.Dataset
        ``position`` and ``width`` (measure, pair, arm, replica) of every machine's drop, in shares of all weights. A
        position of 1 says that the measure does not drop within the grid, which then has no width; NaN, that it had dropped
        before the first point: that the machine, against its base, has failed already.
    floors : xarray.Dataset
        ``aai`` and ``second_moment`` (set) of as many real images.
    """

    machines: xr.Dataset
    base: xr.Dataset
    drops: xr.Dataset
    floors: xr.Dataset


def results(**parameters: Any) -> Study:
    """The study's results: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = check(resolve(PROFILES, "book", parameters))
    # These rest on all others: what is missing is computed now, side by side. The rest is read arm by arm.
    last = [judged_cell(p, arm, pair, replica) for pair, replica, arm in design(p)]
    sweep(last + [base_cells(p, pair, r)[2] for pair in p["pairs"] for r in range(p["n_replicas"])])
    arms, bases = [], []
    for pair in p["pairs"]:
        by_arm = {
            arm: _replicas(p, [arm_cells(p, arm, pair, r) for r in range(p["n_replicas"])])
            for arm in arms_of(p, pair)
        }
        arms.append(_along("arm", by_arm))
        bases.append(
            _replicas(p, [base_cells(p, pair, r) for r in range(p["n_replicas"])]).isel(removed=0, drop=True)
        )
    labels = [label_of(pair) for pair in p["pairs"]]
    machines = _along("pair", dict(zip(labels, arms, strict=True))).reindex(arm=list(ARMS))
    machines = machines.transpose("pair", "arm", "replica", "removed", "part")
    dilution, sparsity = np.array(p["pairs"], dtype=float).T
    machines = machines.assign_coords(
        dilution=("pair", dilution),
        sparsity=("pair", sparsity),
        total=(("pair", "removed"), total_removed(sparsity[:, None], machines.removed.values)),
    )
    base = _along("pair", dict(zip(labels, bases, strict=True)))
    (floors,) = sweep([mnist_standard.floors_cell(p)])
    return Study(machines, base, drops_of(machines, base), floors[["aai", "second_moment"]])


def _replicas(p: Mapping[str, Any], wanted: Sequence[tuple[Cell, Cell, Cell]]) -> xr.Dataset:
    """Measures (replica, removed) of machines, from the cells of each."""
    found = sweep([cell for cells in wanted for cell in cells])
    rows = [
        xr.merge(
            [trained[list(_OF_TRAINING)], drawn[list(_OF_SAMPLES)], judged[list(_OF_JUDGES)]],
            join="exact",
            compat="no_conflicts",
            combine_attrs="drop",
        )
        for trained, drawn, judged in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]
    joined = _along("replica", dict(enumerate(rows)))
    digits = effective_digits(joined.imbalance.transpose("replica", "removed").values)
    return joined.assign(digits=(("replica", "removed"), digits))


def _along(name: str, parts: Mapping[Any, xr.Dataset]) -> xr.Dataset:
    return xr.concat(
        parts.values(),
        xr.IndexVariable(name, list(parts)),
        data_vars="all",
        join="outer",
        combine_attrs="drop",
    )


def drops_of(machines: xr.Dataset, base: xr.Dataset) -> xr.Dataset:
    """Position and width of the drop of every machine by every measure, as :class:`Study` has them."""
    found = []
    for name, measure in MEASURES.items():
        position, width = xr.apply_ufunc(
            lambda total, curve, whole, measure=measure: _drop(total, curve, whole, measure),
            machines.total,
            machines[name],
            base[name],
            input_core_dims=[["removed"], ["removed"], []],
            output_core_dims=[[], []],
            vectorize=True,
        )
        found.append(xr.Dataset({"position": position, "width": width}))
    return _along("measure", dict(zip(MEASURES, found, strict=True))).transpose(
        "measure", "pair", "arm", "replica"
    )


def _drop(
    total: NDArray[np.float64], curve: NDArray[np.float64], whole: float, measure: Measure
) -> tuple[float, float]:
    if not np.isfinite(curve).all() or _has_dropped(curve, whole, measure):
        return np.nan, np.nan
    position, width = find_drop(total, curve, measure)
    return position, width if position < NEVER else np.nan


def _has_dropped(curve: NDArray[np.float64], whole: float, measure: Measure) -> bool:
    """Whether a curve begins beyond half of the way from the base machine's value to its own end, far from the former."""
    start, end = curve[0], curve[-1] if measure.collapsed is None else measure.collapsed
    far = start <= LEAST_FALL * whole if measure.falls else start >= LEAST_RISE * whole
    return bool(far and (end == whole or (start - whole) / (end - whole) >= _HALF))
