"""What is computed for one field and one seed of the transverse-field Ising chain: the cells that its studies
share.

A cell draws measurements of the ground state, trains a machine on them and measures it;
:mod:`rbmlib.experiments.tfim_pruning` and other studies say which cells they want. Two studies that ask for
the same cell share its result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from rbmlib.kernels.initialisation import derived_seed
from rbmlib.likelihood import Empirical, fit
from rbmlib.pruning import connected_components, prune_and_finetune, schedule
from rbmlib.quantum import tfim
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.rbm import RBM
from rbmlib.training import LearningRate, TrainingState, train

from .tfim_measures import MEASURES, Reference

RECORD_EVERY = 5
"""Epochs between two entries of a training history."""
GIBBS_STEPS = 100
"""Gibbs steps, from the data, before a machine's samples are taken."""
PORTABLE, DEPENDENT = "portable", "dependent on BLAS"
"""What a result's attribute ``bits`` says: the same on every x86-64 processor given its inputs, or equal only
to rounding."""


def ground_state(n_spins: int, field: float) -> xr.Dataset:
    """The ground state as a matrix product state: an input, whose tensors' hash is part of the keys of what
    is drawn from it.
    """
    return tfim.ground_state(n_spins, field).to_dataset().assign_attrs(bits=DEPENDENT)


def prune_trained(
    n_hidden: int,
    field: float,
    n_samples: int,
    data_seed: int,
    init_seed: int,
    training_seed: int,
    k: int,
    batch_size: int,
    n_epochs: int,
    learning_rate: float,
    final_learning_rate: float,
    finetune_epochs: int,
    finetune_rate: float,
    final_finetune_rate: float,
    prune_fraction: float,
    n_iterations: int,
    ground_state: xr.Dataset,
) -> xr.Dataset:
    """One seed by contrastive divergence: dense training, then pruning with fine-tuning; portable bits."""
    data, reference = _data(ground_state, field, n_samples, data_seed)
    state, history = _train_dense(
        reference,
        data,
        n_hidden,
        init_seed,
        training_seed,
        k,
        batch_size,
        n_epochs,
        learning_rate,
        final_learning_rate,
    )

    def finetune(rbm: RBM, iteration: int) -> RBM:
        return train(
            rbm,
            data,
            n_epochs=finetune_epochs,
            learning_rate=LearningRate(finetune_rate, final_finetune_rate),
            seed=int(derived_seed(np.uint64(training_seed), iteration, 0)),
            k=k,
            batch_size=batch_size,
        ).rbm

    kept = schedule(state.rbm.n_weights, prune_fraction, n_iterations)
    machines = [stage.rbm for stage in prune_and_finetune(state.rbm, kept, finetune)]
    measured = _measured(reference, machines, data, training_seed)
    return xr.merge([history, measured], combine_attrs="drop").assign_attrs(bits=PORTABLE)


def prune_fitted(
    n_hidden: int,
    field: float,
    n_samples: int,
    data_seed: int,
    init_seed: int,
    training_seed: int,
    penalty: float,
    tolerance: float,
    prune_fraction: float,
    n_iterations: int,
    ground_state: xr.Dataset,
) -> xr.Dataset:
    """The same by the exact gradient: L-BFGS to convergence before pruning and after each step (bits depend
    on BLAS).
    """
    data, reference = _data(ground_state, field, n_samples, data_seed)
    empirical = Empirical.of(data)
    fits = [
        fit(
            RBM.random(reference.n_spins, n_hidden, init_seed),
            empirical,
            penalty=penalty,
            tolerance=tolerance,
        )
    ]

    def refit(rbm: RBM, iteration: int) -> RBM:
        fits.append(fit(rbm, empirical, penalty=penalty, tolerance=tolerance))
        return fits[-1].rbm

    kept = schedule(fits[0].rbm.n_weights, prune_fraction, n_iterations)
    machines = [stage.rbm for stage in prune_and_finetune(fits[0].rbm, kept, refit)]
    measured = _measured(reference, machines, data, training_seed)
    measured["lbfgs_iterations"] = ("stage", np.array([one.n_iterations for one in fits]))
    measured["largest_gradient"] = ("stage", np.array([one.largest_gradient for one in fits]))
    return measured.assign_attrs(bits=DEPENDENT)


