"""Training all replicas of a dilution at once, on an accelerator: what the profile at the paper's scale computes.

One cell trains the replicas side by side, as :func:`rbmbook.studies.digits.cells.train_machine` trains one: the same
masks, initial weights and mini-batches by the same seeds, and chains of torch's random numbers. Another cell takes one
machine out of it and measures its likelihood, so that all that follows is the same whatever trained the machine.

The device is no parameter: ``RBMLIB_DEVICE`` names it, else it is an accelerator if torch sees one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.lab.cell import Cell
from rbmbook.studies.ising.cells import PORTABLE
from rbmlib import checkpoints
from rbmlib.accelerator.tensors import RUNNING, device_name
from rbmlib.accelerator.training import BatchState, train_batch
from rbmlib.persistent import LinearDecay

from . import standard as mnist_standard
from .cells import PARAMETERS, diluted_machine, machine_dataset
from .images import digits_of
from .likelihood import PARTS, annealed_likelihood, pseudo_likelihoods

DEPENDENT = "dependent on the device (torch)"
_SEEDS = {"mask_seeds": "mask_seed", "init_seeds": "init_seed", "training_seeds": "training_seed"}


def train_machines(
    images: str,
    images_checksum: str,
    n_hidden: int,
    dilution: float,
    mask_seeds: Sequence[int],
    init_seeds: Sequence[int],
    training_seeds: Sequence[int],
    k: int,
    n_chains: int,
    batch_size: int,
    n_updates: int,
    learning_rate: float,
    held: float,
    record_every: int,
) -> xr.Dataset:
    """Train replicas of a diluted machine side by side by PCD-k.

    Every few minutes the run is kept in the local cache; killed, it goes on from there.

    Returns
    -------
    xarray.Dataset
        ``weights`` (replica, visible, hidden), ``visible_bias``, ``hidden_bias``: in the cache only, zero for a replica
        that diverged. ``diverged`` (replica): the update in which it did, -1 if it did not. ``n_weights`` (replica):
        the number that the mask leaves. ``pseudo_likelihood`` (replica, update, part): as for ``train_machine``, NaN
        once a replica has diverged. The attribute ``device`` says what trained them.
    """
    settings = dict(locals())
    digits = digits_of(images, images_checksum)
    machines = [
        diluted_machine(digits.train, n_hidden, dilution, *seeds)
        for seeds in zip(mask_seeds, init_seeds, strict=True)
    ]
    updates = [0, *range(record_every, n_updates, record_every), n_updates]

    def look(state: BatchState) -> NDArray[np.float64]:
        rows = np.full((len(machines), len(PARTS)), np.nan)
        for replica in np.flatnonzero(state.diverged == RUNNING):
            rows[replica] = pseudo_likelihoods(state.machine(replica), digits)
        return rows

    state = train_batch(
        machines, digits.train, seeds=training_seeds, n_updates=n_updates, learning_rate=LinearDecay(learning_rate, held),
        k=k, n_chains=n_chains, batch_size=batch_size, record=look, record_every=record_every,
        checkpoint=checkpoints.folder() / f"{checkpoints.run_digest(settings)[:16]}.npz",
    )  # fmt: skip
    history = np.full((len(updates), len(machines), len(PARTS)), np.nan)
    history[0] = look(BatchState.of(machines))
    if state.recorded is not None:
        history[1 : 1 + len(state.recorded)] = state.recorded
    found = xr.Dataset(
        {
            "weights": (("replica", "visible", "hidden"), state.weights),
            "visible_bias": (("replica", "visible"), state.visible_bias),
            "hidden_bias": (("replica", "hidden"), state.hidden_bias),
            "diverged": ("replica", state.diverged),
            "n_weights": ("replica", [rbm.n_weights for rbm in machines]),
            "pseudo_likelihood": (("replica", "update", "part"), history.transpose(1, 0, 2)),
        },
        {"update": updates, "part": list(PARTS)},
        {"bits": DEPENDENT, "device": device_name()},
    )
    for name in PARAMETERS:
        found[name].attrs["tier"] = "cache"
    return found


def measure_machine(
    images: str,
    images_checksum: str,
    replica: int,
    ais_chains: int,
    ais_temperatures: int,
    ais_seed: int,
    batch: xr.Dataset,
) -> xr.Dataset:
    """Take one machine out of a batch, and measure its likelihood; bits are portable, given the batch.

    Returns
    -------
    xarray.Dataset
        With the layout of :func:`rbmbook.studies.digits.cells.train_machine`.

    Raises
    ------
    DivergedError
        If that replica diverged; the message names it and the update.
    """
    digits = digits_of(images, images_checksum)
    parameters = (batch[name].values for name in PARAMETERS)
    rbm = BatchState(*parameters, batch.weights.values != 0, batch.diverged.values).machine(replica)
    found = xr.merge(
        [
            machine_dataset(rbm, batch["update"].values, batch.pseudo_likelihood.values[replica]),
            annealed_likelihood(rbm, digits, ais_chains, ais_temperatures, ais_seed),
        ]
    )
    return found.assign_attrs(bits=PORTABLE)


def batch_cell(p: Mapping[str, Any], dilution: float) -> Cell:
    """The cell that trains all replicas of a dilution."""
    dilution = float(dilution)
    seeds = [mnist_standard.seeds_of_parts(dilution, replica) for replica in range(p["n_replicas"])]
    return Cell(
        train_machines,
        {
            **{name: p[name] for name in mnist_standard.TRAINING},
            "dilution": dilution,
            **{name: tuple(each[part] for each in seeds) for name, part in _SEEDS.items()},
        },
    )


def machine_cell(p: Mapping[str, Any], dilution: float, replica: int) -> Cell:
    """The cell of one machine, with the layout of :func:`rbmbook.studies.digits.cells.train_machine`."""
    seed = mnist_standard.seeds_of_parts(float(dilution), replica)["ais_seed"]
    values = {name: p[name] for name in mnist_standard.MEASURING}
    return Cell(
        measure_machine, {**values, "replica": replica, "ais_seed": seed}, {"batch": batch_cell(p, dilution)}
    )
