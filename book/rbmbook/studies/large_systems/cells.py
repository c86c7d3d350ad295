"""What is computed for one length, field and seed: partition functions, KL divergences and fidelities along pruning.

Nothing here is enumerated over configurations. The exact state is known through samples, drawn afresh, and their
probabilities; a machine through its free energy, Gibbs chains and an estimate of its partition function.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.studies.ising.cells import DEPENDENT
from rbmbook.studies.ising.long_chain_cells import machine_at
from rbmlib.annealing import (
    PartitionEstimate,
    TooFewEffectiveSamples,
    annealed_importance_sampling,
    base_rate_biases,
    partition_from_log_weights,
    reverse_annealed_importance_sampling,
)
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.quantum.sampled_divergences import (
    Sampled,
    bridged_log_partition,
    sampled_kl_divergence,
    sampled_log_fidelity,
)
from rbmlib.rbm import RBM

METHODS = {
    "exact": "enumeration of the hidden layer",
    "annealed": "annealed importance sampling, from below",
    "reverse": "reverse annealed importance sampling, from above",
    "importance": "importance sampling from the exact state",
    "bridge": "geometric bridge between exact state and machine",
}
"""Ways to log Z. The order is that of the ``method`` dimension."""
COMPARED = ("kl", "even_kl", "log_fidelity")
"""What is estimated of each machine, in nats."""
NORMAL_95 = 1.959963984540054
"""Half the width of a 95 % interval, in standard errors."""

Row = tuple[float, float, float, float]
"""An estimate, the ends of its interval, and its effective sample size as a share of the samples."""
_NONE: Row = (np.nan, np.nan, np.nan, np.nan)


def compare_large(
    exact_samples: int,
    model_samples: int,
    chain_steps: int,
    n_chains: int,
    n_temperatures: int,
    largest_enumerated: int,
    seed: int,
    ground_state: xr.Dataset,
    machines: xr.Dataset,
) -> xr.Dataset:
    """Compare the machines of all pruning stages with the state that they were trained on.

    Parameters
    ----------
    exact_samples, model_samples : int
        Samples of the state, drawn once for all stages, and of each machine: the ends of Gibbs chains.
    chain_steps : int
        Gibbs steps a stage. The chains start at further samples of the state and are handed on from one stage to the
        next, so that each stage starts from nearly its own distribution.
    n_chains, n_temperatures : int
        Chains and steps of annealing, in both directions; the reverse chains start at samples of the machine.
    largest_enumerated : int
        log Z is also found by enumeration for up to as many hidden units, and used in place of estimates.
    seed : int
        Seed of all samples, apart from all that the machines have seen: their training data would make the KL
        divergence too small.
    ground_state, machines : xarray.Dataset
        The matrix product state, and the machines: ``weights`` (stage, visible, hidden), ``visible_bias``,
        ``hidden_bias``.

    Returns
    -------
    xarray.Dataset
        ``log_partition``, ``log_partition_low``, ``log_partition_high``, ``log_partition_share`` (stage, method):
        estimates of log Z, 95 % intervals, effective sample sizes as shares; NaN where a method is refused or not
        possible. ``kl``, ``even_kl`` (of the machine's even part, the mean of p(v) and p of the flipped v, which
        does not see how the machine weighs the two signs of the magnetisation) and ``log_fidelity`` (stage), in
        nats, with ``_error``, their standard errors, and ``_share``, the effective sample sizes as shares.
    """
    state = MatrixProductState.from_dataset(ground_state)
    samples = state.sample(exact_samples, _part(seed, 0, 1))
    log_p = state.log_probability(samples)
    base = base_rate_biases(samples)
    chains = state.sample(model_samples, _part(seed, 0, 2))
    methods: list[list[Row]] = []
    compared: list[tuple[Sampled, Sampled, Sampled]] = []
    for stage in range(machines.sizes["stage"]):
        rbm = machine_at(machines, stage)
        chains = rbm.sample(model_samples, _part(seed, stage, 3), chain_steps, initial=chains)
        log_q = -rbm.free_energy(samples)
        at_exact = log_q - log_p
        even = np.logaddexp(log_q, -rbm.free_energy(1 - samples)) - np.log(2.0) - log_p
        at_model = -rbm.free_energy(chains) - state.log_probability(chains)
        annealed = annealed_importance_sampling(
            rbm, n_chains, n_temperatures, _part(seed, stage, 4), base=base
        )
        reverse = reverse_annealed_importance_sampling(
            rbm, chains[:n_chains], n_temperatures, _part(seed, stage, 5), base=base
        )
        rows = {
            "exact": _exact(rbm, largest_enumerated),
            "annealed": _row(annealed),
            "reverse": _row(reverse),
            "importance": _importance(at_exact, samples),
            "bridge": _bridge(at_exact, at_model),
        }
        methods.append([rows[name] for name in METHODS])
        log_z, error = best_log_partition(rows["exact"], rows["annealed"], rows["reverse"])
        compared.append(
            (
                sampled_kl_divergence(at_exact, log_z, error),
                sampled_kl_divergence(even, log_z, error),
                sampled_log_fidelity(at_exact, at_model, log_z),
            )
        )
    return _dataset(np.array(methods), compared)


def best_log_partition(exact: Row, annealed: Row, reverse: Row) -> tuple[float, float]:
    """log Z and its standard error: the exact value, or else the middle of the bracket from the lower end of the
    annealed estimate to the upper end of the reverse one, as if that were a 95 % interval.
    """
    if np.isfinite(exact[0]):
        return exact[0], 0.0
    low, high = annealed[1], reverse[2]
    return 0.5 * (low + high), 0.5 * abs(high - low) / NORMAL_95


def _exact(rbm: RBM, largest_enumerated: int) -> Row:
    if min(rbm.n_visible, rbm.n_hidden) > largest_enumerated:
        return _NONE
    value = rbm.log_partition()
    return value, value, value, np.nan


def _row(estimate: PartitionEstimate) -> Row:
    share = estimate.effective_sample_size / len(estimate.log_weights)
    return estimate.log_partition, estimate.low, estimate.high, share


def _importance(log_ratios: NDArray[np.float64], samples: NDArray[np.uint8]) -> Row:
    try:
        return _row(partition_from_log_weights(log_ratios, samples))
    except TooFewEffectiveSamples as refused:
        return np.nan, np.nan, np.nan, refused.effective_sample_size / refused.n_samples


def _bridge(at_exact: NDArray[np.float64], at_model: NDArray[np.float64]) -> Row:
    found = bridged_log_partition(at_exact, at_model)
    width = NORMAL_95 * found.standard_error
    return found.value, found.value - width, found.value + width, found.effective_share


def _dataset(methods: NDArray[np.float64], compared: list[tuple[Sampled, Sampled, Sampled]]) -> xr.Dataset:
    names = ("log_partition", "log_partition_low", "log_partition_high", "log_partition_share")
    variables = {name: (("stage", "method"), methods[:, :, i]) for i, name in enumerate(names)}
    for i, name in enumerate(COMPARED):
        found = [row[i] for row in compared]
        variables |= {
            name: ("stage", np.array([one.value for one in found])),
            f"{name}_error": ("stage", np.array([one.standard_error for one in found])),
            f"{name}_share": ("stage", np.array([one.effective_share for one in found])),
        }
    coords = {"stage": range(len(methods)), "method": list(METHODS)}
    return xr.Dataset(variables, coords, {"bits": DEPENDENT})


def _part(seed: int, stage: int, part: int) -> int:
    return int(derived_seed(np.uint64(seed), stage, part))
