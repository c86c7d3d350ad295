r"""Diluted RBMs of MNIST, pruned until they fail (Diaz-Faloh & Mulet, Figs 1 to 3).

A machine is diluted at random before it is trained: a share :math:`p_0` of its weights is zero and stays so. Trained, it
is pruned: of the weights that training left a share f goes, the smallest first, so that :math:`p = p_0 + f (1 - p_0)` of
all weights are zero. At every f it is sampled, and its samples are measured in four ways: quality Q by a judge that has
never seen the machine, class imbalance :math:`d_f` of what the judge accepts, adversarial error :math:`E_{AAI}` and
second-moment error :math:`E^{(2)}`. As controls some machines also lose random weights, or their largest, first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import judges as mnist_judges
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.cells import LOOKS
from rbmbook.studies.digits.drops import effective_digits
from rbmlib.analysis.drops import total_removed
from rbmlib.mnist.diversity import expected_entropy, expected_imbalance

PROFILES = {
    "book": Profile(mnist_standard.BOOK, "about three and a half hours on two cores"),
    "quick": Profile(mnist_standard.QUICK, "less than a minute on two cores"),
    "paper": Profile(
        mnist_standard.PAPER,
        "8 to 24 hours of a data-centre accelerator, by counted operations; about four hours on two cores for the rest",
    ),
}

ORDERS = ("magnitude", "random", "largest")
"""Which weights go first: the smallest, any, or the largest."""
CONTROLLED = ("quality", "quality_other", "aai", "second_moment", "digits")
"""The measures of the controls."""
_OF_SAMPLES = ("kept", "components", "aai", "aai_error", "aai_generated", "aai_data", "second_moment", *LOOKS)
_OF_JUDGES = (
    "quality", "quality_error", "quality_other", "quality_other_error", "confidence", "accepted", "imbalance",
    "imbalance_error", "entropy", "entropy_error", "second_moment_error",
)  # fmt: skip
_OF_TRAINING = (
    "n_weights", "pseudo_likelihood", "log_likelihood", "log_likelihood_error", "log_likelihood_spread",
    "effective_chains",
)  # fmt: skip

Machine = tuple[float, int]
"""A machine's dilution and replica."""


class Study(NamedTuple):
    """Results of :func:`results`.

    Attributes
    ----------
    machines : xarray.Dataset
        Measures (replica, dilution, removed) of the machines whose smallest weights go first: ``quality``,
        ``quality_other`` (by the judge that learnt from no machine), ``confidence``, ``accepted``, ``imbalance``,
        ``entropy``, ``digits`` (their effective number), ``aai`` with ``aai_generated`` and ``aai_data``,
        ``second_moment``, each with its error under ``..._error``; ``kept``, ``components`` and the looks
        :data:`rbmbook.studies.digits.cells.LOOKS`. Of training: ``log_likelihood`` (replica, dilution, part) and its
        error (replica, dilution), ``pseudo_likelihood`` (replica, dilution, update, part), ``n_weights``; of the first
        machine of each dilution ``log_likelihood_below`` (dilution, part). Coordinate ``total`` (dilution, removed) is p.
        Attributes: ``height`` and ``width`` of an image.
    controls : xarray.Dataset
        :data:`CONTROLLED` (order, machine, removed) of the machines that are pruned in all :data:`ORDERS`, with the
        coordinates ``dilution`` and ``replica`` of each; without variables where no machine is. A curve stands at the
        points of both grids, on straight lines where it was not measured.
    floors : xarray.Dataset
        What as many real images are given: ``aai``, ``second_moment``, each with the standard deviation of one set
        under ``..._error``; ``imbalance``, ``entropy`` and ``digits`` of perfect samples with the classes of the test
        images; their looks. Attribute: ``n_samples``.
    """

    machines: xr.Dataset
    controls: xr.Dataset
    floors: xr.Dataset


def _judged(p: Mapping[str, Any]) -> dict[tuple[str, Machine], Cell]:
    """The cells that come last, by order and machine."""
    wanted = {("magnitude", one): mnist_judges.judged_cell(p, *one) for one in mnist_standard.machines(p)}
    for order in ORDERS[1:]:
        for one in mnist_standard.controls(p):
            wanted[order, one] = mnist_judges.judged_cell(p, *one, order)
    return wanted


