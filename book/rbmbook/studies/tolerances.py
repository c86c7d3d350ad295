r"""What two computations of a result must share where its bits depend on the processor's linear algebra.

Ground states come from DMRG: the tensors of equal states differ by a gauge, so the states are compared by their
overlap. Fits by L-BFGS stop where no component of the gradient exceeds the tolerance of the fit, at points that differ
by about that much. Pruning then turns differences into decisions: where two weights are almost equally small, another
one goes first, and from there on the machines are different ones with almost equal likelihood. So the fitted likelihood
is held to tight tolerances before pruning and to looser ones along it, and the divergences from the exact state to
factors. On processors that a library's instruction sets tell apart (AVX-512 against SSE 4.2) the largest deviations of
eight cells were, as :math:`|\ln|` of the ratio: 0.0002 and 0.005 before pruning, 0.04 and 0.4 along it.

A judge of images that is trained elsewhere is another judge: rounding decides early which way its weights go. What it must
share is how often it is right, on digits, on images of machines that it has seen and on each family of digits taken apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from rbmbook.lab.compare import Distance, Tolerance, Tolerances
from rbmlib.quantum.mps import MatrixProductState


def infidelity(stored: xr.Dataset, computed: xr.Dataset) -> float:
    r"""Infidelity :math:`1 - |\langle a|b\rangle|^2` of two matrix product states, by contraction from left to right."""
    left, right = MatrixProductState.from_dataset(stored), MatrixProductState.from_dataset(computed)
    if left.n_spins != right.n_spins:
        return 1.0
    carried = np.ones((1, 1))
    for a, b in zip(left.tensors, right.tensors, strict=True):
        carried = np.einsum("ij,isk,jsl->kl", carried, a, b, optimize=True)
    return max(0.0, 1.0 - float(carried[0, 0]) ** 2)


def log_ratio(measure: str, *, dense: bool) -> Callable[[xr.Dataset, xr.Dataset], float]:
    """Make a distance: the largest log ratio of a measure, before pruning or over all stages.

    Parameters
    ----------
    measure : str
        Which of the measures of ``pruning``.
    dense : bool
        Whether only the stage before pruning counts.

    Returns
    -------
    callable
        Takes two results; gives 0 where both are not a number (chains too long to enumerate), infinity where one is.
    """

    def largest(stored: xr.Dataset, computed: xr.Dataset) -> float:
        stages = slice(0, 1) if dense else slice(None)
        old, new = (
            each.pruning.sel(measure=measure).isel(stage=stages).values for each in (stored, computed)
        )
        if old.shape != new.shape or (np.isnan(old) != np.isnan(new)).any():
            return np.inf
        old, new = old[~np.isnan(old)], new[~np.isnan(new)]
        return float(np.abs(np.log(new / old)).max(initial=0.0))

    return largest


def probe_distance(stored: xr.Dataset, computed: xr.Dataset) -> float:
    """Largest difference of two judges' accuracies on their probe: digits, classes, machines on average, each family."""
    if not (stored.machine.equals(computed.machine) and stored.family.equals(computed.family)):
        return np.inf
    rows = [
        np.array(
            [one.probe_digits, one.probe_classes, *one.probe_families.values, *_mean(one.probe_machines)]
        )
        for one in (stored, computed)
    ]
    return float(np.abs(rows[1] - rows[0]).max())


def _mean(shares: xr.DataArray) -> list[float]:
    return [shares.values.mean()] if shares.size else []


def class_distance(stored: xr.Dataset, computed: xr.Dataset) -> float:
    """Largest share of the accepted images that is in another class, over the points of a pruning curve."""
    if stored.counts.shape != computed.counts.shape:
        return np.inf
    moved = np.abs(computed.counts.values - stored.counts.values).sum(axis=1)
    return float((moved / np.maximum(stored.accepted.values, 1)).max())


def course_distance(stored: xr.Dataset, computed: xr.Dataset) -> float:
    """How far the course of the replicas' mean pseudo-likelihood is off, in units of what training gained.

    It must begin with equal bits, and the same replicas must have diverged between the same two records.
    """
    old, new = stored.pseudo_likelihood.values, computed.pseudo_likelihood.values
    if old.shape != new.shape or (np.isnan(old) != np.isnan(new)).any() or (old[:, 0] != new[:, 0]).any():
        return np.inf
    running = ~np.isnan(old).any(axis=(1, 2))
    if not running.any():
        return 0.0
    old, new = old[running].mean(axis=0), new[running].mean(axis=0)
    return float(np.abs(new - old).max() / np.abs(old[-1] - old[0]).min())


