"""What is computed for the studies of diluted machines: training, sampling of pruned machines, floors.

A machine is diluted at random before it is trained, and its mask stays; it is trained by persistent contrastive
divergence, then pruned step by step without training on, and sampled at every step. All of it has portable bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.studies.ising.cells import PORTABLE
from rbmlib import checkpoints, persistent
from rbmlib.annealing import base_rate_biases
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.kernels.philox import STREAM_SAMPLING, fill_words
from rbmlib.masks import random_mask
from rbmlib.mnist.appearance import Appearance, appearance
from rbmlib.mnist.images import Images, disjoint_subsets, permutation
from rbmlib.mnist.quality import Moments, adversarial_accuracy, second_moment_error
from rbmlib.persistent import LinearDecay, PersistentState, sample_chains, train_persistent
from rbmlib.pruning import connected_components, prune, schedule_from_fractions
from rbmlib.rbm import RBM
from rbmlib.training import DivergedError

from .images import digits_of, moments_of
from .likelihood import PARTS, annealed_likelihood, likelihood_from_below, pseudo_likelihoods

PARAMETERS = ("weights", "visible_bias", "hidden_bias")
"""Names of a machine's parameters."""
INITIAL_SCALE = 0.01
"""Standard deviation of the weights before training."""
LOOKS = Appearance._fields
"""Names of the measures of looks."""


# --- training -------------------------------------------------------------------------------------------------------


def diluted_machine(
    train: NDArray[np.uint8], n_hidden: int, dilution: float, mask_seed: int, init_seed: int
) -> RBM:
    """A machine before training: normal weights under a random mask, visible biases at the data's means.

    Parameters
    ----------
    train : array, (n_images, n_visible)
        Zeros and ones.
    n_hidden : int
        Number of hidden units.
    dilution : float
        Share p0 of the weights that are zero, in [0, 1); rounded to whole weights.
    mask_seed, init_seed : int
        Seeds of the mask and of the weights.

    Raises
    ------
    ValueError
        If `dilution` lies outside [0, 1).
    """
    if not 0 <= dilution < 1:
        raise ValueError(
            f"dilution p0, the share of weights that are zero from the start, must lie in [0, 1), not {dilution!r}"
        )
    n_visible = train.shape[1]
    n_keep = _left(n_visible * n_hidden, dilution)
    mask = random_mask(n_visible, n_hidden, n_keep, mask_seed)
    rbm = RBM.random(n_visible, n_hidden, init_seed, INITIAL_SCALE, mask)
    return rbm.replace(visible_bias=base_rate_biases(train))


def train_machine(
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
    record_every: int,
    ais_chains: int,
    ais_temperatures: int,
    ais_seed: int,
) -> xr.Dataset:
    """Train a diluted machine by PCD-k; portable bits.

    Every `record_every` updates the run is kept in the local cache; killed, it goes on from there with the same bits.

    Returns
    -------
    xarray.Dataset
        ``weights`` (visible, hidden), ``visible_bias``, ``hidden_bias``: in the cache only. ``n_weights``, the number
        that the mask leaves. ``pseudo_likelihood`` (update, part), mean log pseudo-likelihood in nats of a fixed set
        of images. And what :func:`annealed_likelihood` gives.

    Raises
    ------
    DivergedError
        If a parameter stops being finite; the message names the update.
    """
    settings = dict(locals())
    digits = digits_of(images, images_checksum)
    first = diluted_machine(digits.train, n_hidden, dilution, mask_seed, init_seed)
    run = _Run(first, digits, settings)
    try:
        rbm = train_persistent(
            run.state, digits.train, n_updates=n_updates, learning_rate=LinearDecay(learning_rate, held),
            seed=training_seed, k=k, n_chains=n_chains, batch_size=batch_size, callback=run.record,
            callback_every=record_every,
        ).rbm  # fmt: skip
    except DivergedError:
        run.forget()
        raise
    found = xr.merge(
        [
            machine_dataset(rbm, run.updates, run.history),
            annealed_likelihood(rbm, digits, ais_chains, ais_temperatures, ais_seed),
        ]
    )
    run.forget()
    return found.assign_attrs(bits=PORTABLE)


