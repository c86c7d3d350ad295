r"""Whether the curves of all dilutions collapse (Diaz-Faloh & Mulet, Fig. 4a and eq. 7), with and without compensated biases.

The machines are those of :mod:`rbmbook.studies.mnist_dilution.study`; each is also pruned with biases that make up for the
removed weights in mean field (:mod:`rbmlib.analysis.compensation`), on the same grid, from the same chains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import judges as mnist_judges
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.drops import effective_digits
from rbmlib.analysis.collapse import FEWEST_REPLICAS
from rbmlib.analysis.drops import total_removed

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

BIASES = ("as trained", "compensated")
"""What the biases of a pruned machine are."""
STEP = 0.5
"""Where eq. 7 has its step, in shares."""
_OF_SAMPLES = ("aai", "second_moment", "ink")
_OF_JUDGES = ("quality", "quality_other", "imbalance")


def check(p: Mapping[str, Any]) -> dict[str, Any]:
    """Check the parameters before anything is computed; return them with those of the controls, of which there are none.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    whole = mnist_standard.checked_without_controls(p)
    if len(p["dilutions"]) < 2:
        raise ValueError(f"dilutions must be at least two for curves to collapse, not {p['dilutions']}")
    if p["n_replicas"] < FEWEST_REPLICAS:
        raise ValueError(
            f"n_replicas must be at least {FEWEST_REPLICAS} for an interval over replicas, not {p['n_replicas']}"
        )
    if len(p["removed"]) < 3 or p["removed"][-1] <= STEP:
        raise ValueError(
            f"removed must bracket the drop, with three points or more and the last beyond {STEP}, not be {p['removed']}"
        )
    return whole


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = check(resolve(PROFILES, "book", parameters))
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


def results(**parameters: Any) -> xr.Dataset:
    """The study's results: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    xarray.Dataset
        Measures (biases, replica, dilution, removed), with the coordinates ``biases`` (:data:`BIASES`) and ``total``
        (dilution, removed), the share p: ``quality`` and ``quality_other`` (by the judge that learnt from no machine),
        ``digits`` (effective number), ``aai``, ``second_moment`` and ``ink``.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = check(resolve(PROFILES, "book", parameters))
    arms = [curves(p, biases) for biases in BIASES]
    return xr.concat(arms, xr.IndexVariable("biases", list(BIASES)), combine_attrs="override")


def curves(p: Mapping[str, Any], biases: str) -> xr.Dataset:
    """The measures of :func:`results` (replica, dilution, removed) with one kind of biases.

    Parameters
    ----------
    p : mapping
        The study's parameters, as :func:`check` returns them.
    biases : str
        One of :data:`BIASES`.
    """
    if biases not in BIASES:
        raise ValueError(f"biases must be one of {', '.join(BIASES)}, not {biases!r}")
    of = mnist_standard.sample_cell if biases == BIASES[0] else mnist_standard.compensated_cell
    rows = []
    # Dilution after dilution: the samples that come from a cache are too many to hold at once.
    for p0 in map(float, p["dilutions"]):
        sampled = [of(p, p0, replica) for replica in range(p["n_replicas"])]
        judged = [mnist_judges.judged(p, cell, replica) for replica, cell in enumerate(sampled)]
        found = [
            xr.merge([drawn[list(_OF_SAMPLES)], seen[list(_OF_JUDGES)]], combine_attrs="override")
            for seen, drawn in zip(sweep(judged), sweep(sampled), strict=True)
        ]
        rows.append(xr.concat(found, xr.IndexVariable("replica", range(len(found)))))
    dilution = xr.IndexVariable("dilution", [float(p0) for p0 in p["dilutions"]])
    joined = xr.concat(rows, dilution).transpose("replica", "dilution", "removed")
    digits = (joined.imbalance.dims, effective_digits(joined.imbalance.values))
    total = total_removed(dilution.values[:, None], joined.removed.values)
    return joined.assign(digits=digits).assign_coords(total=(("dilution", "removed"), total))
