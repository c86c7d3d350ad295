r"""Classes of machines by their weights and by their effective couplings (Diaz-Faloh & Mulet, Fig. 6).

The machines are those of :mod:`rbmbook.studies.retraining.study`. For each pair (p0, p) all inner products between them are
stored, of weights and of pair couplings J(2) (eqs 9 to 12); principal components follow from those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import arms as mnist_arms

from . import cells as couplings_cells
from .classes import separations

COMPARED = ("frozen", "retrained", "reference", "same-mask", "random-kept")
"""The arms that are compared, where a pair has them."""

PROFILES = {
    "book": Profile(mnist_arms.BOOK, "about seven hours on two cores"),
    "quick": Profile(mnist_arms.QUICK, "about a minute on two cores"),
}


def machines_cell(p: Mapping[str, Any], pair: Sequence[float]) -> Cell:
    """The cell that compares all machines of a pair (p0, p)."""
    arms = [arm for arm in COMPARED if arm in mnist_arms.arms_of(p, pair)]
    machines = {
        f"{arm}_{replica}": mnist_arms.machine_cell(p, arm, pair, replica)
        for arm in arms
        for replica in range(p["n_replicas"])
    }
    return Cell(couplings_cells.compare_machines, {}, machines)


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = mnist_arms.check(resolve(PROFILES, "book", parameters))
    return [machines_cell(p, pair) for pair in p["pairs"]]


class Study(NamedTuple):
    """Results of :func:`results`.

    Attributes
    ----------
    comparisons : dict of str to xarray.Dataset
        Inner products of all machines of a pair (p0, p), as :func:`rbmbook.studies.couplings_pca.cells.compare_machines`
        has them, by the pair's label. A machine is called by its arm and its replica: ``frozen_3``.
    separations : xarray.Dataset
        What :func:`rbmbook.studies.couplings_pca.classes.separations` makes of them.
    """

    comparisons: dict[str, xr.Dataset]
    separations: xr.Dataset


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
    p = mnist_arms.check(resolve(PROFILES, "book", parameters))
    found = sweep([machines_cell(p, pair) for pair in p["pairs"]])
    comparisons = dict(zip(map(mnist_arms.label_of, p["pairs"]), found, strict=True))
    return Study(comparisons, separations(comparisons))