_JUDGED = Tolerance(absolute=0.005)
"""Given the same judge, an image changes sides only where its probability is one half to the last digits."""

#: Name of a cell's function -> name of a variable or a distance -> what is allowed.
TOLERANCES: dict[str, Tolerances] = {
    "ground_state": {
        "energy": Tolerance(relative=1e-10),
        "infidelity of the states": Distance(infidelity, 1e-9),
    },
    "prune_fitted": {
        # What L-BFGS does not touch: the data and the exact state that they were drawn from.
        "data_correlation": Tolerance(),
        "data_up_spins": Tolerance(),
        "exact_correlation": Tolerance(),
        "exact_up_spins": Tolerance(),
        "kept": Tolerance(),
        "log ratio of kl_data before pruning": Distance(log_ratio("kl_data", dense=True), 0.001),
        "log ratio of kl before pruning": Distance(log_ratio("kl", dense=True), 0.03),
        "log ratio of infidelity before pruning": Distance(log_ratio("infidelity", dense=True), 0.03),
        "log ratio of kl_data along pruning": Distance(log_ratio("kl_data", dense=False), 0.2),
        "log ratio of kl along pruning": Distance(log_ratio("kl", dense=False), 1.0),
        "log ratio of infidelity along pruning": Distance(log_ratio("infidelity", dense=False), 1.0),
    },
    "train_machines": {
        # Another device draws other numbers: the same machines in distribution. Of 65 nats that six machines of 784 x 64
        # gained, the means of two such runs differed by up to 0.08.
        "n_weights": Tolerance(),
        "share of the gain in pseudo-likelihood": Distance(course_distance, 0.05),
    },
    "train_judge": {
        "largest difference of accuracies on the probe": Distance(probe_distance, 0.03),
    },
    "judge_samples": {
        "quality": _JUDGED,
        "quality_other": _JUDGED,
        "confidence": Tolerance(absolute=1e-4),
        "second_moment_error": Tolerance(relative=1e-6, absolute=1e-15),
        "largest share of accepted images in another class": Distance(class_distance, 0.02),
    },
    "judge_accuracy": {
        **dict.fromkeys(("digits", "digits_of", "classes", "rejected", "families"), _JUDGED),
        "seen": Tolerance(),
    },
    "compare_judges": {"quality": _JUDGED, "seen": Tolerance()},
    # Of singular values and vectors the last digits are LAPACK's; modes that are almost equally large mix.
    "weight_spectrum": {
        **dict.fromkeys(("eigenvalues", "variance", "mean"), Tolerance(relative=1e-8, absolute=1e-10)),
        "shuffled": Tolerance(relative=1e-5, absolute=1e-9),
        "shuffled_largest": Tolerance(relative=1e-8, absolute=1e-10),
        "n_weights": Tolerance(),
    },
    "train_spectra": dict.fromkeys(("eigenvalues", "variance"), Tolerance(relative=1e-8, absolute=1e-10)),
    "compare_modes": dict.fromkeys(("overlap", "data"), Tolerance(absolute=1e-5)),
    "sample_modes": {
        # Where the rounded weights are the same, so are the samples. A weight that differs by a millionth changes a unit once
        # in a while; from there on these are other samples of the same machine.
        "kept": Tolerance(),
        "modes": Tolerance(),
        "aai": Tolerance(absolute=0.03),
        "second_moment": Tolerance(relative=0.3),
        "ink": Tolerance(relative=0.1),
    },
    "compare_large": {
        # Samples and their weights have portable bits; sums of their exponentials are numpy's.
        name: Tolerance(relative=1e-6, absolute=1e-9)
        for name in (
            "log_partition",
            "log_partition_low",
            "log_partition_high",
            "log_partition_share",
            "kl",
            "kl_error",
            "kl_share",
            "log_fidelity",
            "log_fidelity_error",
            "log_fidelity_share",
        )
    },
}