class _Run:
    """A training run with the course of its pseudo-likelihood, kept in a file from which it goes on.

    Attributes
    ----------
    state : PersistentState
        Where to go on: at the beginning, or where the run was when it was kept last.
    updates : list of int
        Updates after which the machine was looked at.
    history : list of list of float
        Its mean log pseudo-likelihood then, by part.
    """

    def __init__(self, first: RBM, digits: Images, settings: Mapping[str, Any]) -> None:
        self.digits, self.n_updates = digits, settings["n_updates"]
        self.name = checkpoints.run_digest({**settings, "code": _sources()})
        self.path = checkpoints.folder() / f"{self.name[:16]}.npz"
        self.updates: list[int] = []
        self.history: list[list[float]] = []
        self.state = PersistentState(first)
        kept = checkpoints.load(self.path, self.name)
        if kept is None:
            self.look(self.state)
        else:
            self.updates, self.history = kept["updates"].tolist(), kept["history"].tolist()
            rbm = first.replace(**{name: kept[name] for name in PARAMETERS})
            chains = np.unpackbits(kept["chains"], axis=1, count=rbm.n_visible)
            self.state = PersistentState(
                rbm, self.updates[-1], chains, kept["visible_offset"], kept["hidden_offset"]
            )

    def look(self, state: PersistentState) -> None:
        """Measure the machine."""
        self.updates.append(state.update)
        self.history.append(pseudo_likelihoods(state.rbm, self.digits))

    def record(self, state: PersistentState) -> None:
        """Measure the machine and keep the run; where the cache cannot be written, go on without."""
        self.look(state)
        if state.update == self.n_updates:
            return
        arrays = {name: getattr(state.rbm, name) for name in PARAMETERS}
        offsets = {"visible_offset": state.visible_offset, "hidden_offset": state.hidden_offset}
        course = {"updates": np.array(self.updates), "history": np.array(self.history)}
        chains = np.packbits(state.chains, axis=1)
        with contextlib.suppress(OSError):
            checkpoints.save(self.path, self.name, {**arrays, **offsets, **course, "chains": chains})

    def forget(self) -> None:
        """Delete the file."""
        with contextlib.suppress(OSError):
            checkpoints.remove(self.path)


def _sources() -> str:
    """Hash of the code that trains."""
    kernels = sorted(Path(persistent.__file__).parent.joinpath("kernels").glob("*.py"))
    return checkpoints.sources_digest(Path(__file__), Path(persistent.__file__), *kernels)


def machine_dataset(rbm: RBM, updates: Sequence[int], history: Sequence[Sequence[float]]) -> xr.Dataset:
    """A trained machine, to be kept in the cache, and the course of its pseudo-likelihood, (update, part)."""
    found = xr.Dataset(
        {
            "weights": (("visible", "hidden"), rbm.weights),
            "visible_bias": ("visible", rbm.visible_bias),
            "hidden_bias": ("hidden", rbm.hidden_bias),
            "n_weights": ((), rbm.n_weights),
            "pseudo_likelihood": (("update", "part"), np.asarray(history, dtype=np.float64)),
        },
        {"update": np.asarray(updates, dtype=np.int64), "part": list(PARTS)},
    )
    for name in PARAMETERS:
        found[name].attrs["tier"] = "cache"
    return found


def machine_of(dataset: xr.Dataset) -> RBM:
    """The machine of :func:`machine_dataset`; weights that are zero are those that its mask left out."""
    weights = dataset.weights.values
    return RBM(weights, dataset.visible_bias.values, dataset.hidden_bias.values, weights != 0)


