"""The diluted machines of MNIST and their samples, as the studies of part B take them up.

A study that is about these machines has their parameters under the names given here and asks for the same cells, so
that no machine is trained, sampled or judged twice. A machine is named by its dilution p0, the share of its weights
that are zero from the start, and its replica; everything random about it comes from seeds of these two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbmbook.evidence.rules import other_setting
from rbmbook.lab.cell import Cell
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.mnist.data import MNIST, MNIST_CHECKSUM
from rbmlib.pruning import CRITERIA

from . import cells as mnist_cells
from . import retraining_cells
from .judge_cells import RECIPES

FAILED = 0.5
"""A pruned machine has failed if Q is at most this share of its value without pruning."""
FEWEST_REPLICAS = 5
FIG1_REMOVED = (0.2, 0.3)

BACKENDS = ("numba", "torch")
"""What trains: compiled loops, one machine a cell, or an accelerator, all replicas of a dilution at once."""

BOOK: dict[str, Any] = {
    "images": MNIST,
    "images_checksum": MNIST_CHECKSUM,
    "n_hidden": 400,
    "dilutions": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    "n_replicas": 15,
    "backend": "numba",
    "k": 1,
    "n_chains": 256,
    "batch_size": 128,
    "n_updates": 20_000,
    "learning_rate": 0.1,
    "held": 0.5,
    "record_every": 2000,
    "ais_chains": 500,
    "ais_temperatures": 2000,
    "removed": [0.0, 0.1, 0.2, 0.3, 0.4, *(round(0.46 + 0.02 * i, 2) for i in range(23)), 0.95],
    "n_samples": 1000,
    "n_steps": 300,
    "n_shown": 64,
    "shown_dilutions": [0.0, 0.4, 0.8],
    "control_dilutions": [0.0, 0.4, 0.8],
    "control_replicas": 5,
    "control_removed": [0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95],
    "recipes": ["over-pruned", "synthetic", "both"],
    "n_folds": 5,
    "negatives_removed": [0.9, 0.95],
    "n_negatives": 500,
    "n_held_out": 100,
    "n_synthetic": 5000,
    "judge_updates": 2500,
    "judge_batch_size": 128,
    "judge_learning_rate": 2e-3,
}  # fmt: skip
"""The shared parameters and their values in the profile of this name."""

QUICK: dict[str, Any] = {
    **BOOK,
    "n_hidden": 64,
    "dilutions": [0.0, 0.5],
    "n_replicas": 2,
    "n_updates": 1000,
    "record_every": 500,
    "ais_chains": 50,
    "ais_temperatures": 100,
    "removed": [0.0, 0.2, 0.3, 0.5, 0.8, 0.9, 0.95],
    "n_samples": 200,
    "n_steps": 50,
    "n_shown": 36,
    "shown_dilutions": [0.0, 0.5],
    "control_dilutions": [0.0],
    "control_replicas": 1,
    "control_removed": [0.0, 0.02, 0.3],
    "n_folds": 2,
    "n_negatives": 100,
    "n_held_out": 30,
    "n_synthetic": 500,
    "judge_updates": 200,
}

PAPER: dict[str, Any] = {
    **BOOK,
    "backend": "torch",
    "k": 1000,
    "n_chains": 500,
    "batch_size": 500,
    "n_updates": 10_000,
    "record_every": 1000,
    "n_samples": 1000,
    "n_steps": 1000,
}

NAMES = tuple(BOOK)
"""Names of the shared parameters."""
NO_CONTROLS: dict[str, Any] = {"control_dilutions": [], "control_replicas": 0, "control_removed": [0.0]}
"""What stands for the parameters of the controls in a study that has none."""

_SEED = 0xB17_5EED
_PARTS = (
    "mask_seed",
    "init_seed",
    "training_seed",
    "ais_seed",
    "sampling_seed",
    "reference_seed",
    "order_seed",
    "bound_seed",
)
_OF_MACHINE = _PARTS[:4]
_IMAGES = ("images", "images_checksum")
_ANNEALING = ("ais_chains", "ais_temperatures")
TRAINING = (
    *_IMAGES, "n_hidden", "k", "n_chains", "batch_size", "n_updates", "learning_rate", "held", "record_every",
)  # fmt: skip
"""The parameters that training takes."""
MEASURING = (*_IMAGES, *_ANNEALING)
"""Those that measuring the likelihood takes."""


def check(p: Mapping[str, Any]) -> None:
    """Complain about parameters that cannot be meant, before hours are spent.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    for name, least in (
        ("n_hidden", 1), ("n_replicas", 1), ("k", 1), ("n_chains", 1), ("batch_size", 1), ("n_updates", 1),
        ("record_every", 1), ("ais_chains", 2), ("ais_temperatures", 1), ("n_samples", 3), ("n_steps", 1), ("n_shown", 1),
        ("control_replicas", 0), ("n_folds", 2), ("n_negatives", 2), ("n_held_out", 1), ("n_synthetic", 1),
        ("judge_updates", 1), ("judge_batch_size", 2),
    ):  # fmt: skip
        if type(p[name]) is not int or p[name] < least:
            raise ValueError(f"{name} must be an integer >= {least}, not {p[name]!r}")
    for name in ("learning_rate", "judge_learning_rate"):
        if not _is_number(p[name]) or p[name] <= 0:
            raise ValueError(f"{name} must be a positive number, not {p[name]!r}")
    if not _is_number(p["held"]) or not 0 <= p["held"] <= 1:
        raise ValueError(f"held must be a fraction of the run from 0 to 1, not {p['held']!r}")
    for name in ("dilutions", "shown_dilutions", "control_dilutions"):
        _check_shares(
            name, p[name], "p0, shares of weights that are zero from the start,", may_lack=name != "dilutions"
        )
        _check_among(name, p[name], "dilutions", p["dilutions"])
    for name in ("removed", "control_removed", "negatives_removed"):
        _check_shares(
            name, p[name], "shares of the weights that p0 left (below 0 the total p would be below p0)"
        )
    for name in ("removed", "control_removed"):
        if p[name][0] != 0:
            raise ValueError(
                f"{name} must begin with 0, the machine without pruning, not with {p[name][0]!r}"
            )
    _check_among("negatives_removed", p["negatives_removed"], "removed", p["removed"])
    for name in ("control_replicas", "n_folds"):
        if p[name] > p["n_replicas"]:
            raise ValueError(f"{name} must be at most n_replicas = {p['n_replicas']}, not {p[name]}")
    for name in ("n_shown", "n_negatives"):
        if p[name] > p["n_samples"]:
            raise ValueError(f"{name} must be at most n_samples = {p['n_samples']}, not {p[name]}")
    if p["n_held_out"] >= p["n_negatives"]:
        raise ValueError(f"n_held_out must be below n_negatives = {p['n_negatives']}, not {p['n_held_out']}")
    if p["backend"] not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {p['backend']!r}")
    recipes = list(p["recipes"])
    if (
        len(set(recipes)) < len(recipes)
        or not set(recipes) <= set(RECIPES)
        or recipes[:2] != list(RECIPES[:2])
    ):
        raise ValueError(f"recipes must be {', '.join(RECIPES[:2])} and perhaps {RECIPES[2]}, not {recipes}")


