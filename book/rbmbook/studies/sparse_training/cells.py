"""Cells of the study of machines that are sparse before they are trained (Golubeva & Melko, section III.B).

All machines of one field and seed share data, minibatch order and chains; masks and initial weights make the
difference. A mask that was found by pruning comes from the result of the cell that pruned.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.studies.ising.cells import PORTABLE, Recipe, draw_data, train_recorded
from rbmlib.clusters import cluster_mask, standing_out
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.masks import constructed_mask, random_mask, shuffled_mask
from rbmlib.pruning import connected_components, prune_and_finetune, schedule
from rbmlib.rbm import RBM


def train_and_prune(
    n_spins: int,
    n_hidden: int,
    field: float,
    n_samples: int,
    data_seed: int,
    init_seed: int,
    training_seed: int,
    prune_fraction: float,
    n_iterations: int,
    settle_epochs: int,
    ground_state: xr.Dataset,
    **recipe: float,
) -> xr.Dataset:
    """Dense training, then pruning with fine-tuning, all of it recorded; portable bits.

    The fine-tuning after the last iteration goes on for ``settle_epochs`` more, so that the pruned machine's
    errors can be averaged over as many epochs as those of machines that were trained in one go.
    """
    how = Recipe(**recipe)
    data, reference = draw_data(ground_state, field, n_samples, data_seed)
    start = RBM.random(n_spins, n_hidden, init_seed)
    state, dense = train_recorded(how, reference, start, data, training_seed)
    histories = []

    def finetune(rbm: RBM, iteration: int) -> RBM:
        again = replace(
            how,
            n_epochs=how.finetune_epochs + (settle_epochs if iteration == n_iterations else 0),
            learning_rate=how.finetune_rate,
            final_learning_rate=how.final_finetune_rate,
        )
        seed = int(derived_seed(np.uint64(training_seed), iteration, 0))
        tuned, history = train_recorded(again, reference, rbm, data, seed)
        before = how.n_epochs + (iteration - 1) * how.finetune_epochs
        histories.append(history.assign_coords(epoch=history.epoch + before))
        return tuned.rbm

    kept = schedule(state.rbm.n_weights, prune_fraction, n_iterations)
    machines = [stage.rbm for stage in prune_and_finetune(state.rbm, kept, finetune)]
    pruned = xr.concat(histories, "epoch").rename(training="finetuning", epoch="finetuning_epoch")
    weights = np.array([rbm.weights for rbm in machines])
    components = np.array([connected_components(rbm.mask) for rbm in machines])
    return xr.merge([dense, pruned]).assign(
        weights=(("stage", "visible", "hidden"), weights), components=("stage", components)
    ).assign_attrs(bits=PORTABLE)  # fmt: skip


def train_dense(ground_state: xr.Dataset, **training: Any) -> xr.Dataset:
    """A dense machine; portable bits. ``training`` is what ``_train`` takes, here and below."""
    return _train(None, ground_state, **training)


def train_with_mask_of(
    iteration: int, machine: xr.Dataset, ground_state: xr.Dataset, **training: Any
) -> xr.Dataset:
    """A machine that starts under the mask of a pruned one at an iteration; portable bits."""
    return _train(_mask_of(machine, iteration), ground_state, **training)


def train_with_shuffled_mask_of(
    iteration: int,
    share: float,
    mask_seed: int,
    machine: xr.Dataset,
    ground_state: xr.Dataset,
    **training: Any,
) -> xr.Dataset:
    """The same with a share of the mask's entries moved, each within its hidden unit; portable bits."""
    return _train(shuffled_mask(_mask_of(machine, iteration), share, mask_seed), ground_state, **training)


def train_without_clusters_of(machine: xr.Dataset, ground_state: xr.Dataset, **training: Any) -> xr.Dataset:
    """A machine that lacks from the start the weights in which a dense one formed clusters; portable bits."""
    clusters = cluster_mask(standing_out(machine.weights.isel(stage=0).values))
    return _train(~clusters, ground_state, **training)


def train_with_constructed_mask(
    n_spins: int,
    n_hidden: int,
    n_keep: int,
    placement: str,
    mask_seed: int,
    ground_state: xr.Dataset,
    **training: Any,
) -> xr.Dataset:
    """A machine with one cluster of visible units for each hidden unit, evenly spaced or, where ``placement``
    is ``"drawn"``, at random places; portable bits.
    """
    mask = constructed_mask(n_spins, n_hidden, n_keep, mask_seed if placement == "drawn" else None)
    return _train(mask, ground_state, n_spins=n_spins, n_hidden=n_hidden, **training)


def train_with_random_mask(
    n_spins: int,
    n_hidden: int,
    n_keep: int,
    mask_seed: int,
    ground_state: xr.Dataset,
    **training: Any,
) -> xr.Dataset:
    """A machine whose weights are at random places; portable bits."""
    mask = random_mask(n_spins, n_hidden, n_keep, mask_seed)
    return _train(mask, ground_state, n_spins=n_spins, n_hidden=n_hidden, **training)


def _mask_of(machine: xr.Dataset, iteration: int) -> NDArray[np.bool_]:
    """The mask of a pruned machine: its weights that are not exactly zero."""
    return machine.weights.isel(stage=iteration).values != 0


def _train(
    mask: NDArray[np.bool_] | None,
    ground_state: xr.Dataset,
    *,
    n_spins: int,
    n_hidden: int,
    field: float,
    n_samples: int,
    data_seed: int,
    init_seed: int,
    training_seed: int,
    **recipe: float,
) -> xr.Dataset:
    """Train under a mask; record the errors along the way, the weights and the graph at the end."""
    data, reference = draw_data(ground_state, field, n_samples, data_seed)
    start = RBM.random(n_spins, n_hidden, init_seed, mask=mask)
    state, history = train_recorded(Recipe(**recipe), reference, start, data, training_seed)
    return history.assign(
        weights=(("visible", "hidden"), state.rbm.weights),
        components=((), connected_components(state.rbm.mask)),
    ).assign_attrs(bits=PORTABLE)  # fmt: skip
