"""The judges of the studies on MNIST, and what they are asked, as cells that the studies share.

Machines are divided into folds by replica, all dilutions of a replica together. The judge of a fold learns from all other
machines and judges those of its fold, so that no machine is judged by one that has seen it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from rbmbook.lab.cell import Cell, canonical_json
from rbmlib.kernels.initialisation import derived_seed

from . import judge_cells as compute
from . import standard as mnist_standard
from .judge_cells import RECIPES, SYNTHETIC

SHOWN = 10
"""Images of each source that stay with the published results."""

_SEED = 0x7D6E_5EED


def name_of(dilution: float, replica: int) -> str:
    """What judges call a machine."""
    return f"machine_{1000 * dilution:g}_{replica}"


def fold_of(p: Mapping[str, Any], replica: int) -> int:
    """Fold of a replica's machines."""
    return replica % p["n_folds"]


def folds_of(p: Mapping[str, Any], recipe: str) -> range:
    """Folds for which a recipe has judges; one that needs no machine has a single judge."""
    return range(1 if recipe == SYNTHETIC else p["n_folds"])


def negatives_cell(p: Mapping[str, Any], dilution: float, replica: int) -> Cell:
    """The cell with a machine's images after too much pruning."""
    return Cell(
        compute.over_pruned,
        {
            "removed": tuple(float(share) for share in p["negatives_removed"]),
            "n_images": p["n_negatives"],
            "n_shown": min(SHOWN, p["n_negatives"]),
        },
        {"samples": mnist_standard.sample_cell(p, dilution, replica)},
    )


def judge_cell(p: Mapping[str, Any], recipe: str, fold: int) -> Cell:
    """The cell that trains the judge of a fold.

    Parameters
    ----------
    p : mapping
        The shared parameters.
    recipe : str
        One of :data:`rbmbook.studies.digits.judge_cells.RECIPES`.
    fold : int
        The machines that it shall not see; 0 for a recipe that needs none.

    Raises
    ------
    ValueError
        If the recipe is unknown or has no such fold.
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, not {recipe!r}")
    if fold not in folds_of(p, recipe):
        raise ValueError(
            f"fold must be below {len(folds_of(p, recipe))} for the recipe {recipe!r}, not {fold!r}"
        )
    return _judge_cell(_text(p), recipe, fold)


def judged_cell(p: Mapping[str, Any], dilution: float, replica: int, criterion: str = "magnitude") -> Cell:
    """The cell in which a machine's samples are judged by a judge of over-pruned machines that has not seen it, and by
    the one that has seen no machine.

    Parameters
    ----------
    p : mapping
        The shared parameters.
    dilution : float
        Share p0 of weights that are zero from the start.
    replica : int
        Number of the repetition.
    criterion : str
        Which weights went first, as for :func:`rbmbook.studies.digits.standard.sample_cell`.
    """
    return judged(p, mnist_standard.sample_cell(p, dilution, replica, criterion), replica)


def judged(p: Mapping[str, Any], samples: Cell, replica: int) -> Cell:
    """The cell in which samples of a replica's machine, or of what became of it, are judged as in :func:`judged_cell`."""
    needs = {
        "samples": samples,
        "judge": judge_cell(p, compute.OVER_PRUNED, fold_of(p, replica)),
        "other": judge_cell(p, SYNTHETIC, 0),
    }
    return Cell(compute.judge_samples, _data(p), needs)


def accuracy_cell(p: Mapping[str, Any], recipe: str, fold: int) -> Cell:
    """The cell in which a judge is asked about all machines, test digits and families."""
    values = {"n_synthetic": p["n_synthetic"], "seed": _seed("families", 0)}
    return Cell(
        compute.judge_accuracy,
        {**_data(p), **values},
        {"judge": judge_cell(p, recipe, fold), **_negatives(_text(p))},
    )


def comparison_cell(p: Mapping[str, Any], dilution: float, replica: int) -> Cell:
    """The cell in which all judges are asked about the samples of one machine."""
    judges = {
        f"{recipe}_{fold}": judge_cell(p, recipe, fold)
        for recipe in p["recipes"]
        for fold in folds_of(p, recipe)
    }
    return Cell(
        compute.compare_judges,
        {**_data(p), "machine": name_of(dilution, replica)},
        {"samples": mnist_standard.sample_cell(p, dilution, replica), **judges},
    )


def sources_cell(p: Mapping[str, Any]) -> Cell:
    """The cell with a few images that judges learn from and that no machine drew."""
    return Cell(compute.judge_sources, {**_data(p), "n_shown": SHOWN, "seed": _seed("families", 0)})


def _data(p: Mapping[str, Any]) -> dict[str, Any]:
    return {name: p[name] for name in ("images", "images_checksum")}


def _seed(part: str, number: int) -> int:
    """Independent seeds by recipe and fold, and one of the families that judges are tested on."""
    row = (*RECIPES, "families").index(part)
    return int(derived_seed(np.uint64(_SEED), row, number))


def _text(p: Mapping[str, Any]) -> str:
    return canonical_json({name: p[name] for name in mnist_standard.NAMES})


# A judge rests on a hundred machines and is asked for a hundred times.
@lru_cache(maxsize=8)
def _negatives(shared: str) -> Mapping[str, Cell]:
    p = json.loads(shared)
    return {name_of(*machine): negatives_cell(p, *machine) for machine in mnist_standard.machines(p)}


@lru_cache(maxsize=64)
def _judge_cell(shared: str, recipe: str, fold: int) -> Cell:
    p = json.loads(shared)
    needs: dict[str, Cell] = {}
    if recipe != SYNTHETIC:
        others = {
            name_of(dilution, replica)
            for dilution, replica in mnist_standard.machines(p)
            if fold_of(p, replica) != fold
        }
        needs = {name: cell for name, cell in _negatives(shared).items() if name in others}
    return Cell(
        compute.train_judge,
        {
            **_data(p),
            "recipe": recipe,
            "fold": fold,
            "n_folds": len(folds_of(p, recipe)),
            "held_out": p["n_held_out"],
            "n_synthetic": p["n_synthetic"],
            "seed": _seed(recipe, fold),
            "n_updates": p["judge_updates"],
            "batch_size": p["judge_batch_size"],
            "learning_rate": p["judge_learning_rate"],
        },
        needs,
    )