def without_controls(standard: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a study takes over which prunes in no other order."""
    return {name: value for name, value in standard.items() if name not in NO_CONTROLS}


def checked_without_controls(p: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of such a study with none for controls, checked; it shows at least one dilution.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    whole = {**p, **NO_CONTROLS}
    check(whole)
    if not p["shown_dilutions"]:
        raise ValueError("shown_dilutions must hold at least one of the dilutions; it is empty")
    return whole


def seeds_of_parts(dilution: float, replica: int) -> dict[str, int]:
    """Independent seeds for the parts of one machine's life, by the names of the cells' parameters.

    No two dilutions or replicas share any: neither masks nor initial weights are nested or equal.
    """
    base = np.uint64(derived_seed(np.uint64(_SEED), round(1e9 * dilution), replica))
    return {name: int(derived_seed(base, part, 0)) for part, name in enumerate(_PARTS)}


def machine_cell(p: Mapping[str, Any], dilution: float, replica: int) -> Cell:
    """The cell that trains one machine, with the layout of :func:`rbmbook.studies.digits.cells.train_machine`."""
    dilution = float(dilution)
    if p["backend"] == "torch":
        from . import accelerated as mnist_batch_cells

        return mnist_batch_cells.machine_cell(p, dilution, replica)
    seeds = seeds_of_parts(dilution, replica)
    values = {name: p[name] for name in (*TRAINING, *_ANNEALING)}
    return Cell(
        mnist_cells.train_machine,
        {**values, "dilution": dilution, **{name: seeds[name] for name in _OF_MACHINE}},
    )


def sample_cell(p: Mapping[str, Any], dilution: float, replica: int, criterion: str = "magnitude") -> Cell:
    """The cell that prunes one machine, step by step, and samples it; samples of replica 0 are published at the dilutions
    shown.

    Parameters
    ----------
    p : mapping
        The shared parameters.
    dilution : float
        Share p0 of weights that are zero from the start.
    replica : int
        Number of the repetition.
    criterion : str
        Which weights go first: ``"magnitude"``, on the grid ``removed``, or as controls ``"random"`` and
        ``"largest"`` on the grid ``control_removed``.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}, not {criterion!r}")
    seeds = seeds_of_parts(float(dilution), replica)
    grid = p["removed"] if criterion == "magnitude" else p["control_removed"]
    values = {name: p[name] for name in ("images", "images_checksum", "n_samples", "n_steps")}
    shown = criterion == "magnitude" and replica == 0 and float(dilution) in p["shown_dilutions"]
    return Cell(
        mnist_cells.sample_pruned,
        {
            **values,
            "criterion": criterion,
            "n_shown": p["n_shown"] if shown else 0,
            "removed": tuple(float(share) for share in grid),
            **{name: seeds[name] for name in ("order_seed", "sampling_seed", "reference_seed")},
        },
        {"machine": machine_cell(p, dilution, replica)},
    )


