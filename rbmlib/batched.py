r"""Many machines of one size at once, by batched matrix products on an accelerator; needs torch.

The recipe is that of :func:`rbmlib.persistent.train_persistent` (PCD-k with the centred gradient), for replicas that
have masks, initial weights and mini-batches of their own. Every product of a replica is one of a batch, so that a device
that a single machine would leave idle has enough to do. Mini-batches have the same order for the same seed as there; the
chains' random numbers are torch's, so that results agree in distribution, not in bits.

The random numbers of an update depend on the seeds and its number alone. So a run that goes on from a checkpoint has the
bits of one that was never interrupted, on the same device, release of torch and number of threads.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array

from . import batched_tensors, checkpoints, persistent
from .batched_tensors import RUNNING, Chains, Training, on_device, to_device
from .kernels.initialisation import derived_seed
from .persistent import LinearDecay, _checked_run
from .rbm import RBM, check_binary, check_seed
from .training import DivergedError, LearningRate, _check_positive_integer

CHECKPOINT_SECONDS = 180.0
_PARAMETERS = ("weights", "visible_bias", "hidden_bias")


@dataclass(frozen=True, eq=False)
class BatchState:
    """Replicas in training, and what training needs to go on where it stopped.

    Attributes
    ----------
    weights : array of float32, (n_replicas, n_visible, n_hidden)
        All zero for a replica that diverged, as are its biases.
    visible_bias, hidden_bias : array of float32, (n_replicas, n_visible) and (n_replicas, n_hidden)
        Biases.
    mask : array of bool, (n_replicas, n_visible, n_hidden)
        Which weights exist.
    diverged : array of int64, (n_replicas,)
        The update in which a replica diverged, counted from 1; -1 if it did not.
    update : int
        Updates done.
    chains : array of uint8, (n_replicas, n_chains, n_visible), or None
        The persistent chains; None before the first update.
    visible_offset, hidden_offset : array of float32, (n_replicas, n_visible) and (n_replicas, n_hidden), or None
        Running means that the gradient is centred at; None before the first update.
    recorded : array, (n_records, ...), or None
        What was recorded along the way; None if nothing was.
    """

    weights: NDArray[np.float32]
    visible_bias: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    mask: NDArray[np.bool_]
    diverged: NDArray[np.int64]
    update: int = 0
    chains: NDArray[np.uint8] | None = None
    visible_offset: NDArray[np.float32] | None = None
    hidden_offset: NDArray[np.float32] | None = None
    recorded: NDArray[Any] | None = None

    @classmethod
    def of(cls, machines: Sequence[RBM]) -> BatchState:
        """The state before training of some machines of one size.

        Raises
        ------
        ValueError
            If there are none, or their sizes differ.
        """
        if len(machines) == 0:
            raise ValueError("machines must hold at least one machine; it is empty")
        shapes = sorted({rbm.weights.shape for rbm in machines})
        if len(shapes) > 1:
            sizes = " and ".join(f"{n_visible} x {n_hidden}" for n_visible, n_hidden in shapes)
            raise ValueError(f"machines must be of one size, not of {sizes}")
        arrays = (np.stack([getattr(rbm, name) for rbm in machines]) for name in (*_PARAMETERS, "mask"))
        return cls(*arrays, np.full(len(machines), RUNNING))

    @property
    def n_replicas(self) -> int:
        """Number of machines."""
        return len(self.weights)

    def machine(self, replica: int) -> RBM:
        """One of the machines.

        Raises
        ------
        DivergedError
            If it diverged; the message names the replica and the update.
        """
        if self.diverged[replica] != RUNNING:
            raise DivergedError(
                f"replica {replica} diverged in update {self.diverged[replica]}: a parameter is no longer finite, or "
                "beyond 2**100; lower the learning rate"
            )
        arrays = (getattr(self, name)[replica] for name in (*_PARAMETERS, "mask"))
        return RBM(*arrays)


def train_batch(
    machines: Sequence[RBM] | BatchState,
    data: ArrayLike,
    *,
    seeds: Sequence[int],
    n_updates: int,
    learning_rate: LinearDecay | LearningRate | float,
    k: int = 2,
    n_chains: int = 128,
    batch_size: int = 128,
    centred: bool = True,
    offset_rate: float = 0.01,
    record: Callable[[BatchState], ArrayLike] | None = None,
    record_every: int = 100,
    until_update: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    device: str | None = None,
    n_threads: int = 1,
) -> BatchState:
    """Train machines of one size side by side by persistent contrastive divergence (PCD-k); needs torch.

    A replica that diverges stops and the others go on; :meth:`BatchState.machine` says so of it.

    Parameters
    ----------
    machines : sequence of RBM, or BatchState
        Where to start; a state goes on with the same bits as a run that was never interrupted.
    data : array, (n_samples, n_visible)
        Visible states, 0 or 1, the same for all replicas.
    seeds : sequence of int
        A seed for each replica, in [0, 2**64). The mini-batches of a replica are those of
        :func:`rbmlib.persistent.train_persistent` for its seed; all of them together seed the chains.
    n_updates, learning_rate, k, n_chains, batch_size, centred, offset_rate, until_update
        As for :func:`rbmlib.persistent.train_persistent`.
    record : callable, optional
        Called with the state after every ``record_every`` updates and at the end of the run. What it returns, always
        an array of the same shape, is put together in ``recorded``, which checkpoints keep, too.
    record_every : int
        Updates between two records.
    checkpoint : path-like, optional
        A file to go on from, if it is a checkpoint of this run, and to keep one in; deleted at the end of the run.
    checkpoint_seconds : float
        Seconds between two checkpoints; one more is kept where ``until_update`` stops the run.
    device : str, optional
        Torch's name of the device, such as ``"cpu"`` or ``"cuda:1"``. If not given, what the environment variable
        ``RBMLIB_DEVICE`` names, else an accelerator if torch sees one, else the processor.
    n_threads : int
        Threads to use on the processor.

    Returns
    -------
    BatchState

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    ModuleNotFoundError
        If torch is not installed; the message says how to install it.
    """
    state = machines if isinstance(machines, BatchState) else BatchState.of(machines)
    samples, until, schedule = _checked_run(
        data, state.weights.shape[1], learning_rate, offset_rate, until_update,
        n_updates=n_updates, k=k, n_chains=n_chains, batch_size=batch_size, record_every=record_every,
        n_threads=n_threads,
    )  # fmt: skip
    if not checkpoint_seconds >= 0:
        raise ValueError(f"checkpoint_seconds must be a number >= 0, not {checkpoint_seconds!r}")
    if len(seeds) != state.n_replicas:
        raise ValueError(f"seeds must be one for each of {state.n_replicas} replicas, not {len(seeds)}")
    seeds = [check_seed("seeds", seed) for seed in seeds]
    if state.chains is not None and state.chains.shape[1] != n_chains:
        raise ValueError(f"n_chains must be the state's {state.chains.shape[1]} chains, not {n_chains}")

    file = None
    if checkpoint is not None:
        settings = {
            "n_updates": n_updates, "schedule": repr(schedule), "seeds": seeds, "k": k, "n_chains": n_chains,
            "batch_size": batch_size, "centred": centred, "offset_rate": offset_rate,
            "record_every": record_every if record else 0,
        }  # fmt: skip
        file = _File(checkpoint, checkpoint_seconds, settings, state, samples)
        state = file.load(state)
    with on_device(device, n_threads) as place:
        training = _training(state, samples, n_chains, batch_size, seeds, place)
        records = [] if state.recorded is None else list(state.recorded)

        def now() -> BatchState:
            recorded = np.stack(records) if records else None
            return replace(state, **training.arrays(), update=training.update, recorded=recorded)

        while training.update < until and training.running.any():
            update = training.update
            centring = (offset_rate if update else 1.0) * centred
            training.advance(k, float(np.float32(schedule.at(update, n_updates))), centring)
            if record is not None and (training.update % record_every == 0 or training.update == n_updates):
                records.append(np.asarray(record(now())))
            if file is not None and training.update < until and file.is_due():
                file.save(now())
        finished = training.update == n_updates or not training.running.any()
        state = now() if training.update > state.update else state
    if file is not None:
        file.remove() if finished else file.save(state)
    return state


def sample_batch(
    machines: Sequence[RBM],
    states: ArrayLike,
    n_steps: int,
    seed: int,
    *,
    first_step: int = 0,
    device: str | None = None,
    n_threads: int = 1,
) -> NDArray[np.uint8]:
    """Advance chains of several machines of one size by block Gibbs sampling; needs torch.

    Parameters
    ----------
    machines : sequence of RBM
        The machines.
    states : array, (n_chains, n_visible) or (n_machines, n_chains, n_visible)
        Visible states that the chains have, the same for every machine or each its own.
    n_steps : int
        Gibbs steps v -> h -> v.
    seed : int
        Seed in [0, 2**64); the random numbers of a step depend on it and on the step's number alone.
    first_step : int
        Number of the first step, so that a run can be cut into parts with the same bits.
    device, n_threads
        As for :func:`train_batch`.

    Returns
    -------
    array of uint8, (n_machines, n_chains, n_visible)

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    ModuleNotFoundError
        If torch is not installed; the message says how to install it.
    """
    state = BatchState.of(machines)
    array = plain_array("states", states)
    n_replicas, n_visible, n_hidden = state.weights.shape
    if array.ndim == 2:
        array = np.broadcast_to(array, (n_replicas, *array.shape))
    if array.ndim != 3 or array.shape[::2] != (n_replicas, n_visible):
        raise ValueError(
            f"states must have the shape (n_chains, {n_visible}) or ({n_replicas}, n_chains, {n_visible}), "
            f"not {np.shape(states)}"
        )
    visible = check_binary("states", array.reshape(-1, n_visible)).reshape(array.shape)
    for name, value in (("n_steps", n_steps), ("first_step", first_step)):
        _check_positive_integer(name, value, 0)
    _check_positive_integer("n_threads", n_threads)
    word = np.uint64(check_seed("seed", seed))
    with on_device(device, n_threads) as place:
        parameters = tuple(to_device(getattr(state, name), place) for name in _PARAMETERS)
        chains = Chains(to_device(visible, place), n_hidden)
        for step in range(first_step, first_step + n_steps):
            chains.seed(int(derived_seed(word, step, 0)))
            chains.step(*parameters)
        return chains.states()


class _File:
    """The checkpoint of one run, and when it was last written."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        seconds: float,
        settings: dict[str, Any],
        start: BatchState,
        samples: NDArray[np.uint8],
    ) -> None:
        arrays = self._arrays(start)
        code = checkpoints.sources_digest(Path(batched_tensors.__file__), Path(persistent.__file__))
        self._path, self._seconds, self._last = path, seconds, time.monotonic()
        self._run = checkpoints.run_digest(
            {**settings, "arrays": list(arrays), "code": code}, samples, start.mask, *arrays.values()
        )

    @staticmethod
    def _arrays(state: BatchState) -> dict[str, NDArray[Any]]:
        arrays = {name: value for name, value in vars(state).items() if value is not None and name != "mask"}
        return {**arrays, "update": np.array(state.update)}

    def load(self, start: BatchState) -> BatchState:
        """What the file holds; where to start if there is none of this run."""
        found = checkpoints.load(self._path, self._run)
        return start if found is None else replace(start, **{**found, "update": int(found["update"])})

    def is_due(self) -> bool:
        """Whether the time for the next checkpoint has come."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, state: BatchState) -> None:
        """Write a checkpoint, or warn that it cannot be written: hours of training are worth more than a file."""
        try:
            checkpoints.save(self._path, self._run, self._arrays(state))
        except OSError as error:
            warnings.warn(f"no checkpoint in {self._path}: {error}; training goes on", RuntimeWarning, 3)
        self._last = time.monotonic()

    def remove(self) -> None:
        """Delete the file."""
        with contextlib.suppress(OSError):
            checkpoints.remove(self._path)


def _training(
    state: BatchState,
    samples: NDArray[np.uint8],
    n_chains: int,
    batch_size: int,
    seeds: Sequence[int],
    place: Any,
) -> Training:
    """The state on a device; chains start at the first rows of the data."""
    n_replicas, n_visible, n_hidden = state.weights.shape
    chains = state.chains
    if chains is None:
        first = samples[np.arange(n_chains) % len(samples)]
        chains = np.broadcast_to(first, (n_replicas, *first.shape))
    offsets = [
        np.zeros((n_replicas, n), np.float32) if offset is None else offset
        for offset, n in ((state.visible_offset, n_visible), (state.hidden_offset, n_hidden))
    ]
    parameters = [getattr(state, name) for name in _PARAMETERS]
    return Training(
        parameters,
        offsets,
        state.mask,
        chains,
        samples,
        batch_size,
        seeds,
        state.update,
        state.diverged,
        place,
    )
