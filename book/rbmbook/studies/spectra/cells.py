r"""What is computed for the study of weight spectra; the bits depend on the processor's linear algebra.

Singular vectors come from LAPACK, and their last digits from the processor. Where machines are made of them, their weights
are rounded to multiples of 2\ :sup:`-20`, so that other digits change a weight, by a millionth, only where it lies on an edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.studies.digits.cells import diluted_machine, machine_of
from rbmbook.studies.digits.images import digits_of
from rbmbook.studies.digits.retraining_cells import measured_along
from rbmlib.analysis.compensation import compensate, mean_activities
from rbmlib.analysis.spectra import eigenvalues, entry_variance, shuffled_spectra
from rbmlib.persistent import LinearDecay, PersistentState, train_persistent
from rbmlib.rbm import RBM

DEPENDENT = "dependent on the processor (LAPACK)"
NULLS = ("nothing", "rows")
"""What the shuffles leave of the weights' structure: nothing, or which weights a visible unit has."""
TOP = 5
"""Eigenvalues of each shuffle that are kept."""
ROUNDING = 2.0**-20


def weight_spectrum(n_shuffles: int, shuffle_seed: int, machine: xr.Dataset) -> xr.Dataset:
    """Eigenvalues of W^T W of a trained machine, and of its weights shuffled.

    Parameters
    ----------
    n_shuffles : int
        Permutations of each kind.
    shuffle_seed : int
        Their seed.
    machine : xarray.Dataset
        What :func:`rbmbook.studies.digits.cells.train_machine` gave.

    Returns
    -------
    xarray.Dataset
        ``eigenvalues`` (rank), descending from rank 1; ``shuffled`` (null, rank), means over the permutations that keep
        nothing and those that keep every visible unit's weights, and ``shuffled_largest`` (null, shuffle, order), the largest
        of each; ``variance`` and ``mean`` of all entries, zeros included; ``n_weights``.
    """
    weights = machine_of(machine).weights.astype(np.float64)
    shuffled = np.array([shuffled_spectra(weights, n_shuffles, shuffle_seed, keep=null) for null in NULLS])
    return xr.Dataset(
        {
            "eigenvalues": ("rank", eigenvalues(weights)),
            "shuffled": (("null", "rank"), shuffled.mean(axis=1).astype(np.float32)),
            "shuffled_largest": (("null", "shuffle", "order"), shuffled[:, :, :TOP]),
            "variance": ((), entry_variance(weights)),
            "mean": ((), weights.mean()),
            "n_weights": ((), int(np.count_nonzero(weights))),
        },
        {"null": list(NULLS), "rank": np.arange(1, weights.shape[1] + 1)},
    ).assign_attrs(bits=DEPENDENT, n_visible=weights.shape[0])


def train_spectra(
    images: str,
    images_checksum: str,
    n_hidden: int,
    dilution: float,
    mask_seed: int,
    init_seed: int,
    training_seed: int,
    k: int,
    n_chains: int,
    batch_size: int,
    n_updates: int,
    learning_rate: float,
    held: float,
    course: Sequence[int],
) -> xr.Dataset:
    """Eigenvalues of W^T W along the training of :func:`rbmbook.studies.digits.cells.train_machine`.

    The machine is trained once more, from the same seeds to the same bits.

    Parameters
    ----------
    images, images_checksum, n_hidden, dilution, mask_seed, init_seed, training_seed, k, n_chains, batch_size, n_updates, \
learning_rate, held
        As there.
    course : sequence of int
        Updates after which the spectrum is looked at, ascending, 0 to `n_updates`.

    Returns
    -------
    xarray.Dataset
        ``eigenvalues`` (update, rank), ``variance`` (update) of all entries.
    """
    digits = digits_of(images, images_checksum)
    state = PersistentState(diluted_machine(digits.train, n_hidden, dilution, mask_seed, init_seed))
    spectra, variances = [], []
    for update in course:
        if update > state.update:
            state = train_persistent(
                state, digits.train, n_updates=n_updates, learning_rate=LinearDecay(learning_rate, held),
                seed=training_seed, k=k, n_chains=n_chains, batch_size=batch_size, until_update=update,
            )  # fmt: skip
        spectra.append(eigenvalues(state.rbm.weights))
        variances.append(entry_variance(state.rbm.weights))
    return xr.Dataset(
        {"eigenvalues": (("update", "rank"), np.array(spectra)), "variance": ("update", variances)},
        {"update": list(course), "rank": np.arange(1, n_hidden + 1)},
    ).assign_attrs(bits=DEPENDENT, n_visible=digits.n_pixels)


