r"""Spectra of the weights of diluted machines (Diaz-Faloh & Mulet, Fig. 4b), and what machines of few modes can do.

The machines are those of :mod:`rbmbook.studies.mnist_dilution.study`. Of all of them the eigenvalues of :math:`W^T W` are taken,
and those of their weights shuffled; of some, the spectrum along training; some are made of their largest modes alone and
sampled, with their biases as they are and with biases that make up for the change of the weights in mean field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import judges as mnist_judges
from rbmbook.studies.digits import standard as mnist_standard
from rbmlib.kernels.initialisation import derived_seed

from . import cells as spectra_cells

_DESIGN: dict[str, Any] = {
    "n_shuffles": 4,
    "modes": [20, 40, 62, 100, 200, 400],
    "mode_dilutions": [0.0, 0.4, 0.8],
    "mode_replicas": 5,
    "course": [0, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 20_000],
    "course_dilutions": [0.0, 0.4, 0.8],
    "course_replicas": 3,
}
_QUICK: dict[str, Any] = {
    "n_replicas": 3,
    "n_shuffles": 2,
    "modes": [5, 10, 20, 40, 64],
    "mode_dilutions": [0.0, 0.5],
    "mode_replicas": 3,
    "course": [0, 200, 500, 1000],
    "course_dilutions": [0.0, 0.5],
    "course_replicas": 1,
}

PROFILES = {
    "book": Profile(
        {**mnist_standard.without_controls(mnist_standard.BOOK), **_DESIGN}, "about four hours on two cores"
    ),
    "quick": Profile(
        {**mnist_standard.without_controls(mnist_standard.QUICK), **_QUICK}, "about two minutes on two cores"
    ),
}

BIASES = ("as trained", "compensated")
"""What the biases of a machine of few modes are."""

_SEED = 0x5BEC_5EED
_OF_SAMPLES = ("aai", "second_moment")
_OF_JUDGES = ("quality", "quality_other", "imbalance")
_OF_COURSE = tuple(name for name in mnist_standard.TRAINING if name != "record_every")
_SEEDS_OF_COURSE = ("mask_seed", "init_seed", "training_seed")


def check(p: Mapping[str, Any]) -> dict[str, Any]:
    """Check the parameters before anything is computed; return them with those of the controls, of which there are none.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    whole = mnist_standard.checked_without_controls(p)
    if whole["backend"] != "numba":
        raise ValueError(f"backend must be 'numba' for spectra along training, not {whole['backend']!r}")
    if len(p["dilutions"]) < 2:
        raise ValueError(f"dilutions must be at least two for spectra to cross, not {p['dilutions']}")
    if type(p["n_shuffles"]) is not int or p["n_shuffles"] < 1:
        raise ValueError(f"n_shuffles must be an integer >= 1, not {p['n_shuffles']!r}")
    for name, lowest, highest in (("modes", 1, p["n_hidden"]), ("course", 0, p["n_updates"])):
        given = list(p[name])
        if not given or sorted(set(given)) != given or any(type(one) is not int for one in given):
            raise ValueError(f"{name} must be ascending integers without repetition, not {given}")
        if given[0] < lowest or given[-1] > highest:
            raise ValueError(f"{name} must lie between {lowest} and {highest}, not {given}")
    for name in ("mode", "course"):
        foreign = [p0 for p0 in p[f"{name}_dilutions"] if p0 not in list(p["dilutions"])]
        if foreign or not p[f"{name}_dilutions"]:
            raise ValueError(
                f"{name}_dilutions must be some of dilutions = {p['dilutions']}, not {p[f'{name}_dilutions']}"
            )
        replicas = p[f"{name}_replicas"]
        if type(replicas) is not int or not 1 <= replicas <= p["n_replicas"]:
            raise ValueError(
                f"{name}_replicas must lie between 1 and n_replicas = {p['n_replicas']}, not {replicas!r}"
            )
    return whole


def spectrum_cell(p: Mapping[str, Any], dilution: float, replica: int) -> Cell:
    """The cell with the eigenvalues of one machine."""
    seed = int(derived_seed(np.uint64(_SEED), round(1e9 * dilution), replica))
    return Cell(
        spectra_cells.weight_spectrum,
        {"n_shuffles": p["n_shuffles"], "shuffle_seed": seed},
        {"machine": mnist_standard.machine_cell(p, dilution, replica)},
    )


def course_cell(p: Mapping[str, Any], dilution: float, replica: int) -> Cell:
    """The cell that trains one machine once more and looks at its eigenvalues on the way."""
    seeds = mnist_standard.seeds_of_parts(float(dilution), replica)
    return Cell(
        spectra_cells.train_spectra,
        {
            **{name: p[name] for name in _OF_COURSE},
            "dilution": float(dilution),
            "course": tuple(p["course"]),
            **{name: seeds[name] for name in _SEEDS_OF_COURSE},
        },
    )


def modes_cell(p: Mapping[str, Any], dilution: float, replica: int, biases: str) -> Cell:
    """The cell that samples one machine made of its largest modes.

    Chains and images compared with are those of :func:`rbmbook.studies.digits.standard.sample_cell`.

    Parameters
    ----------
    p : mapping
        The study's parameters, as :func:`check` returns them.
    dilution : float
        Share p0 of weights that are zero from the start.
    replica : int
        Number of the repetition.
    biases : str
        One of :data:`BIASES`.
    """
    if biases not in BIASES:
        raise ValueError(f"biases must be one of {', '.join(BIASES)}, not {biases!r}")
    seeds = mnist_standard.seeds_of_parts(float(dilution), replica)
    return Cell(
        spectra_cells.sample_modes,
        {
            **{name: p[name] for name in ("images", "images_checksum", "n_samples", "n_steps")},
            "modes": tuple(p["modes"]),
            "compensated": biases == "compensated",
            **{name: seeds[name] for name in ("sampling_seed", "reference_seed")},
        },
        {"machine": mnist_standard.machine_cell(p, dilution, replica)},
    )


