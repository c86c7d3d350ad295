"""What is computed for one field and one seed of the transverse-field Ising chain: the cells that its studies
share.

A cell draws measurements of the ground state, trains a machine on them and measures it;
:mod:`rbmbook.studies.tfim_pruning.study` and other studies say which cells they want. Two studies that ask for
the same cell share its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from rbmlib.kernels.initialisation import derived_seed
from rbmlib.likelihood import Empirical, fit
from rbmlib.pruning import connected_components, prune_and_finetune, schedule
from rbmlib.quantum import tfim
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.rbm import RBM
from rbmlib.training import LearningRate, TrainingState, train

from .reference import MEASURES, Reference

RECORD_EVERY = 5
"""Epochs between two entries of a training history."""
GIBBS_STEPS = 100
"""Gibbs steps, from the data, before a machine's samples are taken."""
PORTABLE, DEPENDENT = "portable", "dependent on BLAS"
"""What a result's attribute ``bits`` says: the same on every x86-64 processor given its inputs, or equal only
to rounding."""


@dataclass(frozen=True)
class Recipe:
    """How a machine is trained and, after each pruning step, trained on.

    Attributes
    ----------
    k, batch_size : int
        Gibbs steps of contrastive divergence and samples per update.
    n_epochs : int
        Passes over the data of the dense training.
    learning_rate, final_learning_rate : float
        Rates of its first and last epoch, geometric in between.
    finetune_epochs : int
        Passes over the data after each pruning step.
    finetune_rate, final_finetune_rate : float
        Rates of the first and last of those.
    """

    k: int
    batch_size: int
    n_epochs: int
    learning_rate: float
    final_learning_rate: float
    finetune_epochs: int = 0
    finetune_rate: float = 0.0
    final_finetune_rate: float = 0.0

    def train(
        self, rbm: RBM, data: np.ndarray, seed: int, callback: Callable[[TrainingState], object] | None = None
    ) -> TrainingState:
        """Train a machine that has just been made."""
        return train(
            rbm,
            data,
            n_epochs=self.n_epochs,
            learning_rate=LearningRate(self.learning_rate, self.final_learning_rate),
            seed=seed,
            k=self.k,
            batch_size=self.batch_size,
            callback=callback,
        )

    def finetune(self, rbm: RBM, data: np.ndarray, seed: int, iteration: int) -> RBM:
        """Train on after a pruning step, on random numbers of its own."""
        return train(
            rbm,
            data,
            n_epochs=self.finetune_epochs,
            learning_rate=LearningRate(self.finetune_rate, self.final_finetune_rate),
            seed=int(derived_seed(np.uint64(seed), iteration, 0)),
            k=self.k,
            batch_size=self.batch_size,
        ).rbm


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
    prune_fraction: float,
    n_iterations: int,
    ground_state: xr.Dataset,
    **recipe: float,
) -> xr.Dataset:
    """One seed by contrastive divergence: dense training, then pruning with fine-tuning, by the parameters of
    a :class:`Recipe`; portable bits.
    """
    how = Recipe(**recipe)
    data, reference = draw_data(ground_state, field, n_samples, data_seed)
    state, history = train_recorded(
        how, reference, RBM.random(reference.n_spins, n_hidden, init_seed), data, training_seed
    )
    kept = schedule(state.rbm.n_weights, prune_fraction, n_iterations)
    stages = prune_and_finetune(
        state.rbm, kept, lambda rbm, iteration: how.finetune(rbm, data, training_seed, iteration)
    )
    measured = measure_stages(reference, [stage.rbm for stage in stages], data, training_seed)
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
    data, reference = draw_data(ground_state, field, n_samples, data_seed)
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
    measured = measure_stages(reference, machines, data, training_seed)
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
    ground_state: xr.Dataset,
    **recipe: float,
) -> xr.Dataset:
    """One seed's dense training and its history, for the question whether 500 epochs are enough; portable
    bits.
    """
    data, reference = draw_data(ground_state, field, n_samples, data_seed)
    start = RBM.random(reference.n_spins, n_hidden, init_seed)
    _, history = train_recorded(Recipe(**recipe), reference, start, data, training_seed)
    return history.assign_attrs(bits=PORTABLE)


def draw_data(
    ground_state: xr.Dataset, field: float, n_samples: int, data_seed: int
) -> tuple[np.ndarray, Reference]:
    """Measurements of the ground state, and what machines trained on them are compared with."""
    state = MatrixProductState.from_dataset(ground_state)
    data = state.sample(n_samples, data_seed)
    return data, Reference.of(state, field, data)


def train_recorded(
    recipe: Recipe, reference: Reference, start: RBM, data: np.ndarray, training_seed: int
) -> tuple[TrainingState, xr.Dataset]:
    """Train and measure along the way: ``training`` (epoch, measure), every :data:`RECORD_EVERY` epochs."""
    epochs: list[int] = []
    history: list[np.ndarray] = []

    def record(state: TrainingState) -> None:
        if state.epoch % RECORD_EVERY == 0 or state.epoch in (1, recipe.n_epochs):
            epochs.append(state.epoch)
            history.append(reference.measure(state.rbm))

    state = recipe.train(start, data, training_seed, record)
    return state, xr.Dataset(
        {"training": (("epoch", "measure"), np.array(history))}, {"epoch": epochs, "measure": list(MEASURES)}
    )


def measure_stages(reference: Reference, machines: Sequence[RBM], data: np.ndarray, seed: int) -> xr.Dataset:
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