def bound_likelihood(
    images: str,
    images_checksum: str,
    n_chains: int,
    n_steps: int,
    ais_temperatures: int,
    bound_seed: int,
    machine: xr.Dataset,
) -> xr.Dataset:
    """The likelihood of a machine from its other side, by :func:`likelihood_from_below`; portable bits.

    Parameters
    ----------
    images, images_checksum : str
        What :func:`rbmlib.mnist.data.load` takes.
    n_chains, n_steps : int
        Chains that start from training images, and their Gibbs steps until they count as the machine's samples.
    ais_temperatures : int
        Temperatures of the way back to the base.
    bound_seed : int
        Seed of it all.
    machine : xarray.Dataset
        What :func:`train_machine` gave.
    """
    digits = digits_of(images, images_checksum)
    rbm = machine_of(machine)
    start, steps, annealing = (int(derived_seed(np.uint64(bound_seed), part, 0)) for part in range(3))
    n_train = len(digits.train)
    chains = digits.train[permutation(n_train, start)[np.arange(n_chains) % n_train]]
    samples = sample_chains(rbm, chains, n_steps, steps)
    return likelihood_from_below(rbm, digits, samples, ais_temperatures, annealing).assign_attrs(
        bits=PORTABLE
    )


# --- samples --------------------------------------------------------------------------------------------------------


def sample_pruned(
    images: str,
    images_checksum: str,
    criterion: str,
    order_seed: int,
    removed: Sequence[float],
    n_samples: int,
    n_steps: int,
    sampling_seed: int,
    reference_seed: int,
    n_shown: int,
    machine: xr.Dataset,
) -> xr.Dataset:
    """Prune a machine to every share of its weights in turn, sample it and measure the samples; portable bits.

    Chains start from independent pixels with the data's means. Each share has chains of its own, keyed by the share,
    so that a point of a curve does not depend on which others the grid has.

    Parameters
    ----------
    images, images_checksum : str
        What :func:`rbmlib.mnist.data.load` takes.
    criterion : str
        Which weights go first, as :func:`rbmlib.pruning.prune_mask` has it.
    order_seed : int
        Seed of the order where it is random.
    removed : sequence of float
        Shares f, in [0, 1), of the weights that the machine was trained with.
    n_samples : int
        Samples of each pruned machine, and images of the data that they are compared with.
    n_steps : int
        Gibbs steps.
    sampling_seed, reference_seed : int
        Seeds of the chains and of the choice among the training images that E_AAI compares with.
    n_shown : int
        Samples of each pruned machine that are published; none for 0.
    machine : xarray.Dataset
        What :func:`train_machine` gave.

    Returns
    -------
    xarray.Dataset
        By ``removed``: ``kept`` (weights left), ``components`` of the graph, ``aai``, ``aai_error``, ``aai_generated``
        (A_T), ``aai_data`` (A_S), ``second_moment`` and the looks :data:`LOOKS`; ``samples`` (removed, sample, byte),
        packed eight pixels a byte and in the cache only; ``shown`` (removed, shown, byte), the first of them.
    """
    digits = digits_of(images, images_checksum)
    rbm = machine_of(machine)
    if digits.n_pixels != rbm.n_visible:
        raise ValueError(f"images must have the machine's {rbm.n_visible} pixels, not {digits.n_pixels}")
    moments = moments_of(images, images_checksum)
    reference = digits.train[_chosen(len(digits.train), n_samples, reference_seed)]
    columns: dict[str, list[float]] = {}
    samples = []
    for share in removed:
        if not 0 <= share < 1:
            raise ValueError(
                f"removed must hold shares in [0, 1) of the weights that training left, not {share!r}"
            )
        seeds = [int(derived_seed(np.uint64(sampling_seed), round(1e9 * share), part)) for part in (0, 1)]
        kept = _left(rbm.n_weights, share)
        pruned = prune(rbm, kept, criterion, order_seed if criterion == "random" else None)
        chains = sample_chains(pruned, independent_pixels(moments, n_samples, seeds[0]), n_steps, seeds[1])
        samples.append(np.packbits(chains, axis=1))
        accuracy = adversarial_accuracy(chains, reference)
        row = {
            "kept": kept,
            "components": connected_components(pruned.mask),
            "aai": accuracy.error.value,
            "aai_error": accuracy.error.standard_error,
            "aai_generated": accuracy.generated.value,
            "aai_data": accuracy.data.value,
            "second_moment": second_moment_error(chains, moments),
            **appearance(chains, digits.shape)._asdict(),
        }
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    packed = np.array(samples)
    found = xr.Dataset(
        {
            **{name: ("removed", values) for name, values in columns.items()},
            "samples": (("removed", "sample", "byte"), packed),
        },
        {"removed": list(removed)},
    )
    found.samples.attrs["tier"] = "cache"
    if n_shown:
        found["shown"] = (("removed", "shown", "byte"), packed[:, :n_shown])
    return found.assign_attrs(bits=PORTABLE, height=digits.shape[0], width=digits.shape[1])


