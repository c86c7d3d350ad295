r"""What is done with diluted RBMs of MNIST that were pruned until they fail (Diaz-Faloh & Mulet, Table 1).

A machine trained with a share :math:`p_0` of zero weights loses its smallest weights until a share p is zero, so that it
fails. What can be done then, and what a machine that never failed does under the same mask or another, are the *arms* of
one design, all on the same base machine of each replica:

============ ================================== ============================ =====================
arm          mask                               starts with                  trained
============ ================================== ============================ =====================
frozen       the base machine's largest weights what is left of it           nothing
compensated  the same                           the same                     nothing; biases compensated
biases       the same                           the same                     biases alone
retrained    the same                           the same                     everything
same-mask    the same                           fresh weights                everything
rewound      the same                           the base's initial weights   everything
random-kept  as many of its weights, at random  what is left of it           everything
same-mask-2  the same as frozen                 fresh weights                twice as long
reference    at random                          fresh weights                everything
reference-2  at random                          fresh weights                twice as long
============ ================================== ============================ =====================

Twice as long: as many updates as the base machine and the retrained one together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rbmbook.lab.cell import Cell
from rbmlib.kernels.initialisation import derived_seed

from . import cells as mnist_cells
from . import judges as mnist_judges
from . import retraining_cells
from . import standard as mnist_standard
from .standard import other_machines

FEWEST_DECIDING = 5
"""Fewer say little of a spread."""
FEWEST_SAMPLES = 1000
"""E_AAI of fewer samples says little."""
PAIRS = ([0.0, 0.86], [0.2, 0.888], [0.4, 0.916], [0.6, 0.944])
"""The four cases: at these p nearly all frozen machines have failed."""

ARMS = (
    "frozen", "compensated", "biases", "retrained", "same-mask", "reference", "random-kept", "rewound", "same-mask-2",
    "reference-2",
)  # fmt: skip
"""What is done with a base machine, in an order that seeds rely on: new ones come last."""
EVERYWHERE = ARMS[:6]
"""The arms of every pair; the others are those of `wide_pairs`."""

_DESIGN: dict[str, Any] = {
    "pairs": [[0.0, 0.86], [0.2, 0.888], [0.4, 0.916], [0.6, 0.944]],
    "wide_pairs": [[0.0, 0.86], [0.4, 0.916]],
    "further": [round(0.05 * step, 2) for step in range(20)],
    "bias_updates": 4000,
}
_QUICK: dict[str, Any] = {
    "pairs": [[0.0, 0.86], [0.5, 0.93]],
    "wide_pairs": [[0.0, 0.86]],
    "n_replicas": 3,
    "further": [0.0, 0.2, 0.4, 0.6, 0.8, 0.95],
    "bias_updates": 200,
}

BOOK: dict[str, Any] = {**mnist_standard.without_controls(mnist_standard.BOOK), **_DESIGN}
QUICK: dict[str, Any] = {**mnist_standard.without_controls(mnist_standard.QUICK), **_QUICK}
"""The parameters of studies of these arms and their values in the profiles of the same names."""
FEWEST_REPLICAS = 3
"""Replicas that intervals need."""

_SEED = 0xA_125_5EED
_PARTS = ("mask_seed", "init_seed", "training_seed", "ais_seed", "sampling_seed", "reference_seed")
_TRAINING = tuple(name for name in mnist_standard.TRAINING if name != "n_hidden")
_OF_BIASES = tuple(name for name in _TRAINING if name not in ("n_updates", "record_every"))
_ANNEALING = ("ais_chains", "ais_temperatures")


def check(p: Mapping[str, Any]) -> dict[str, Any]:
    """Check the parameters before anything is computed; return them with those of the controls, of which there are none.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    whole = mnist_standard.checked_without_controls(p)
    if whole["backend"] != "numba":
        raise ValueError(
            f"backend must be 'numba' for machines that are trained again, not {whole['backend']!r}"
        )
    for name in ("pairs", "wide_pairs"):
        for pair in p[name]:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise ValueError(f"{name} must hold pairs [p0, p] of shares, not {pair!r}")
            dilution, total = pair
            if dilution not in p["dilutions"]:
                raise ValueError(f"{name} must have p0 among dilutions = {p['dilutions']}, not {dilution!r}")
            if not dilution < total < 1:
                raise ValueError(f"{name} must have p above p0 = {dilution!r} and below 1, not {total!r}")
    if p["n_replicas"] < FEWEST_REPLICAS:
        raise ValueError(
            f"n_replicas must be at least {FEWEST_REPLICAS} for intervals over replicas, not {p['n_replicas']}"
        )
    if not p["pairs"]:
        raise ValueError("pairs must hold at least one pair [p0, p]; it is empty")
    if [list(pair) for pair in p["wide_pairs"] if list(pair) not in [list(one) for one in p["pairs"]]]:
        raise ValueError(f"wide_pairs must be among pairs = {p['pairs']}, not {p['wide_pairs']}")
    further = list(p["further"])
    if (
        not further
        or further[0] != 0
        or sorted(set(further)) != further
        or not all(0 <= f < 1 for f in further)
    ):
        raise ValueError(f"further must ascend from 0, below 1, without repetition, not {further}")
    if type(p["bias_updates"]) is not int or p["bias_updates"] < 1:
        raise ValueError(f"bias_updates must be an integer >= 1, not {p['bias_updates']!r}")
    return whole


