"""The judge of digits (Diaz-Faloh & Mulet, appendix A and Fig. 7): what it learns from, how often it is right, and how much
Q depends on it.

Judges of three recipes learn digits against what is none: images of machines that were pruned too far, digits taken apart, or
both. Those that learn from machines are cross-fitted by replica. Each is asked about test digits, about new images of machines
that it has seen, about machines that it has not, and about every family of digits taken apart; and all of them about the
machines of one dilution, pruned more and more. The machines are those of :mod:`rbmbook.studies.mnist_dilution.study`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import judges as mnist_judges
from rbmbook.studies.digits import standard as mnist_standard


def _profile(standard: Mapping[str, Any], cost: str) -> Profile:
    return Profile({**mnist_standard.without_controls(standard), "compared_dilution": 0.0}, cost)


PROFILES = {
    "book": _profile(
        mnist_standard.BOOK,
        "about ten minutes on two cores beyond the chapter on dilution, whose machines it judges",
    ),
    "quick": _profile(mnist_standard.QUICK, "about a minute on two cores, machines included"),
    "paper": _profile(
        mnist_standard.PAPER,
        "about ten minutes on two cores beyond the chapter on dilution, which needs an accelerator or a cluster",
    ),
}


class Study(NamedTuple):
    """Results of the study.

    Attributes
    ----------
    accuracy : xarray.Dataset
        Of every judge (recipe, fold), NaN where a recipe has no such fold: ``digits``, share of the test digits that it
        accepts, ``digits_of`` (..., class) the same by class, and ``classes``, share whose class it names; ``families`` (...,
        family), shares rejected; ``rejected`` (..., dilution, replica, removed), shares of the images of over-pruned machines
        rejected, and ``seen`` (recipe, fold, replica), whether it has learnt from other images of these machines.
    curves : xarray.Dataset
        ``quality`` (recipe, fold, replica, removed) of pruned machines of one dilution by every judge; ``seen`` likewise.
    pictures : xarray.Dataset
        Images as bits (..., byte): ``digits`` (class, shown), ``families`` (family, shown), ``machines`` (dilution, replica,
        removed, shown); attributes ``height`` and ``width``.
    """

    accuracy: xr.Dataset
    curves: xr.Dataset
    pictures: xr.Dataset


def _checked(p: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, with those that only other studies use."""
    p = mnist_standard.checked_without_controls(p)
    if p["compared_dilution"] not in p["dilutions"]:
        raise ValueError(
            f"compared_dilution must be among dilutions = {list(p['dilutions'])}, not {p['compared_dilution']!r}"
        )
    return p


def _cells_of(p: Mapping[str, Any]) -> dict[tuple, Cell]:
    """Cells by what they are: judges, what they are asked, and the images that the page shows."""
    judges = [(recipe, fold) for recipe in p["recipes"] for fold in mnist_judges.folds_of(p, recipe)]
    replicas = range(p["n_replicas"])
    compared = float(p["compared_dilution"])
    return {
        **{("judge", *one): mnist_judges.judge_cell(p, *one) for one in judges},
        **{("accuracy", *one): mnist_judges.accuracy_cell(p, *one) for one in judges},
        **{("curves", replica): mnist_judges.comparison_cell(p, compared, replica) for replica in replicas},
        **{
            ("machine", float(p0), replica): mnist_judges.negatives_cell(p, float(p0), replica)
            for p0 in p["shown_dilutions"]
            for replica in replicas
        },
        ("sources",): mnist_judges.sources_cell(p),
    }


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    p = _checked(resolve(PROFILES, "book", parameters))
    return list(_cells_of(p).values())


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
    p = _checked(resolve(PROFILES, "book", parameters))
    wanted = {what: cell for what, cell in _cells_of(p).items() if what[0] != "judge"}
    found = dict(zip(wanted, sweep(wanted.values()), strict=True))

    def of(kind: str) -> dict[tuple, xr.Dataset]:
        return {what[1:]: one for what, one in found.items() if what[0] == kind}

    return Study(
        _accuracy({judge: _by_machine(one, p) for judge, one in of("accuracy").items()}, p),
        _curves({replica: one for (replica,), one in of("curves").items()}),
        _pictures(found["sources",], of("machine")),
    )


def _accuracy(by_judge: Mapping[tuple[str, int], xr.Dataset], p: Mapping[str, Any]) -> xr.Dataset:
    """Join judges by (recipe, fold)."""
    rows = []
    for recipe in p["recipes"]:
        own = {fold: one for (name, fold), one in by_judge.items() if name == recipe}
        joined = xr.concat(own.values(), xr.DataArray(list(own), dims="fold", name="fold"))
        rows.append(joined.reindex(fold=range(p["n_folds"]), fill_value={"seen": False}))
    return xr.concat(rows, xr.DataArray(list(p["recipes"]), dims="recipe", name="recipe"))


def _by_machine(one: xr.Dataset, p: Mapping[str, Any]) -> xr.Dataset:
    """What a judge says of machines, by dilution and replica."""
    replicas = range(p["n_replicas"])
    names = [[mnist_judges.name_of(float(p0), replica) for replica in replicas] for p0 in p["dilutions"]]
    place = xr.DataArray(
        names,
        {"dilution": [float(p0) for p0 in p["dilutions"]], "replica": list(replicas)},
        ("dilution", "replica"),
    )
    machines = one[["rejected", "seen"]].sel(machine=place).drop_vars("machine")
    # All machines of a replica are in the same fold.
    return one.drop_dims("machine").assign(
        rejected=machines.rejected, seen=machines.seen.isel(dilution=0, drop=True)
    )


def _curves(by_replica: Mapping[int, xr.Dataset]) -> xr.Dataset:
    joined = xr.concat(
        [one.set_coords(("recipe", "fold")) for one in by_replica.values()],
        xr.DataArray(list(by_replica), dims="replica", name="replica"),
        coords="minimal",
        compat="override",
    )
    recipes = list(dict.fromkeys(joined.recipe.values.tolist()))
    table = (
        joined.drop_vars("judge")
        .set_index(judge=("recipe", "fold"))
        .unstack("judge", fill_value={"seen": False})
    )
    return table.sel(recipe=recipes).transpose("recipe", "fold", "replica", ...)


def _pictures(sources: xr.Dataset, machines: Mapping[tuple[float, int], xr.Dataset]) -> xr.Dataset:
    dilutions = list(dict.fromkeys(p0 for p0, _ in machines))
    replicas = list(dict.fromkeys(replica for _, replica in machines))
    first = next(iter(machines.values()))
    drawn = np.array([[machines[p0, replica].shown.values for replica in replicas] for p0 in dilutions])
    return sources.assign(
        machines=(("dilution", "replica", "removed", "drawn", "byte"), drawn)
    ).assign_coords(dilution=dilutions, replica=replicas, removed=first.removed.values)
