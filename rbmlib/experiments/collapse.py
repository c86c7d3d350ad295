r"""Whether the curves of all dilutions collapse (Diaz-Faloh & Mulet, Fig. 4a and eq. 7), with and without compensated biases.

The machines are those of :mod:`rbmlib.experiments.mnist_dilution`; each is also pruned with biases that make up for the
removed weights in mean field (:mod:`rbmlib.analysis.compensation`), on the same grid, from the same chains.
"""

from __future__ import annotations

from typing import Any

from rbmlib.lab.cell import Cell
from rbmlib.lab.profiles import Profile, resolve

from . import mnist_judges, mnist_standard

PROFILES = {
    "book": Profile(
        mnist_standard.without_controls(mnist_standard.BOOK), "about six and a half hours on two cores"
    ),
    # Three replicas are the fewest that an interval can rest on.
    "quick": Profile(
        {**mnist_standard.without_controls(mnist_standard.QUICK), "n_replicas": 3},
        "about two minutes on two cores",
    ),
}


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = mnist_standard.checked_without_controls(resolve(PROFILES, "book", parameters))
    made = []
    for one in sorted(mnist_standard.machines(p), key=lambda machine: machine[1]):
        compensated = mnist_standard.compensated_cell(p, *one)
        made += [
            mnist_standard.sample_cell(p, *one),
            mnist_judges.judged_cell(p, *one),
            compensated,
            mnist_judges.judged(p, compensated, one[1]),
        ]
    return made