def sample_modes(
    images: str,
    images_checksum: str,
    modes: Sequence[int],
    compensated: bool,
    n_samples: int,
    n_steps: int,
    sampling_seed: int,
    reference_seed: int,
    machine: xr.Dataset,
) -> xr.Dataset:
    """Sample a machine whose weights are made of its largest singular values alone, and measure the samples.

    The mask of a diluted machine is given up: a matrix of low rank has no zeros.

    Parameters
    ----------
    images, images_checksum : str
        What :func:`rbmlib.mnist.data.load` takes.
    modes : sequence of int
        Numbers of singular values kept, 1 to n_hidden.
    compensated : bool
        Whether the biases make up for the change of the weights in mean field
        (:func:`rbmlib.analysis.compensation.compensate`), with means over the training images.
    n_samples, n_steps : int
        Samples of each machine, and Gibbs steps until they are taken.
    sampling_seed, reference_seed : int
        Seeds of the chains and of the choice among the training images that E_AAI compares with.
    machine : xarray.Dataset
        What :func:`rbmbook.studies.digits.cells.train_machine` gave.

    Returns
    -------
    xarray.Dataset
        As :func:`rbmbook.studies.digits.retraining_cells.measured_along`, by ``removed``, the share of the modes that is gone,
        in the order of `modes`; ``modes`` (removed), their number.
    """
    base = machine_of(machine)
    left, singular, right = np.linalg.svd(base.weights.astype(np.float64), full_matrices=False)
    activities = mean_activities(base, digits_of(images, images_checksum).train) if compensated else None

    def truncated() -> Iterable[tuple[float, RBM]]:
        for n_modes in modes:
            weights = (left[:, :n_modes] * singular[:n_modes]) @ right[:n_modes]
            rounded = np.rint(weights / ROUNDING) * ROUNDING
            rbm = base.replace(weights=rounded, mask=np.ones(rounded.shape, bool))
            if activities is not None:
                rbm = compensate(base, rbm, activities)
            yield 1 - n_modes / base.n_hidden, rbm

    found = measured_along(
        "removed", truncated(), images, images_checksum, n_samples, n_steps, sampling_seed, reference_seed
    )
    return found.assign(modes=("removed", list(modes))).assign_attrs(bits=DEPENDENT)


def compare_modes(
    images: str, images_checksum: str, modes: Sequence[int], **machines: xr.Dataset
) -> xr.Dataset:
    r"""How far machines share the directions of their largest modes, on the visible side.

    For the spaces that the first k left singular vectors of two machines span, with orthonormal bases U and U', the overlap is
    :math:`\lVert U^T U' \rVert_F^2 / k`: 1 for equal spaces, k / n_visible on average for spaces at random.

    Parameters
    ----------
    images, images_checksum : str
        What :func:`rbmlib.mnist.data.load` takes.
    modes : sequence of int
        Numbers k.
    **machines : xarray.Dataset
        Trained machines by name.

    Returns
    -------
    xarray.Dataset
        ``overlap`` (modes, machine, other); ``data`` (modes, machine), that with the first k principal components of the
        training images.
    """
    names, largest = sorted(machines), max(modes)
    bases = np.array([_left_vectors(machines[name].weights.values)[:, :largest] for name in names])
    principal = _principal_components(digits_of(images, images_checksum).train)[:, :largest]
    overlap = np.empty((len(modes), len(names), len(names)))
    data = np.empty((len(modes), len(names)))
    for i, n_modes in enumerate(modes):
        chosen = bases[:, :, :n_modes]
        for j, one in enumerate(chosen):
            overlap[i, j] = [(np.square(one.T @ other)).sum() / n_modes for other in chosen]
            data[i, j] = np.square(one.T @ principal[:, :n_modes]).sum() / n_modes
    return xr.Dataset(
        {"overlap": (("modes", "machine", "other"), overlap), "data": (("modes", "machine"), data)},
        {"modes": list(modes), "machine": names, "other": names},
    ).assign_attrs(bits=DEPENDENT, n_visible=bases.shape[1])


def _left_vectors(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.linalg.svd(weights.astype(np.float64), full_matrices=False)[0]


def _principal_components(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Eigenvectors of the images' covariance, by descending variance."""
    moments = images.T.astype(np.float32) @ images.astype(np.float32)
    mean = images.mean(axis=0)
    return np.linalg.eigh(moments / len(images) - np.outer(mean, mean))[1][:, ::-1]
