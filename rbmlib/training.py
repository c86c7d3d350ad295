r"""Training by contrastive divergence, plain or persistent.

An epoch visits the data once, in a fresh order, in mini-batches. Each update follows the stochastic gradient

.. math:: \Delta W_{ij} = \eta \bigl( \langle v_i\, p(h_j | v) \rangle_\text{data}
          - \langle v_i\, p(h_j | v) \rangle_\text{chains} \bigr)

(Golubeva & Melko, section II.B; Hinton 2002), where the chains start at the mini-batch (CD-k) or live on
(PCD-k, Tieleman 2008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import check_counter, check_rate
from .kernels.contrastive_divergence import shuffle as _shuffle
from .kernels.contrastive_divergence import train_epoch as _train_epoch
from .kernels.gibbs import pack_rows as _pack_rows
from .kernels.initialisation import geometric_decay as _geometric_decay
from .rbm import RBM, check_binary, check_seed

_LARGEST = float(np.finfo(np.float32).max)  # kernels compute in float32


class DivergedError(ArithmeticError):
    """Training produced a parameter that is not a finite number."""


@dataclass(frozen=True)
class LearningRate:
    """A learning rate that falls geometrically from ``first`` to ``last`` over the epochs of one training
    run.

    ``LearningRate(0.1)`` is constant; ``LearningRate(0.1, 0.001)`` is 0.1 in the first epoch and 0.001 in the
    last.
    """

    first: float
    last: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("first", self.first), ("last", self.last)):
            if name == "first" or value is not None:
                object.__setattr__(self, name, check_rate(f"learning rate: {name}", value))

    def at(self, epoch: int, n_epochs: int) -> float:
        """The rate of epoch ``epoch`` = 0 ... n_epochs - 1; portable bits."""
        if self.last is None or self.last == self.first or n_epochs == 1:
            return float(self.first)
        return float(_geometric_decay(float(self.first), float(self.last), epoch / (n_epochs - 1)))


@dataclass(frozen=True)
class TrainingState:
    """What training needs to go on where it stopped.

    Attributes
    ----------
    rbm : RBM
        The machine.
    epoch : int
        Epochs done.
    updates : int
        Parameter updates done; the random numbers of an update depend on its number.
    chains : array of uint8, (n_chains, n_visible), or None
        Persistent chains, None for plain contrastive divergence.
    """

    rbm: RBM
    epoch: int = 0
    updates: int = 0
    chains: NDArray[np.uint8] | None = None


def _check_positive_integer(name: str, value: int, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, not {value!r}")
    return int(value)


def train(
    machine: RBM | TrainingState,
    data: ArrayLike,
    *,
    n_epochs: int,
    learning_rate: LearningRate | float,
    seed: int,
    k: int = 10,
    batch_size: int = 100,
    weight_decay: float = 0.0,
    n_chains: int | None = None,
    callback: Callable[[TrainingState], object] | None = None,
    until_epoch: int | None = None,
) -> TrainingState:
    """Train a machine by contrastive divergence (CD-k), or persistently (PCD-k) if ``n_chains`` is given;
    portable bits.

    Parameters
    ----------
    machine : RBM or TrainingState
        Where to start; a state goes on with the same bits as a run that was never interrupted.
    data : array, (n_samples, n_visible)
        Visible states, 0 or 1.
    n_epochs : int
        Passes over the data of the whole run, which the learning rate's schedule spans.
    learning_rate : LearningRate or float
        Step size per unit of mean gradient; a float is a constant rate.
    seed : int
        Seed of the minibatch order and of the chains, in [0, 2**64).
    k : int
        Gibbs steps v -> h -> v per update.
    batch_size : int
        Samples per update; the last update of an epoch takes what is left.
    weight_decay : float
        Each update also subtracts learning rate times weight decay times W (biases are not decayed).
    n_chains : int, optional
        Number of persistent chains; they start at the first rows of the data.
    callback : callable, optional
        Called with the state after every epoch.
    until_epoch : int, optional
        Stop after this epoch of the run (all of them if not given).

    Returns
    -------
    TrainingState

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    DivergedError
        If a parameter stops being finite; the message names the epoch.
    """
    state = machine if isinstance(machine, TrainingState) else TrainingState(machine)
    rbm = state.rbm
    samples = check_binary("data", data, rbm.n_visible)
    if len(samples) == 0:
        raise ValueError("data must have at least one row")
    n_epochs = _check_positive_integer("n_epochs", n_epochs)
    k = _check_positive_integer("k", k)
    batch_size = _check_positive_integer("batch_size", batch_size)
    until = (
        n_epochs
        if until_epoch is None
        else min(_check_positive_integer("until_epoch", until_epoch, 0), n_epochs)
    )
    updates_left = max(until - state.epoch, 0) * -(-len(samples) // batch_size)
    check_counter("Gibbs steps so far", state.updates * k, updates_left * k, "steps of this run")
    seed_word = np.uint64(check_seed("seed", seed))
    rate = learning_rate if isinstance(learning_rate, LearningRate) else LearningRate(learning_rate)
    if not 0 <= weight_decay <= _LARGEST:
        raise ValueError(f"weight_decay must be a number from 0 to 3.4e38, not {weight_decay!r}")
    persistent = n_chains is not None
    chains = np.zeros((1, rbm.n_visible), np.uint8)
    if persistent:
        wanted = _check_positive_integer("n_chains", n_chains)
        chains = samples[np.arange(wanted) % len(samples)] if state.chains is None else state.chains.copy()
        if chains.shape != (wanted, rbm.n_visible):
            raise ValueError(f"n_chains must be the state's {len(chains)} chains, not {wanted}")

    packed = np.empty((len(samples), (rbm.n_visible + 31) // 32), np.uint32)
    _pack_rows(samples, packed)
    weights, visible_bias, hidden_bias = (x.copy() for x in (rbm.weights, rbm.visible_bias, rbm.hidden_bias))
    for epoch in range(state.epoch, until):
        order = np.arange(len(samples))
        _shuffle(order, epoch, seed_word)
        updates = _train_epoch(
            packed, order, weights, visible_bias, hidden_bias, rbm.mask, batch_size, k,
            np.float32(rate.at(epoch, n_epochs)), np.float32(weight_decay), chains, persistent, state.updates, seed_word,
        )  # fmt: skip
        if not all(np.isfinite(x).all() for x in (weights, visible_bias, hidden_bias)):
            raise DivergedError(
                f"training diverged in epoch {epoch + 1} (updates {state.updates + 1} to {state.updates + updates}): "
                "a parameter is no longer finite; lower the learning rate"
            )
        state = replace(
            state,
            rbm=RBM(weights, visible_bias, hidden_bias, rbm.mask),
            epoch=epoch + 1,
            updates=state.updates + updates,
            chains=chains.copy() if persistent else None,
        )
        if callback is not None:
            callback(state)
    return state
