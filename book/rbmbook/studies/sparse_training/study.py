"""Machines that are sparse before they are trained, and why some masks work (Golubeva & Melko, Fig. 5 and
section III.B).

For each field and seed a dense machine is trained at a constant rate and pruned; then machines are trained from
the start with as many weights as the pruned one has left. They see the same data in the same minibatches and
differ in their masks and initial weights:

- ``ss``: the mask of the same seed's pruned machine, and the initial weights that this machine had;
- ``os``: the same initial weights under the mask that another seed's machine was pruned to;
- ``other weights``: the mask of ``ss`` under another seed's initial weights, the other way to read the paper;
- ``repeat``: ``ss`` trained once more on other minibatches and chains;
- ``sc``: clusters of adjacent visible units, evenly spaced; ``sc 1`` and ``sc 2``: at random places;
- ``random``: as many weights anywhere.

Ablations take clusters apart (``shuffled ...``) or forbid them where they would have formed (``relocated``).
Machines with many hidden units show whether the clusters depend on their number. A *check* repeats the comparison
with a rate that decays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.collect import gather
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising import standard
from rbmbook.studies.ising.cells import ground_state
from rbmbook.studies.ising.machines import pruning_cell, seeds_of_run
from rbmbook.studies.ising.reference import LONGEST_ENUMERATED_CHAIN
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.masks import constructed_mask
from rbmlib.pruning import schedule

from . import cells as compute

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of a mask's entries that the first ablation moves."""
PLACEMENTS = ("sc", "sc 1", "sc 2")
"""Placements of the constructed clusters: evenly spaced, and drawn twice."""
CHECKED = ("dense", "pruned", "ss", "os", "sc")
"""What the check with a decaying rate repeats."""

_BOOK: dict[str, Any] = {
    "n_spins": 18,
    "n_hidden": 9,
    "fields": [1.0, 2.0],
    "n_seeds": 10,
    "n_samples": 100_000,
    "k": 10,
    "batch_size": 100,
    "n_epochs": 500,
    "learning_rate": 0.05,
    "finetune_epochs": 20,
    "prune_fraction": 0.1,
    "n_iterations": 5,
    "window": 100,
    "ablation_seeds": 5,
    "wide_hidden": 36,
    "check_seeds": 3,
}

PROFILES = {
    "book": Profile(_BOOK, "about an hour on two cores"),
    "quick": Profile(
        {
            **_BOOK,
            "n_spins": 10,
            "n_hidden": 5,
            "n_seeds": 3,
            "n_samples": 10_000,
            "n_epochs": 100,
            "window": 20,
            "ablation_seeds": 2,
            "wide_hidden": 20,
            "check_seeds": 1,
        },
        "about one minute on two cores",
    ),
}


@dataclass(frozen=True)
class Study:
    """Results of :func:`results`.

    Attributes
    ----------
    main : xarray.Dataset
        At a constant rate: ``training`` (variant, field, seed, epoch, measure), where the pruned machine's epochs
        follow those of the dense one; ``final`` (variant, field, seed, measure), the mean over the last epochs;
        ``weights`` (variant, field, seed, visible, hidden) at the end, zero where there is none; ``components``
        (variant, field, seed) of the graph. What was not run is NaN.
    wide : xarray.Dataset or None
        The same of dense machines with many hidden units, without ``variant``.
    checks : xarray.Dataset or None
        ``final`` (variant, field, seed, measure) with a decaying rate, at its last epoch.
    """

    main: xr.Dataset
    wide: xr.Dataset | None
    checks: xr.Dataset | None


def shuffled(share: float) -> str:
    """The variant's name of a mask with a share of its entries moved."""
    return f"shuffled {100 * share:.0f} %"


