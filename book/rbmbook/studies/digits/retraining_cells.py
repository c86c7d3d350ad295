"""What is computed of machines that are pruned and trained again, or pruned and compensated; all with portable bits.

A base machine was trained under a mask that leaves a share 1 - p0 of its weights. What comes of it afterwards is told by
the mask that it is given (of its own weights, or another), by the weights it starts with, and by what is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.studies.ising.cells import PORTABLE
from rbmlib import checkpoints
from rbmlib.analysis.compensation import compensate, mean_activities
from rbmlib.annealing import base_rate_biases
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.masks import random_mask
from rbmlib.mnist.appearance import appearance
from rbmlib.mnist.images import Images
from rbmlib.mnist.quality import adversarial_accuracy, second_moment_error
from rbmlib.persistent import LinearDecay, sample_chains, train_biases, train_persistent
from rbmlib.pruning import connected_components, prune, prune_mask
from rbmlib.rbm import RBM
from rbmlib.training import DivergedError

from .cells import (
    INITIAL_SCALE,
    PARAMETERS,
    TrainingRun,
    chosen_rows,
    independent_pixels,
    machine_dataset,
    machine_of,
    weights_left,
)
from .images import digits_of, moments_of
from .likelihood import annealed_likelihood, pseudo_likelihoods

MASKS = ("magnitude", "random", "fresh")
"""Which weights a machine keeps: its largest, any of its own, or any of all places."""
STARTS = ("inherited", "initial")
"""Weights and biases that training starts with: the base machine's, or those before training."""


def mask_of(base: RBM, kind: str, total: float, seed: int) -> NDArray[np.bool_]:
    """A mask under which a share `total` of all weights is zero.

    Parameters
    ----------
    base : RBM
        The machine that is pruned.
    kind : str
        One of :data:`MASKS`.
    total : float
        Share p of all weights; at least the machine's own.
    seed : int
        Seed of a mask that is random.

    Raises
    ------
    ValueError
        If the kind is unknown, or p is below the machine's own share.
    """
    if kind not in MASKS:
        raise ValueError(f"mask must be one of {', '.join(MASKS)}, not {kind!r}")
    n_keep = weights_left(base.weights.size, total)
    if not 0 < n_keep <= base.n_weights:
        raise ValueError(
            f"total p must lie between the machine's own share of zero weights, "
            f"{1 - base.n_weights / base.weights.size:.4g}, and 1, not {total!r}"
        )
    if kind == "fresh":
        return random_mask(base.n_visible, base.n_hidden, n_keep, seed)
    return prune_mask(base.weights, base.mask, n_keep, kind, seed if kind == "random" else None)


def retrain_machine(
    images: str,
    images_checksum: str,
    total: float,
    mask: str,
    start: str,
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
    machine: xr.Dataset,
) -> xr.Dataset:
    """Train under a mask that comes of a trained machine, from its weights or from initial ones; portable bits.

    Every `record_every` updates the run is kept in the local cache, as in
    :func:`rbmbook.studies.digits.cells.train_machine`.

    Parameters
    ----------
    total : float
        Share p of all weights that are zero.
    mask, start : str
        One of :data:`MASKS` and of :data:`STARTS`.
    mask_seed, init_seed, training_seed, ais_seed : int
        Seeds of a random mask, of initial weights, of mini-batches and chains, of annealing. A machine that starts with the
        base machine's own `init_seed` is rewound.
    machine : xarray.Dataset
        The base machine.

    Returns
    -------
    xarray.Dataset
        As :func:`rbmbook.studies.digits.cells.train_machine`.

    Raises
    ------
    ValueError
        If mask, start or p cannot be had of the machine.
    DivergedError
        If a parameter stops being finite; the message names the update.
    """
    if start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}, not {start!r}")
    digits = digits_of(images, images_checksum)
    base = machine_of(machine)
    kept = mask_of(base, mask, total, mask_seed)
    first = base.replace(mask=kept)
    if start == "initial":
        first = RBM.random(*kept.shape, init_seed, INITIAL_SCALE, kept)
        first = first.replace(visible_bias=base_rate_biases(digits.train))
    settings = {
        "n_updates": n_updates, "learning_rate": learning_rate, "held": held, "training_seed": training_seed, "k": k,
        "n_chains": n_chains, "batch_size": batch_size, "record_every": record_every, "images": images_checksum,
        "first": checkpoints.run_digest({}, *(getattr(first, name) for name in PARAMETERS), kept),
    }  # fmt: skip
    run = TrainingRun(first, digits, settings)
    try:
        rbm = train_persistent(
            run.state, digits.train, n_updates=n_updates, learning_rate=LinearDecay(learning_rate, held),
            seed=training_seed, k=k, n_chains=n_chains, batch_size=batch_size, callback=run.record,
            callback_every=record_every,
        ).rbm  # fmt: skip
    except DivergedError:
        run.forget()
        raise
    found = _with_likelihood(
        machine_dataset(rbm, run.updates, run.history), rbm, digits, ais_chains, ais_temperatures, ais_seed
    )
    run.forget()
    return found


