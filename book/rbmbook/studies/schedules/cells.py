"""Pruning a machine that is already trained along another schedule, or by another criterion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from rbmbook.studies.ising.cells import PORTABLE, Recipe, draw_data, measure_stages
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.pruning import prune_and_finetune, schedule_from_fractions
from rbmlib.rbm import RBM


def prune_along(
    field: float,
    n_samples: int,
    data_seed: int,
    training_seed: int,
    first_fraction: float,
    later_fraction: float,
    n_later: int,
    later_epochs: int,
    criterion: str,
    ground_state: xr.Dataset,
    trained: xr.Dataset,
    **recipe: float,
) -> xr.Dataset:
    """Prune the dense machine of a standard run: one first step, then ``n_later`` equal ones; portable bits.

    The data are those that the machine was trained on. Fine-tuning follows the parameters of a
    :class:`Recipe`, but takes ``later_epochs`` passes after every step from the second on. An iteration draws
    the random numbers that the standard run's iteration of the same number draws.
    """
    how = Recipe(**recipe)
    data, reference = draw_data(ground_state, field, n_samples, data_seed)
    dense = trained.isel(stage=0)
    start = RBM(dense.weights.values, dense.visible_bias.values, dense.hidden_bias.values)
    kept = schedule_from_fractions(start.n_weights, [first_fraction, *[later_fraction] * n_later])

    def finetune(rbm: RBM, iteration: int) -> RBM:
        recipe = how if iteration == 1 else replace(how, finetune_epochs=later_epochs)
        return recipe.finetune(rbm, data, training_seed, iteration)

    seed = int(derived_seed(np.uint64(training_seed), 0, 2)) if criterion == "random" else None
    stages = prune_and_finetune(start, kept, finetune, criterion, seed)
    measured = measure_stages(reference, [stage.rbm for stage in stages], data, training_seed)
    return measured[["pruning", "sampled", "kept", "components"]].assign_attrs(bits=PORTABLE)