def arms_of(p: Mapping[str, Any], pair: Sequence[float]) -> tuple[str, ...]:
    """The arms of a pair (p0, p)."""
    return ARMS if list(pair) in [list(one) for one in p["wide_pairs"]] else EVERYWHERE


def seeds_of_arm(arm: str, pair: Sequence[float], replica: int) -> dict[str, int]:
    """Independent seeds for the parts of an arm's life."""
    dilution, total = pair
    base = derived_seed(np.uint64(_SEED), round(1e9 * dilution), replica)
    own = derived_seed(np.uint64(base), round(1e9 * total), ARMS.index(arm))
    return {name: int(derived_seed(np.uint64(own), part, 0)) for part, name in enumerate(_PARTS)}


def machine_cell(p: Mapping[str, Any], arm: str, pair: Sequence[float], replica: int) -> Cell:
    """The cell that makes the machine of an arm.

    Parameters
    ----------
    p : mapping
        The study's parameters, as :func:`check` returns them.
    arm : str
        One of :data:`ARMS`.
    pair : sequence of float
        Shares p0 and p.
    replica : int
        Number of the repetition.
    """
    if arm not in ARMS:
        raise ValueError(f"arm must be one of {', '.join(ARMS)}, not {arm!r}")
    dilution, total = map(float, pair)
    if arm.startswith("reference"):
        factor = 2 if arm == "reference-2" else 1
        return mnist_standard.machine_cell({**p, "n_updates": factor * p["n_updates"]}, total, replica)
    seeds = seeds_of_arm(arm, pair, replica)
    base = {"machine": mnist_standard.machine_cell(p, dilution, replica)}
    annealing = {**{name: p[name] for name in _ANNEALING}, "ais_seed": seeds["ais_seed"]}
    images = {name: p[name] for name in ("images", "images_checksum")}
    if arm in ("frozen", "compensated"):
        values = {**images, "total": total, "compensated": arm == "compensated", **annealing}
        return Cell(retraining_cells.freeze_machine, values, base)
    training = {"total": total, "training_seed": seeds["training_seed"], **annealing}
    if arm == "biases":
        values = {**{name: p[name] for name in _OF_BIASES}, "n_updates": p["bias_updates"], **training}
        return Cell(retraining_cells.retrain_biases, values, base)
    values = {
        **{name: p[name] for name in _TRAINING},
        **training,
        "mask": "random" if arm == "random-kept" else "magnitude",
        "start": "inherited" if arm in ("retrained", "random-kept") else "initial",
        "mask_seed": seeds["mask_seed"],
        "init_seed": seeds["init_seed"],
    }
    if arm == "rewound":
        values["init_seed"] = mnist_standard.seeds_of_parts(dilution, replica)["init_seed"]
    if arm == "same-mask-2":
        values["n_updates"] = 2 * p["n_updates"]
    return Cell(retraining_cells.retrain_machine, values, base)


def sample_cell(p: Mapping[str, Any], arm: str, pair: Sequence[float], replica: int) -> Cell:
    """The cell that prunes an arm's machine further, its smallest weights first, and samples it."""
    seeds = seeds_of_arm(arm, pair, replica)
    values = {name: p[name] for name in ("images", "images_checksum", "n_samples", "n_steps")}
    return Cell(
        mnist_cells.sample_pruned,
        {
            **values,
            "criterion": "magnitude",
            "order_seed": 0,
            "removed": tuple(float(share) for share in p["further"]),
            "n_shown": p["n_shown"] if replica == 0 else 0,
            "sampling_seed": seeds["sampling_seed"],
            "reference_seed": seeds["reference_seed"],
        },
        {"machine": machine_cell(p, arm, pair, replica)},
    )


def judged_cell(p: Mapping[str, Any], arm: str, pair: Sequence[float], replica: int) -> Cell:
    """The cell in which an arm's samples are judged, as those of its base machine are."""
    return mnist_judges.judged(p, sample_cell(p, arm, pair, replica), replica)


def design(p: Mapping[str, Any]) -> Iterator[tuple[tuple[float, float], int, str]]:
    """Pair, replica and arm of every machine, replica after replica of a pair."""
    for pair in p["pairs"]:
        for replica in range(p["n_replicas"]):
            for arm in arms_of(p, pair):
                yield (float(pair[0]), float(pair[1])), replica, arm


def label_of(pair: Sequence[float]) -> str:
    """What a pair (p0, p) is called: ``(20, 88.8) %``."""
    return f"({100 * pair[0]:g}, {100 * pair[1]:g}) %"


def objection(p: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claims, which are about the paper's setting and four cases; None if it can."""
    if differs := other_machines(p):
        return differs
    if [list(pair) for pair in p["pairs"]] != list(PAIRS):
        return f"settled for pairs (p0, p) = {list(PAIRS)}; this run has {p['pairs']}"
    for name, fewest in (("n_replicas", FEWEST_DECIDING), ("n_samples", FEWEST_SAMPLES)):
        if p[name] < fewest:
            return f"settled for {name} of at least {fewest}; this run has {p[name]}"
    return None
