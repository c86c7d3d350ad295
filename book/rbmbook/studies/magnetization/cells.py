"""What is sampled for the study of the magnetization: training sets once more, and machines by Gibbs chains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.studies.ising.cells import PORTABLE
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.quantum import occurrence_ratio, up_spin_distribution
from rbmlib.quantum.mirror_pairs import counting_ratio, pair_totals
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.rbm import RBM

RATIOS = ("ratio_mean", "ratio_spread", "counting_mean", "counting_spread", "n_pairs")
"""Mean and spread of the occurrence ratio, both as counting alone would have them, and the number of pairs."""


def data_ratio(
    n_samples: int, data_seed: int, min_counts: Sequence[int], ground_state: xr.Dataset
) -> xr.Dataset:
    """Occurrence ratio of v and -v in a training set, drawn again by its seed; portable bits."""
    samples = MatrixProductState.from_dataset(ground_state).sample(n_samples, data_seed)
    return xr.Dataset(
        {
            f"data_{name}": ("min_count", row)
            for name, row in zip(RATIOS, _ratios(samples, min_counts), strict=True)
        },
        {"min_count": list(min_counts)},
    ).assign_attrs(bits=PORTABLE)


def gibbs_magnetization(
    n_samples: int, gibbs_steps: int, min_counts: Sequence[int], sampling_seed: int, machines: xr.Dataset
) -> xr.Dataset:
    """Gibbs samples of every stage's machine: histogram of up spins, occurrence ratio of v and -v; portable bits.

    Half of the chains start from all spins down, half from all up. ``relaxation`` (stage, start, step) is the
    mean of m of either half along the way: chains have forgotten their start when the two agree.
    """
    steps = checkpoints(gibbs_steps)
    relaxation, histograms, ratios = [], [], []
    for stage in range(machines.sizes["stage"]):
        one = machines.isel(stage=stage)
        rbm = RBM(one.weights.values, one.visible_bias.values, one.hidden_bias.values)
        means, samples = relax(rbm, n_samples, steps, int(derived_seed(np.uint64(sampling_seed), stage, 0)))
        relaxation.append(means)
        histograms.append(up_spin_distribution(samples))
        ratios.append(_ratios(samples, min_counts))
    return xr.Dataset(
        {
            "relaxation": (("stage", "start", "step"), np.array(relaxation)),
            "gibbs_up_spins": (("stage", "up"), np.array(histograms)),
            **{
                name: (("stage", "min_count"), np.array([rows[i] for rows in ratios]))
                for i, name in enumerate(RATIOS)
            },
        },
        {
            "stage": range(machines.sizes["stage"]),
            "start": ["down", "up"],
            "step": steps,
            "min_count": list(min_counts),
        },
    ).assign_attrs(bits=PORTABLE)


def checkpoints(last: int) -> list[int]:
    """Steps 0, 1, 2, 5, 10, 20, 50 ... up to the last one."""
    series = [0, *(digit * 10**power for power in range(len(str(last))) for digit in (1, 2, 5))]
    return [*(step for step in series if step < last), last]


def relax(
    rbm: RBM, n_samples: int, steps: Sequence[int], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Chains from both ordered states: mean m of either half (start, step) at the steps, and the states at the last.

    For an odd number of samples the second half has one more.
    """
    half = n_samples // 2
    states = np.zeros((n_samples, rbm.n_visible), np.uint8)
    states[half:] = 1
    means = np.empty((2, len(steps)))
    for place, step in enumerate(steps):
        if place:
            states = rbm.sample(
                n_samples,
                int(derived_seed(np.uint64(seed), place, 0)),
                step - steps[place - 1],
                initial=states,
            )
        for start, part in enumerate((states[:half], states[half:])):
            means[start, place] = 2 * int(part.sum(dtype=np.int64)) / part.size - 1
    return means, states


def _ratios(samples: NDArray[np.uint8], min_counts: Sequence[int]) -> NDArray[np.float64]:
    """Rows of :data:`RATIOS` by the least counts."""
    totals = pair_totals(samples)
    columns = []
    for least in min_counts:
        found = occurrence_ratio(samples, min_count=least)
        counted = counting_ratio(totals[totals >= 2 * least])
        columns.append((found.mean, found.std, counted.mean, counted.std, found.n_pairs))
    return np.array(columns, dtype=np.float64).T