def train_only(
    n_hidden: int,
    field: float,
    n_samples: int,
    data_seed: int,
    init_seed: int,
    training_seed: int,
    k: int,
    batch_size: int,
    n_epochs: int,
    learning_rate: float,
    final_learning_rate: float,
    ground_state: xr.Dataset,
) -> xr.Dataset:
    """One seed's dense training and its history, for the question whether 500 epochs are enough; portable
    bits.
    """
    data, reference = _data(ground_state, field, n_samples, data_seed)
    _, history = _train_dense(
        reference,
        data,
        n_hidden,
        init_seed,
        training_seed,
        k,
        batch_size,
        n_epochs,
        learning_rate,
        final_learning_rate,
    )
    return history.assign_attrs(bits=PORTABLE)


def _data(
    ground_state: xr.Dataset, field: float, n_samples: int, data_seed: int
) -> tuple[np.ndarray, Reference]:
    state = MatrixProductState.from_dataset(ground_state)
    data = state.sample(n_samples, data_seed)
    return data, Reference.of(state, field, data)


def _train_dense(
    reference: Reference,
    data: np.ndarray,
    n_hidden: int,
    init_seed: int,
    training_seed: int,
    k: int,
    batch_size: int,
    n_epochs: int,
    learning_rate: float,
    final_learning_rate: float,
) -> tuple[TrainingState, xr.Dataset]:
    epochs: list[int] = []
    history: list[np.ndarray] = []

    def record(state: TrainingState) -> None:
        if state.epoch % RECORD_EVERY == 0 or state.epoch in (1, n_epochs):
            epochs.append(state.epoch)
            history.append(reference.measure(state.rbm))

    state = train(
        RBM.random(reference.n_spins, n_hidden, init_seed),
        data,
        n_epochs=n_epochs,
        learning_rate=LearningRate(learning_rate, final_learning_rate),
        seed=training_seed,
        k=k,
        batch_size=batch_size,
        callback=record,
    )
    return state, xr.Dataset(
        {"training": (("epoch", "measure"), np.array(history))}, {"epoch": epochs, "measure": list(MEASURES)}
    )


def _measured(reference: Reference, machines: Sequence[RBM], data: np.ndarray, seed: int) -> xr.Dataset:
    """Measures, observables and parameters of the machines along the stages."""
    exact = [reference.measure_with_observables(rbm) for rbm in machines]
    sampled = [
        reference.measure_samples(
            rbm,
            rbm.sample(len(data), int(derived_seed(np.uint64(seed), stage, 1)), GIBBS_STEPS, initial=data),
        )
        for stage, rbm in enumerate(machines)
    ]
    observed = [
        mine if mine is not None else drawn for (_, mine), (_, drawn) in zip(exact, sampled, strict=True)
    ]
    return xr.Dataset(
        {
            "pruning": (("stage", "measure"), np.array([values for values, _ in exact])),
            "sampled": (("stage", "measure"), np.array([values for values, _ in sampled])),
            "correlation": (("stage", "distance"), np.array([one.correlation for one in observed])),
            "up_spins": (("stage", "up"), np.array([one.up_spins for one in observed])),
            "kept": ("stage", np.array([rbm.n_weights for rbm in machines])),
            "components": ("stage", np.array([connected_components(rbm.mask) for rbm in machines])),
            "weights": (("stage", "visible", "hidden"), np.array([rbm.weights for rbm in machines])),
            "visible_bias": (("stage", "visible"), np.array([rbm.visible_bias for rbm in machines])),
            "hidden_bias": (("stage", "hidden"), np.array([rbm.hidden_bias for rbm in machines])),
            "exact_correlation": ("distance", reference.correlation),
            "data_correlation": ("distance", reference.data_correlation),
            "exact_up_spins": ("up", reference.up_spins),
            "data_up_spins": ("up", reference.data_up_spins),
        },
        {"stage": range(len(machines)), "measure": list(MEASURES)},
    )