def retrain_biases(
    images: str,
    images_checksum: str,
    total: float,
    training_seed: int,
    k: int,
    n_chains: int,
    batch_size: int,
    n_updates: int,
    learning_rate: float,
    held: float,
    ais_chains: int,
    ais_temperatures: int,
    ais_seed: int,
    machine: xr.Dataset,
) -> xr.Dataset:
    """Prune a machine's smallest weights and train its biases alone; portable bits.

    Parameters are those of :func:`retrain_machine`.

    Returns
    -------
    xarray.Dataset
        As :func:`retrain_machine`, the pseudo-likelihood before and after.
    """
    digits = digits_of(images, images_checksum)
    base = machine_of(machine)
    frozen = base.replace(mask=mask_of(base, "magnitude", total, 0))
    rbm = train_biases(
        frozen, digits.train, n_updates=n_updates, learning_rate=LinearDecay(learning_rate, held), seed=training_seed, k=k,
        n_chains=n_chains, batch_size=batch_size,
    )  # fmt: skip
    history = [pseudo_likelihoods(one, digits) for one in (frozen, rbm)]
    found = machine_dataset(rbm, (0, n_updates), history)
    return _with_likelihood(found, rbm, digits, ais_chains, ais_temperatures, ais_seed)


def freeze_machine(
    images: str,
    images_checksum: str,
    total: float,
    compensated: bool,
    ais_chains: int,
    ais_temperatures: int,
    ais_seed: int,
    machine: xr.Dataset,
) -> xr.Dataset:
    """Prune a machine's smallest weights and train nothing; portable bits.

    Parameters
    ----------
    compensated : bool
        Whether its biases make up for the removed weights in mean field
        (:func:`rbmlib.analysis.compensation.compensate`), with means over the training images.

    Returns
    -------
    xarray.Dataset
        As :func:`retrain_machine`, after no update.
    """
    digits = digits_of(images, images_checksum)
    base = machine_of(machine)
    rbm = base.replace(mask=mask_of(base, "magnitude", total, 0))
    if compensated:
        rbm = compensate(base, rbm, mean_activities(base, digits.train))
    found = machine_dataset(rbm, (0,), [pseudo_likelihoods(rbm, digits)])
    return _with_likelihood(found, rbm, digits, ais_chains, ais_temperatures, ais_seed)


def _with_likelihood(
    found: xr.Dataset, rbm: RBM, digits: Images, n_chains: int, n_temperatures: int, seed: int
) -> xr.Dataset:
    likelihood = annealed_likelihood(rbm, digits, n_chains, n_temperatures, seed)
    return xr.merge([found, likelihood]).assign_attrs(bits=PORTABLE)


# --- samples --------------------------------------------------------------------------------------------------------


def sample_compensated(
    images: str,
    images_checksum: str,
    criterion: str,
    order_seed: int,
    removed: Sequence[float],
    n_samples: int,
    n_steps: int,
    sampling_seed: int,
    reference_seed: int,
    machine: xr.Dataset,
) -> xr.Dataset:
    """:func:`rbmbook.studies.digits.cells.sample_pruned` of machines whose biases make up for their removed weights.

    The mean activities are those of the whole machine over the training images.
    """
    digits = digits_of(images, images_checksum)
    base = machine_of(machine)
    activities = mean_activities(base, digits.train)

    def pruned() -> Iterable[tuple[float, RBM]]:
        for share in removed:
            kept = weights_left(base.n_weights, share)
            yield (
                share,
                compensate(
                    base,
                    prune(base, kept, criterion, order_seed if criterion == "random" else None),
                    activities,
                ),
            )

    return measured_along(
        "removed", pruned(), images, images_checksum, n_samples, n_steps, sampling_seed, reference_seed
    )


def measured_along(
    along: str,
    machines: Iterable[tuple[float, RBM]],
    images: str,
    images_checksum: str,
    n_samples: int,
    n_steps: int,
    sampling_seed: int,
    reference_seed: int,
) -> xr.Dataset:
    """Sample machines along a coordinate and measure the samples; portable bits.

    Chains start from independent pixels with the data's means, and each value of the coordinate, a number below 2e9 that is
    told apart to nine decimals, has chains of its own.

    Returns
    -------
    xarray.Dataset
        By `along`: ``kept``, ``components``, ``aai`` with ``aai_error``, ``aai_generated`` and ``aai_data``,
        ``second_moment``, the looks; ``samples`` (along, sample, byte), in the cache only.
    """
    digits, moments = digits_of(images, images_checksum), moments_of(images, images_checksum)
    reference = digits.train[chosen_rows(len(digits.train), n_samples, reference_seed)]
    rows: list[dict[str, float]] = []
    places, samples = [], []
    for place, rbm in machines:
        seeds = [int(derived_seed(np.uint64(sampling_seed), round(1e9 * place), part)) for part in (0, 1)]
        chains = sample_chains(rbm, independent_pixels(moments, n_samples, seeds[0]), n_steps, seeds[1])
        accuracy = adversarial_accuracy(chains, reference)
        places.append(place)
        samples.append(np.packbits(chains, axis=1))
        rows.append(
            {
                "kept": rbm.n_weights,
                "components": connected_components(rbm.mask),
                "aai": accuracy.error.value,
                "aai_error": accuracy.error.standard_error,
                "aai_generated": accuracy.generated.value,
                "aai_data": accuracy.data.value,
                "second_moment": second_moment_error(chains, moments),
                **appearance(chains, digits.shape)._asdict(),
            }
        )
    found = xr.Dataset(
        {
            **{name: (along, [row[name] for row in rows]) for name in rows[0]},
            "samples": ((along, "sample", "byte"), np.array(samples), {"tier": "cache"}),
        },
        {along: places},
    )
    return found.assign_attrs(bits=PORTABLE, height=digits.shape[0], width=digits.shape[1])