def compensated_cell(
    p: Mapping[str, Any], dilution: float, replica: int, criterion: str = "magnitude"
) -> Cell:
    """The cell that prunes one machine as :func:`sample_cell` does and makes up for the removed weights with its biases.

    Chains and images compared with are those of :func:`sample_cell`, so that the two differ by the biases alone.
    """
    sampled = sample_cell(p, dilution, replica, criterion)
    values = {name: value for name, value in sampled.parameters.items() if name != "n_shown"}
    return Cell(retraining_cells.sample_compensated, values, sampled.needs)


def bound_steps(p: Mapping[str, Any]) -> int:
    """Number of Gibbs steps before the likelihood is looked at from its other side.

    Ten times as many as for samples that are judged: what the chains lack of equilibrium is lost to the bound.
    """
    return 10 * p["n_steps"]


def bound_cell(p: Mapping[str, Any], dilution: float) -> Cell:
    """The cell that looks at the likelihood of the first machine of a dilution from its other side."""
    values = {name: p[name] for name in (*_IMAGES, "ais_temperatures")}
    return Cell(
        mnist_cells.bound_likelihood,
        {
            **values,
            "n_chains": p["ais_chains"],
            "n_steps": bound_steps(p),
            "bound_seed": seeds_of_parts(float(dilution), 0)["bound_seed"],
        },
        {"machine": machine_cell(p, dilution, 0)},
    )


def floors_cell(p: Mapping[str, Any]) -> Cell:
    """The cell that measures real images against real images."""
    values = {name: p[name] for name in ("images", "images_checksum", "n_samples")}
    return Cell(mnist_cells.real_floors, {**values, "n_sets": p["n_replicas"], "seed": _SEED})


def machines(p: Mapping[str, Any]) -> Iterator[tuple[float, int]]:
    """Dilution and replica of every machine, the replicas of a dilution together."""
    return ((float(p0), replica) for p0 in p["dilutions"] for replica in range(p["n_replicas"]))


def controls(p: Mapping[str, Any]) -> Iterator[tuple[float, int]]:
    """The machines that are also pruned in other orders."""
    return ((float(p0), replica) for p0 in p["control_dilutions"] for replica in range(p["control_replicas"]))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_shares(name: str, shares: Sequence[Any], what: str, may_lack: bool = False) -> None:
    values = list(shares)
    if not values and not may_lack:
        raise ValueError(f"{name} must hold at least one share; it is empty")
    if not all(_is_number(value) and 0 <= value < 1 for value in values):
        raise ValueError(f"{name} must be {what} in [0, 1), not {values}")
    if sorted(set(values)) != values:
        raise ValueError(f"{name} must ascend without repetition, not {values}")


def _check_among(name: str, shares: Sequence[float], whole_name: str, whole: Sequence[float]) -> None:
    foreign = [share for share in shares if share not in list(whole)]
    if foreign:
        raise ValueError(f"{name} must be among {whole_name} = {list(whole)}; {foreign} are not")


def has_failed(quality: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points of curves (..., n_points) are those of a failed machine."""
    return quality <= FAILED * quality[..., :1]


def other_machines(parameters: Mapping[str, Any]) -> str | None:
    """The machines are not those of the paper on MNIST."""
    if parameters["images_checksum"] != MNIST_CHECKSUM:
        return f"settled for MNIST; this run has the images of {parameters['images']}"
    return other_setting(parameters, {"n_hidden": 400})
