"""What is computed for one field and one seed of a chain that is too long to enumerate.

These cells follow :mod:`rbmbook.studies.ising.cells` step by step; only the measuring differs. All that is known of
a machine here comes from Gibbs chains, so the chains themselves are a result: how far they have forgotten where they
started, and how training looks through them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmlib.kernels.initialisation import derived_seed
from rbmlib.pruning import connected_components, prune_and_finetune, schedule
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.quantum.observables import (
    Observables,
    correlation_from_samples,
    energy_from_samples,
    magnetization_estimates,
    up_spin_distribution,
)
from rbmlib.rbm import RBM
from rbmlib.training import TrainingState

from .cells import PORTABLE, Recipe, draw_data
from .reference import MEASURES, Reference

EARLY_EPOCHS = (1, 2, 5, 10)
HISTORY_EVERY = 25
"""Epochs between two entries of a history, after those of the beginning."""
HISTORY_CHAINS = 10_000
"""Chains that an entry of a history rests on, at most."""
ENERGY_EVERY = 5
"""The energy takes N + 1 free energies a sample: every fifth sample is enough for it."""


def prune_large(
    n_hidden: int,
    field: float,
    n_samples: int,
    data_seed: int,
    init_seed: int,
    training_seed: int,
    prune_fraction: float,
    n_iterations: int,
    gibbs_steps: int,
    ground_state: xr.Dataset,
    **recipe: float,
) -> xr.Dataset:
    """One seed by contrastive divergence: dense training, then pruning with fine-tuning, measured from samples;
    portable bits.

    Parameters
    ----------
    n_hidden : int
        Hidden units.
    field : float
        h / J.
    n_samples : int
        Measurements in the training set, and Gibbs chains that measure a machine.
    data_seed, init_seed, training_seed : int
        Seeds of the measurements, of the initial weights, and of training, fine-tuning and measuring.
    prune_fraction, n_iterations : float, int
        The schedule.
    gibbs_steps : int
        Steps of the chains before a machine is measured. They start at the training set and go on from one
        pruning stage to the next.
    ground_state : xarray.Dataset
        The matrix product state.
    **recipe
        Parameters of :class:`rbmbook.studies.ising.cells.Recipe`.

    Returns
    -------
    xarray.Dataset
        What :func:`train_watched` and :func:`measure_chains` give.
    """
    how = Recipe(**recipe)
    data, reference = draw_data(ground_state, field, n_samples, data_seed)
    start = RBM.random(reference.n_spins, n_hidden, init_seed)
    state, history = train_watched(how, reference, start, data, training_seed, gibbs_steps)
    kept = schedule(state.rbm.n_weights, prune_fraction, n_iterations)
    stages = prune_and_finetune(
        state.rbm, kept, lambda rbm, iteration: how.finetune(rbm, data, training_seed, iteration)
    )
    measured = measure_chains(reference, [stage.rbm for stage in stages], data, training_seed, gibbs_steps)
    return xr.merge([history, measured], combine_attrs="drop").assign_attrs(bits=PORTABLE)


def train_large(
    n_hidden: int,
    field: float,
    n_samples: int,
    data_seed: int,
    init_seed: int,
    training_seed: int,
    gibbs_steps: int,
    ground_state: xr.Dataset,
    **recipe: float,
) -> xr.Dataset:
    """One seed's dense training and its history, for the question whether it is long enough; portable bits."""
    data, reference = draw_data(ground_state, field, n_samples, data_seed)
    start = RBM.random(reference.n_spins, n_hidden, init_seed)
    _, history = train_watched(Recipe(**recipe), reference, start, data, training_seed, gibbs_steps)
    return history.assign_attrs(bits=PORTABLE)