def unpacked(packed: NDArray[np.uint8], n_pixels: int) -> NDArray[np.uint8]:
    """Images of `n_pixels` zeros and ones from eight pixels a byte, the last axis."""
    return np.unpackbits(packed, axis=-1, count=n_pixels)


def independent_pixels(moments: Moments, n_images: int, seed: int) -> NDArray[np.uint8]:
    """Images whose pixels are on independently, with the means of a set: (n_images, n_pixels); portable bits."""
    below = (moments.ink.astype(np.uint64) << np.uint64(32)) // np.uint64(moments.n)
    drawn = np.empty((n_images, len(below)), np.uint8)
    words = np.empty(len(below), np.uint32)
    for image in range(n_images):
        fill_words(words, 0, image, STREAM_SAMPLING, np.uint64(seed))
        drawn[image] = words < below
    return drawn


# --- floors ---------------------------------------------------------------------------------------------------------


def real_floors(images: str, images_checksum: str, n_samples: int, n_sets: int, seed: int) -> xr.Dataset:
    """What the measures give for real images, which a perfect machine would be given too; portable bits.

    Parameters
    ----------
    images, images_checksum : str
        What :func:`rbmlib.mnist.data.load` takes.
    n_samples : int
        Images of each set.
    n_sets : int
        Sets, each compared with one that shares no image with it, or with all training images; fewer where there are
        not enough images.
    seed : int
        Seed of the choice.

    Returns
    -------
    xarray.Dataset
        ``aai``, ``aai_error`` and ``second_moment`` (set), the last against the moments of all training images;
        the looks of the test images under :data:`LOOKS`; ``counts`` (class), their classes, if they have any.
    """
    digits = digits_of(images, images_checksum)
    n_sets = max(1, min(n_sets, len(digits.train) // (2 * n_samples)))
    rows = disjoint_subsets(len(digits.train), n_samples, 2 * n_sets, seed)
    moments = moments_of(images, images_checksum)
    accuracies = [
        adversarial_accuracy(digits.train[a], digits.train[b]).error
        for a, b in zip(rows[::2], rows[1::2], strict=True)
    ]
    found = xr.Dataset(
        {
            "aai": ("set", [one.value for one in accuracies]),
            "aai_error": ("set", [one.standard_error for one in accuracies]),
            "second_moment": ("set", [second_moment_error(digits.train[a], moments) for a in rows[::2]]),
            **{name: ((), value) for name, value in appearance(digits.test, digits.shape)._asdict().items()},
        }
    )
    if digits.test_labels is not None:
        found["counts"] = ("class", np.bincount(digits.test_labels))
    return found.assign_attrs(
        bits=PORTABLE, n_samples=n_samples, height=digits.shape[0], width=digits.shape[1]
    )


# --- shared ---------------------------------------------------------------------------------------------------------


def _left(n_weights: int, removed: float) -> int:
    """Weights left of so many, by exact rationals: 0.1 is meant as 1/10."""
    return int(schedule_from_fractions(n_weights, [float(removed)])[-1])


def _chosen(n: int, size: int, seed: int) -> NDArray[np.int64]:
    """Rows of a random subset."""
    if size > n:
        raise ValueError(f"n_samples must be at most the {n} training images, not {size}")
    return permutation(n, seed)[:size]


# What other cells take up from here.
TrainingRun, weights_left, chosen_rows = _Run, _left, _chosen
