"""The standard pruning runs, as other studies take them up: contrastive divergence and nothing beside it.

A study that is about these runs, or compares others with them, has their parameters under the names of
:mod:`rbmbook.studies.tfim_pruning` and asks for the same cells, so that no machine is trained twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from rbmbook.lab.cell import Cell

from . import tfim_pruning

NAMES = (
    "n_spins",
    "n_hidden",
    "fields",
    "n_seeds",
    "n_samples",
    "k",
    "batch_size",
    "n_epochs",
    "learning_rate",
    "final_learning_rate",
    "finetune_epochs",
    "finetune_rate",
    "final_finetune_rate",
    "prune_fraction",
    "n_iterations",
)
"""The parameters of a standard run."""
RECIPE = NAMES[NAMES.index("k") : NAMES.index("prune_fraction")]
"""Those of them that make a :class:`rbmbook.studies.tfim_cells.Recipe`."""

BOOK, QUICK = (
    {name: tfim_pruning.PROFILES[profile].parameters[name] for name in NAMES} for profile in ("book", "quick")
)
"""Their values in the profiles of the same names."""


def _whole(p: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the pruning study that leave everything out but these runs."""
    chosen = {name: p[name] for name in NAMES}
    return {**chosen, "algorithms": ["cd"], "convergence_epochs": 0, "check_seeds": 0}


def check(p: Mapping[str, Any]) -> None:
    """Complain about parameters that cannot be meant, before hours are spent.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    tfim_pruning._check({**tfim_pruning.PROFILES["book"].parameters, **_whole(p)})


def cells(p: Mapping[str, Any]) -> list[Cell]:
    """The runs of all seeds and fields, the fields of a seed together.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    return tfim_pruning.cells(**_whole(p))


def results(p: Mapping[str, Any]) -> xr.Dataset:
    """Their results: ``training`` (field, seed, epoch, measure), ``pruning`` (field, seed, stage, measure),
    the machines of every stage, ``kept`` and ``removed`` (stage).
    """
    return tfim_pruning.results(**_whole(p)).pruning.sel(algorithm="cd", drop=True)