def _check(p: Mapping[str, Any]) -> None:
    """Complain about parameters before hours are spent."""
    standard.check({**standard.BOOK, **p, "final_learning_rate": p["learning_rate"]})
    for name, least, meaning in (
        ("window", 1, ""),
        ("ablation_seeds", 0, " (0 leaves the ablations, the drawn clusters and the wide machines out)"),
        ("wide_hidden", 0, " (0 leaves the wide machines out)"),
    ):
        if isinstance(p[name], bool) or not isinstance(p[name], int) or p[name] < least:
            raise ValueError(f"{name} must be an integer >= {least}{meaning}, not {p[name]!r}")
    if p["n_spins"] > LONGEST_ENUMERATED_CHAIN:
        raise ValueError(
            f"n_spins must be at most {LONGEST_ENUMERATED_CHAIN}, because errors are summed over all "
            f"configurations, not {p['n_spins']}"
        )
    if p["n_seeds"] < 2:
        raise ValueError(
            f"n_seeds must be at least 2, because masks change places between seeds, not {p['n_seeds']}"
        )
    if p["window"] > p["n_epochs"]:
        raise ValueError(f"window must be at most n_epochs = {p['n_epochs']}, not {p['window']}")
    if p["ablation_seeds"] > p["n_seeds"]:
        raise ValueError(
            f"ablation_seeds must be at most n_seeds = {p['n_seeds']}, not {p['ablation_seeds']}"
        )
    try:
        constructed_mask(p["n_spins"], p["n_hidden"], kept_weights(p))
    except ValueError as error:
        raise ValueError(
            f"n_iterations must be smaller than {p['n_iterations']} for this size: {error}"
        ) from error


def kept_weights(p: Mapping[str, Any]) -> int:
    """Weights that a pruned machine has left, and every sparse one has from the start."""
    return int(schedule(p["n_spins"] * p["n_hidden"], p["prune_fraction"], p["n_iterations"])[-1])


def _seeds(field: float, seed: int) -> dict[str, int]:
    """Those of the pruning study, and one for masks that are drawn."""
    found = seeds_of_run(field, seed)
    return {**found, "mask_seed": int(derived_seed(np.uint64(found["init_seed"]), 0, 1))}


class _Cells:
    """The cells of a run, by variant, field and seed; a decaying rate where ``decayed``."""

    def __init__(self, p: Mapping[str, Any], decayed: bool = False) -> None:
        self.p, self.decayed = p, decayed

    def _recipe(self) -> dict[str, float]:
        p, decaying = self.p, standard.BOOK
        last = decaying["final_learning_rate"] if self.decayed else p["learning_rate"]
        return {
            **{name: p[name] for name in ("k", "batch_size", "n_epochs")},
            "learning_rate": decaying["learning_rate"] if self.decayed else p["learning_rate"],
            "final_learning_rate": last,
        }

    def _cell(
        self,
        function: Callable[..., xr.Dataset],
        field: float,
        seed: int,
        needs: Mapping[str, Cell] | None = None,
        **changes: Any,
    ) -> Cell:
        p, field = self.p, float(field)
        seeds = _seeds(field, seed)
        if "mask_seed" not in changes:
            del seeds["mask_seed"]
        state = Cell(ground_state, {"n_spins": p["n_spins"], "field": field})
        shared = {name: p[name] for name in ("n_spins", "n_hidden", "n_samples")}
        return Cell(
            function,
            {**shared, "field": field, **seeds, **self._recipe(), **changes},
            {"ground_state": state, **(needs or {})},
        )

    def machine(self, field: float, seed: int) -> Cell:
        """The dense machine and what it is pruned to."""
        p = self.p
        if self.decayed:
            # The pruning study's own cell, which has pruned further than is needed here.
            theirs = standard.BOOK
            names = (
                "n_spins",
                "n_hidden",
                "n_samples",
                "k",
                "batch_size",
                "n_epochs",
                "finetune_epochs",
                "prune_fraction",
            )
            values = {**theirs, **{name: p[name] for name in names}}
            values["n_iterations"] = max(p["n_iterations"], theirs["n_iterations"])
            return pruning_cell("cd", values, field, seed)
        return self._cell(
            compute.train_and_prune,
            field,
            seed,
            prune_fraction=p["prune_fraction"],
            n_iterations=p["n_iterations"],
            settle_epochs=p["window"],
            finetune_epochs=p["finetune_epochs"],
            finetune_rate=p["learning_rate"],
            final_finetune_rate=p["learning_rate"],
        )

    def variant(self, name: str, field: float, seed: int) -> Cell:
        """The cell that has a variant's machine."""
        p, own = self.p, _seeds(field, seed)
        next_seed = (seed + 1) % p["n_seeds"]
        if name in ("dense", "pruned"):
            return self.machine(field, seed)
        if name in ("ss", "os", "other weights", "repeat"):
            changes = {
                "other weights": {"init_seed": _seeds(field, next_seed)["init_seed"]},
                "repeat": {"training_seed": int(derived_seed(np.uint64(own["training_seed"]), 0, 1))},
            }.get(name, {})
            source = {"machine": self.machine(field, next_seed if name == "os" else seed)}
            return self._cell(
                compute.train_with_mask_of, field, seed, source, iteration=p["n_iterations"], **changes
            )
        if name in PLACEMENTS:
            place = PLACEMENTS.index(name)
            drawn = int(derived_seed(np.uint64(own["mask_seed"]), place, 0)) if place else 0
            return self._cell(
                compute.train_with_constructed_mask, field, seed, n_keep=kept_weights(p),
                placement="drawn" if place else "even", mask_seed=drawn,
            )  # fmt: skip
        if name == "random":
            return self._cell(
                compute.train_with_random_mask,
                field,
                seed,
                n_keep=kept_weights(p),
                mask_seed=own["mask_seed"],
            )
        source = {"machine": self.machine(field, seed)}
        if name == "relocated":
            return self._cell(compute.train_without_clusters_of, field, seed, source)
        share = {shuffled(share): share for share in SHARES}[name]
        return self._cell(
            compute.train_with_shuffled_mask_of, field, seed, source,
            iteration=p["n_iterations"], share=share, mask_seed=own["mask_seed"],
        )  # fmt: skip

    def wide(self, field: float, seed: int) -> Cell:
        """A dense machine with many hidden units."""
        return self._cell(compute.train_dense, field, seed, n_hidden=self.p["wide_hidden"])