def judged_cell(p: Mapping[str, Any], dilution: float, replica: int, biases: str) -> Cell:
    """The cell in which the samples of such a machine are judged, as those of the whole machine are."""
    return mnist_judges.judged(p, modes_cell(p, dilution, replica, biases), replica)


def comparison_cell(p: Mapping[str, Any]) -> Cell:
    """The cell that compares the directions of the largest modes of some replicas of every dilution."""
    machines = {
        mnist_judges.name_of(float(p0), replica): mnist_standard.machine_cell(p, float(p0), replica)
        for p0 in p["dilutions"]
        for replica in range(p["mode_replicas"])
    }
    values = {name: p[name] for name in ("images", "images_checksum")}
    return Cell(spectra_cells.compare_modes, {**values, "modes": tuple(p["modes"])}, machines)


def truncated(p: Mapping[str, Any]) -> Iterator[tuple[float, int, str]]:
    """Dilution, replica and biases of every machine of few modes."""
    for p0 in p["mode_dilutions"]:
        for replica in range(p["mode_replicas"]):
            for biases in BIASES:
                yield float(p0), replica, biases


def courses(p: Mapping[str, Any]) -> Iterator[tuple[float, int]]:
    """Dilution and replica of every machine whose training is followed."""
    return ((float(p0), replica) for p0 in p["course_dilutions"] for replica in range(p["course_replicas"]))


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = check(resolve(PROFILES, "book", parameters))
    made = [spectrum_cell(p, *one) for one in mnist_standard.machines(p)]
    made.append(comparison_cell(p))
    for one in truncated(p):
        made += [modes_cell(p, *one), judged_cell(p, *one)]
    return [*made, *(course_cell(p, *one) for one in courses(p))]


class Study(NamedTuple):
    """Results of :func:`results`.

    Attributes
    ----------
    spectra : xarray.Dataset
        ``eigenvalues`` (replica, dilution, rank), ``shuffled`` (replica, dilution, null, rank), ``variance`` and ``mean`` of
        the entries (replica, dilution). Attribute: ``n_visible``.
    truncated : xarray.Dataset
        Measures (biases, replica, dilution, modes) of machines of few modes: ``quality``, ``quality_other``, ``digits``,
        ``aai``, ``second_moment``.
    course : xarray.Dataset
        ``eigenvalues`` (replica, dilution, update, rank) along training.
    shared : xarray.Dataset
        What :func:`rbmbook.studies.spectra.cells.compare_modes` gave, with the coordinates ``dilution`` and ``replica`` of
        every machine.
    """

    spectra: xr.Dataset
    truncated: xr.Dataset
    course: xr.Dataset
    shared: xr.Dataset


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
    machines = list(mnist_standard.machines(p))
    spectra = _joined(machines, sweep([spectrum_cell(p, *one) for one in machines]))
    followed = list(courses(p))
    course = _joined(followed, sweep([course_cell(p, *one) for one in followed]))
    return Study(spectra, _truncated(p), course, _shared(p))


def _joined(machines: Iterable[tuple[float, int]], found: Iterable[xr.Dataset]) -> xr.Dataset:
    """Results of machines along ``replica`` and ``dilution``."""
    placed = [
        one.expand_dims(replica=[replica], dilution=[dilution])
        for (dilution, replica), one in zip(machines, found, strict=True)
    ]
    return xr.combine_by_coords(placed, combine_attrs="override").transpose("replica", "dilution", ...)


def _truncated(p: Mapping[str, Any]) -> xr.Dataset:
    wanted = list(truncated(p))
    judged = sweep([judged_cell(p, *one) for one in wanted])
    sampled = sweep([modes_cell(p, *one) for one in wanted])
    placed = []
    for (dilution, replica, biases), seen, drawn in zip(wanted, judged, sampled, strict=True):
        one = xr.merge([seen[list(_OF_JUDGES)], drawn[list(_OF_SAMPLES)]], combine_attrs="override")
        digits = [1 / (10 * imbalance + 0.1) for imbalance in one.imbalance.values]
        one = one.assign(digits=("removed", digits)).drop_vars("imbalance")
        one = one.rename(removed="modes").assign_coords(modes=drawn.modes.values)
        placed.append(one.expand_dims(biases=[biases], replica=[replica], dilution=[dilution]))
    joined = xr.combine_by_coords(placed, combine_attrs="override")
    return joined.sel(biases=list(BIASES)).transpose("biases", "replica", "dilution", "modes")


def _shared(p: Mapping[str, Any]) -> xr.Dataset:
    (found,) = sweep([comparison_cell(p)])
    places = {
        mnist_judges.name_of(float(p0), replica): (float(p0), replica)
        for p0 in p["dilutions"]
        for replica in range(p["mode_replicas"])
    }
    of = np.array([places[name] for name in found.machine.values])
    return found.assign_coords(dilution=("machine", of[:, 0]), replica=("machine", of[:, 1].astype(int)))