def _bounds(p: Mapping[str, Any]) -> list[Cell]:
    return [mnist_standard.bound_cell(p, p0) for p0 in p["dilutions"]]


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = resolve(PROFILES, "book", parameters)
    mnist_standard.check(p)
    # Replica after replica, each of every dilution: a sweep that is stopped early has whole sets to look at.
    made = []
    for one in sorted(mnist_standard.machines(p), key=lambda machine: machine[1]):
        made += [mnist_standard.machine_cell(p, *one), mnist_standard.sample_cell(p, *one)]
    controls = [
        mnist_standard.sample_cell(p, *one, order)
        for order in ORDERS[1:]
        for one in mnist_standard.controls(p)
    ]
    return [*made, *controls, *_bounds(p), mnist_standard.floors_cell(p), *_judged(p).values()]


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
    p = resolve(PROFILES, "book", parameters)
    mnist_standard.check(p)
    wanted = _judged(p)
    # These rest on all others: what is missing is computed now, side by side. The rest is read group by group, for the
    # samples that come with it from a cache are too many to hold at once.
    judged = dict(zip(wanted, sweep(wanted.values()), strict=True))
    curves: dict[tuple[str, Machine], xr.Dataset] = {}
    for order, group in _groups(wanted):
        sampled = sweep([mnist_standard.sample_cell(p, *one, order) for one in group])
        trained = sweep([mnist_standard.machine_cell(p, *one) for one in group])
        for one, drawn, machine in zip(group, sampled, trained, strict=True):
            parts = [
                drawn[list(_OF_SAMPLES)],
                judged[order, one][list(_OF_JUDGES)],
                machine[list(_OF_TRAINING)],
            ]
            found = xr.merge(parts, combine_attrs="override")
            curves[order, one] = found.assign(digits=("removed", effective_digits(found.imbalance.values)))
    *bounds, floors = sweep([*_bounds(p), mnist_standard.floors_cell(p)])
    machines = _machines(curves, p)
    below = xr.concat(bounds, machines.dilution, data_vars="all", combine_attrs="override")
    machines = xr.merge([machines, below], combine_attrs="override")
    return Study(machines, _controls(curves, p), _floors(floors))


def _groups(wanted: Iterable[tuple[str, Machine]]) -> list[tuple[str, list[Machine]]]:
    """The machines of an order and a dilution together."""
    found: dict[tuple[str, float], list[Machine]] = {}
    for order, one in wanted:
        found.setdefault((order, one[0]), []).append(one)
    return [(order, group) for (order, _), group in found.items()]


def _machines(curves: Mapping[tuple[str, Machine], xr.Dataset], p: Mapping[str, Any]) -> xr.Dataset:
    dilution = [float(p0) for p0 in p["dilutions"]]
    rows = []
    for replica in range(p["n_replicas"]):
        row = [curves["magnitude", (p0, replica)] for p0 in dilution]
        rows.append(
            xr.concat(row, xr.IndexVariable("dilution", dilution), data_vars="all", combine_attrs="override")
        )
    replicas = xr.IndexVariable("replica", range(p["n_replicas"]))
    joined = xr.concat(rows, replicas, data_vars="all", combine_attrs="override")
    joined = joined.transpose("replica", "dilution", "removed", "update", "part")
    total = total_removed(joined.dilution.values[:, None], joined.removed.values[None, :])
    return joined.assign_coords(total=(("dilution", "removed"), total))


def _controls(curves: Mapping[tuple[str, Machine], xr.Dataset], p: Mapping[str, Any]) -> xr.Dataset:
    chosen = list(mnist_standard.controls(p))
    if not chosen:
        return xr.Dataset()
    removed = np.union1d(p["removed"], p["control_removed"])
    found = xr.Dataset(
        coords={
            "order": list(ORDERS),
            "removed": removed,
            "dilution": ("machine", [p0 for p0, _ in chosen]),
            "replica": ("machine", [replica for _, replica in chosen]),
        }
    )
    for name in CONTROLLED:
        values = [
            [
                np.interp(removed, one.removed.values, one[name].values)
                for one in (curves[order, at] for at in chosen)
            ]
            for order in ORDERS
        ]
        found[name] = (("order", "machine", "removed"), np.array(values))
    return found


def _floors(measured: xr.Dataset) -> xr.Dataset:
    found = measured[list(LOOKS)]
    for name in ("aai", "second_moment"):
        found[name] = measured[name].mean()
        found[f"{name}_error"] = (
            measured[name].std(ddof=1) if measured.sizes["set"] > 1 else measured[name].mean() * np.nan
        )
    if "counts" in measured:
        counts, n = measured.counts.values, measured.attrs["n_samples"]
        found["imbalance"] = expected_imbalance(n, counts)
        found["entropy"] = expected_entropy(n, counts)
        found["digits"] = float(effective_digits(np.array([found.imbalance.item()]), len(counts))[0])
    return found.assign_attrs(measured.attrs)