def variants(p: Mapping[str, Any]) -> dict[str, int]:
    """The variants at a constant rate, with the number of seeds of each."""
    all_seeds = ("dense", "pruned", "ss", "os", "other weights", "repeat", "sc", "random")
    few = ("sc 1", "sc 2", *map(shuffled, SHARES), "relocated")
    return {**dict.fromkeys(all_seeds, p["n_seeds"]), **dict.fromkeys(few, p["ablation_seeds"])}


def _labelled_cells(p: Mapping[str, Any]) -> list[tuple[tuple[str, str, float, int], Cell]]:
    """Every cell with its place: (part, variant, field, seed)."""
    _check(p)
    constant, decayed = _Cells(p), _Cells(p, decayed=True)
    labelled = [
        (("main", name, field, seed), constant.variant(name, field, seed))
        for name, n_seeds in variants(p).items()
        for seed in range(n_seeds)
        for field in p["fields"]
    ]
    if p["wide_hidden"] > 0:
        labelled += [
            (("wide", "dense", field, seed), constant.wide(field, seed))
            for seed in range(p["ablation_seeds"])
            for field in p["fields"]
        ]
    return labelled + [
        (("checks", name, field, seed), decayed.variant(name, field, seed))
        for name in CHECKED
        for seed in range(p["check_seeds"])
        for field in p["fields"]
    ]


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    return list(dict.fromkeys(cell for _, cell in _labelled_cells(resolve(PROFILES, "book", parameters))))


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
    labelled = _labelled_cells(p)
    wanted = list(dict.fromkeys(cell for _, cell in labelled))
    found = dict(zip(wanted, sweep(wanted), strict=True))
    parts: dict[str, dict[tuple[str, float, int], xr.Dataset]] = {}
    for (part, variant, field, seed), cell in labelled:
        one = _one(found[cell], variant, p["n_iterations"], 0 if part == "checks" else p["window"])
        parts.setdefault(part, {})[variant, field, seed] = one
    joined = {part: gather(datasets, "variant") for part, datasets in parts.items()}
    wide, checks = joined.get("wide"), joined.get("checks")
    return Study(
        joined["main"],
        None if wide is None else wide.sel(variant="dense", drop=True),
        None if checks is None else checks,
    )


def _one(found: xr.Dataset, variant: str, iteration: int, window: int) -> xr.Dataset:
    """A variant's history, final errors, weights and graph from the result of its cell; with a window of 0 the
    final errors are the last ones.
    """
    machine, training = found[["weights", "components"]], found.training
    if "stage" in machine.dims:
        machine = machine.isel(stage=iteration if variant == "pruned" else 0, drop=True)
    if variant == "pruned" and "finetuning" not in found:  # the pruning study records stages alone
        return machine.assign(final=found.pruning.isel(stage=iteration, drop=True))
    if variant == "pruned":
        training = found.finetuning.rename(finetuning_epoch="epoch")
    late = training.epoch > training.epoch[-1] - max(window, 1)
    return machine.assign(training=training, final=training.isel(epoch=late.values).mean("epoch"))