def mix_large(
    stages: Sequence[int],
    steps: Sequence[int],
    n_chains: int,
    seed: int,
    ground_state: xr.Dataset,
    machines: xr.Dataset,
) -> xr.Dataset:
    """Gibbs chains of stored machines from the extremes: all spins up, random spins, and measurements; portable bits.

    Parameters
    ----------
    stages : sequence of int
        Pruning stages whose machines are sampled.
    steps : sequence of int
        Ascending numbers of steps after which the chains are looked at.
    n_chains : int
        Chains from each start.
    seed : int
        Seed of starts and chains, apart from all that the machines have seen.
    ground_state, machines : xarray.Dataset
        The matrix product state, and what :func:`prune_large` returned.

    Returns
    -------
    xarray.Dataset
        ``magnetization``, ``absolute_magnetization`` (mixed_stage, start, step), means over the chains, and
        ``correlation`` (mixed_stage, start, step, distance).
    """
    state = MatrixProductState.from_dataset(ground_state)
    n_spins = state.n_spins
    coins = RBM(
        np.zeros((n_spins, 1), np.float32), np.zeros(n_spins, np.float32), np.zeros(1, np.float32)
    ).sample(n_chains, _part(seed, 0, 0), 1)
    starts = {
        "all up": np.ones((n_chains, n_spins), np.uint8),
        "random": coins,
        "measurements": state.sample(n_chains, _part(seed, 0, 1)),
    }
    shape = (len(stages), len(starts), len(steps))
    signed, absolute = np.empty(shape), np.empty(shape)
    correlation = np.empty((*shape, n_spins // 2 + 1))
    for i, stage in enumerate(stages):
        rbm = machine_at(machines, stage)
        for j, states in enumerate(starts.values()):
            done = 0
            for k, step in enumerate(steps):
                if step > done:
                    states = rbm.sample(n_chains, _part(seed, 1 + j, step), step - done, initial=states)
                    done = step
                both = magnetization_estimates(up_spin_distribution(states))
                signed[i, j, k], absolute[i, j, k] = (one.mean for one in both)
                correlation[i, j, k] = correlation_from_samples(states)
    dims = ("mixed_stage", "start", "step")
    return xr.Dataset(
        {
            "magnetization": (dims, signed),
            "absolute_magnetization": (dims, absolute),
            "correlation": ((*dims, "distance"), correlation),
        },
        {"mixed_stage": list(stages), "start": list(starts), "step": list(steps)},
        {"bits": PORTABLE},
    )


def machine_at(machines: xr.Dataset, stage: int) -> RBM:
    """The machine of a pruning stage, as :func:`prune_large` stored it; a weight of zero is a pruned one."""
    at = machines.isel(stage=stage)
    weights = at.weights.transpose("visible", "hidden").values
    return RBM(weights, at.visible_bias.values, at.hidden_bias.values, weights != 0)


def train_watched(
    recipe: Recipe,
    reference: Reference,
    start: RBM,
    data: NDArray[np.uint8],
    training_seed: int,
    gibbs_steps: int,
) -> tuple[TrainingState, xr.Dataset]:
    """Train and measure along the way, from chains that start at the data.

    Returns
    -------
    TrainingState
        The trained machine.
    xarray.Dataset
        ``training`` (epoch, measure); ``training_energy`` and ``training_order`` (epoch), energy in units of
        J and mean of |m|; ``exact_energy`` and ``exact_order`` of the ground state.
    """
    epochs: list[int] = []
    rows: list[NDArray[np.float64]] = []
    seen: list[Observables] = []
    chains = data[:HISTORY_CHAINS]

    def record(state: TrainingState) -> None:
        if state.epoch in (*EARLY_EPOCHS, recipe.n_epochs) or state.epoch % HISTORY_EVERY == 0:
            seed = _part(training_seed, state.epoch, 2)
            samples = state.rbm.sample(len(chains), seed, gibbs_steps, initial=chains)
            row, observed = measure_chain_ends(reference, state.rbm, samples)
            epochs.append(state.epoch)
            rows.append(row)
            seen.append(observed)

    trained = recipe.train(start, data, training_seed, record)
    return trained, xr.Dataset(
        {
            "training": (("epoch", "measure"), np.array(rows)),
            "training_energy": ("epoch", [one.energy.mean for one in seen]),
            "training_order": ("epoch", [one.absolute_magnetization.mean for one in seen]),
            "exact_energy": reference.energy,
            "exact_order": reference.order,
        },
        {"epoch": epochs, "measure": list(MEASURES)},
    )


def measure_chains(
    reference: Reference,
    machines: Sequence[RBM],
    data: NDArray[np.uint8],
    seed: int,
    gibbs_steps: int,
) -> xr.Dataset:
    """Measures, observables and parameters of the machines along the stages, in the names of
    :func:`rbmbook.studies.ising.cells.measure_stages`.

    The chains start at the data and are handed on from stage to stage, so that each stage starts from nearly its own
    distribution.
    """
    rows: list[NDArray[np.float64]] = []
    seen: list[Observables] = []
    samples = data
    for stage, rbm in enumerate(machines):
        samples = rbm.sample(len(samples), _part(seed, stage, 1), gibbs_steps, initial=samples)
        row, observed = measure_chain_ends(reference, rbm, samples)
        rows.append(row)
        seen.append(observed)
    return xr.Dataset(
        {
            "sampled": (("stage", "measure"), np.array(rows)),
            "energy": ("stage", np.array([one.energy.mean for one in seen])),
            "order": ("stage", np.array([one.absolute_magnetization.mean for one in seen])),
            "correlation": (("stage", "distance"), np.array([one.correlation for one in seen])),
            "up_spins": (("stage", "up"), np.array([one.up_spins for one in seen])),
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


def measure_chain_ends(
    reference: Reference, rbm: RBM, samples: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], Observables]:
    """Measures that samples can give (the others NaN) and the observables under them, the energy from every
    :data:`ENERGY_EVERY`-th sample.
    """
    up_spins = up_spin_distribution(samples)
    magnetization, absolute = magnetization_estimates(up_spins)
    observed = Observables(
        energy=energy_from_samples(samples[::ENERGY_EVERY], rbm.free_energy, reference.field),
        magnetization=magnetization,
        absolute_magnetization=absolute,
        up_spins=up_spins,
        correlation=correlation_from_samples(samples),
    )
    return reference._row({}, observed), observed


def _part(seed: int, part: int, number: int) -> int:
    return int(derived_seed(np.uint64(seed), part, number))
