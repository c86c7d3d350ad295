r"""Classes of machines by their weights and by their effective couplings (Diaz-Faloh & Mulet, Fig. 6).

The machines are those of :mod:`rbmlib.experiments.retraining`. For each pair (p0, p) all inner products between them are
stored, of weights and of pair couplings J(2) (eqs 9 to 12); principal components follow from those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rbmlib.lab.cell import Cell
from rbmlib.lab.profiles import Profile, resolve

from . import couplings_cells, retraining

COMPARED = ("frozen", "retrained", "reference", "same-mask", "random-kept")
"""The arms that are compared, where a pair has them."""

PROFILES = {
    "book": Profile(retraining.PROFILES["book"].parameters, "about seven hours on two cores"),
    "quick": Profile(retraining.PROFILES["quick"].parameters, "about a minute on two cores"),
}


def machines_cell(p: Mapping[str, Any], pair: Sequence[float]) -> Cell:
    """The cell that compares all machines of a pair (p0, p)."""
    arms = [arm for arm in COMPARED if arm in retraining.arms_of(p, pair)]
    machines = {
        f"{arm}_{replica}": retraining.machine_cell(p, arm, pair, replica)
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
    p = retraining.check(resolve(PROFILES, "book", parameters))
    return [machines_cell(p, pair) for pair in p["pairs"]]
