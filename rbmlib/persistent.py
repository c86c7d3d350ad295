r"""Large machines: training by persistent contrastive divergence, and sampling of many chains.

For hundreds of units a layer, where :func:`rbmlib.training.train` and :meth:`rbmlib.rbm.RBM.sample` are slower. Fields
are exact integer sums (:mod:`rbmlib.kernels.fixed_point`): the result's bits depend on neither the number of threads nor
the way the sums are made, but they are other bits than those of ``train`` and ``sample``, whose sums round.

An update compares a mini-batch with chains that live on between updates (Tieleman 2008), and its gradient is centred
(Montavon & Mueller 2012; Melchior, Fischer & Wiskott 2016): :mod:`rbmlib.kernels.large_pcd` has the equations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import check_counter, check_rate
from .kernels import fixed_point as _fixed_point
from .kernels import large_gibbs as _gibbs
from .kernels import large_pcd as _pcd
from .kernels.contrastive_divergence import shuffle as _shuffle
from .kernels.philox import STREAM_LARGE_SAMPLING as _STREAM_SAMPLING
from .kernels.sparse_sums import sparse_layer as _sparse_layer
from .kernels.table_sums import SPARE_WORDS
from .rbm import RBM, check_binary, check_seed
from .training import DivergedError, LearningRate, _check_positive_integer

# Below this fraction of non-zero weights sparse sums are faster than dense ones (measured at 784 x 400, 512 chains).
SPARSE_BELOW = 0.25
_LARGEST_BOUND = 2.0**100
_UPDATES_A_CALL = 50
_UNBOUNDED = "rbm must have weights and a bias that add up to less than 2**100 for every unit"


@dataclass(frozen=True)
class LinearDecay:
    """A learning rate that stays at ``first`` for a fraction ``held`` of the run and then falls linearly to zero."""

    first: float
    held: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", check_rate("learning rate: first", self.first))
        if not 0 <= self.held <= 1:
            raise ValueError(
                f"learning rate: held must be a fraction of the run from 0 to 1, not {self.held!r}"
            )

    def at(self, update: int, n_updates: int) -> float:
        """The rate of update ``update`` = 0 ... n_updates - 1; portable bits."""
        left = (n_updates - update) / (n_updates * (1.0 - self.held)) if self.held < 1 else 1.0
        return self.first * min(1.0, left)


@dataclass(frozen=True)
class PersistentState:
    """What training needs to go on where it stopped.

    Attributes
    ----------
    rbm : RBM
        The machine.
    update : int
        Updates done; the random numbers of an update depend on its number.
    chains : array of uint8, (n_chains, n_visible), or None
        The persistent chains; None before the first update.
    visible_offset, hidden_offset : array of float32, (n_visible,) and (n_hidden,), or None
        Running means that the gradient is centred at; None before the first update.
    """

    rbm: RBM
    update: int = 0
    chains: NDArray[np.uint8] | None = None
    visible_offset: NDArray[np.float32] | None = None
    hidden_offset: NDArray[np.float32] | None = None


def train_persistent(
    machine: RBM | PersistentState,
    data: ArrayLike,
    *,
    n_updates: int,
    learning_rate: LinearDecay | LearningRate | float,
    seed: int,
    k: int = 2,
    n_chains: int = 128,
    batch_size: int = 128,
    centred: bool = True,
    offset_rate: float = 0.01,
    callback: Callable[[PersistentState], object] | None = None,
    callback_every: int = 100,
    until_update: int | None = None,
    n_threads: int = 1,
) -> PersistentState:
    """Train a large machine by persistent contrastive divergence (PCD-k); portable bits.

    Parameters
    ----------
    machine : RBM or PersistentState
        Where to start; a state goes on with the same bits as a run that was never interrupted.
    data : array, (n_samples, n_visible)
        Visible states, 0 or 1. Mini-batches visit them in one random order after the other.
    n_updates : int
        Updates of the whole run, which the learning rate's schedule spans.
    learning_rate : LinearDecay, LearningRate or float
        Step size per unit of mean gradient; a float is a constant rate. A `LearningRate`'s epochs are updates here.
    seed : int
        Seed of the mini-batches and of the chains, in [0, 2**64).
    k : int
        Gibbs steps v -> h -> v per update.
    n_chains : int
        Number of persistent chains; they start at the first rows of the data.
    batch_size : int
        Samples per update.
    centred : bool
        Whether the gradient is centred at running means of the mini-batches' visible states and hidden
        probabilities, which start at those of the first mini-batch.
    offset_rate : float
        The weight of a new mini-batch in the running means, in (0, 1].
    callback : callable, optional
        Called with the state after every ``callback_every`` updates and at the end.
    callback_every : int
        Updates between two calls.
    until_update : int, optional
        Stop after this update of the run (all of them if not given).
    n_threads : int
        Threads to use.

    Returns
    -------
    PersistentState

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    DivergedError
        If a parameter stops being finite; the message names the update.
    """
    state = machine if isinstance(machine, PersistentState) else PersistentState(machine)
    rbm = state.rbm
    samples, until, schedule = _checked_run(
        data, rbm.n_visible, learning_rate, offset_rate, until_update,
        n_updates=n_updates, k=k, n_chains=n_chains, batch_size=batch_size, callback_every=callback_every,
        n_threads=n_threads,
    )  # fmt: skip
    seed = check_seed("seed", seed)
    run = _Run(state, samples, n_chains, batch_size, k, seed)
    batches = _mini_batches(len(samples), batch_size, state.update, seed)
    with ThreadPoolExecutor(n_threads) if n_threads > 1 else nullcontext() as pool:
        while run.update < until:
            stop = min(
                until, (run.update // callback_every + 1) * callback_every, run.update + _UPDATES_A_CALL
            )
            updates = range(run.update, stop)
            rows = np.array([next(batches) for _ in updates])
            rates = np.array([schedule.at(update, n_updates) for update in updates], np.float32)
            offset_rates = np.array(
                [(offset_rate if update else 1.0) * centred for update in updates], np.float32
            )
            run.advance(rows, rates, offset_rates, pool, n_threads)
            if callback is not None and (run.update % callback_every == 0 or run.update == until):
                callback(run.state())
    return run.state() if run.update > state.update else state


def _checked_run(
    data: ArrayLike,
    n_visible: int,
    learning_rate: LinearDecay | LearningRate | float,
    offset_rate: float,
    until_update: int | None,
    *,
    n_updates: int,
    **counts: int,
) -> tuple[NDArray[np.uint8], int, LinearDecay | LearningRate]:
    """The samples, the last update and the schedule of a run whose counts are all to be positive."""
    samples = check_binary("data", data, n_visible)
    if len(samples) == 0:
        raise ValueError("data must have at least one row")
    for name, value in {"n_updates": n_updates, **counts}.items():
        _check_positive_integer(name, value)
    until = n_updates
    if until_update is not None:
        until = min(_check_positive_integer("until_update", until_update, 0), n_updates)
    if not 0 < offset_rate <= 1:
        raise ValueError(f"offset_rate must be a number above 0 and at most 1, not {offset_rate!r}")
    scheduled = isinstance(learning_rate, LinearDecay | LearningRate)
    schedule = learning_rate if scheduled else LinearDecay(learning_rate, 1.0)
    return samples, until, schedule


def sample_chains(
    rbm: RBM,
    states: ArrayLike,
    n_steps: int,
    seed: int,
    *,
    first_step: int = 0,
    first_chain: int = 0,
    n_threads: int = 1,
) -> NDArray[np.uint8]:
    """Advance chains of a large machine by block Gibbs sampling; portable bits.

    Sums are sparse where few weights are left (fewer than `SPARSE_BELOW`), dense otherwise, with the same bits.

    Parameters
    ----------
    rbm : RBM
    states : array, (n_chains, n_visible)
        Visible states that the chains have.
    n_steps : int
        Gibbs steps v -> h -> v.
    seed : int
        Seed in [0, 2**64); chain c's step t depends on (seed, c, t) alone.
    first_step, first_chain : int
        Number of the first step and of the first chain, so that a run can be cut into parts with the same bits.
    n_threads : int
        Threads to share the chains out to.

    Returns
    -------
    array of uint8, (n_chains, n_visible)

    Raises
    ------
    ValueError
        If an argument is out of range, or a unit's weights and bias add up to 2**100 or more in absolute value.
    """
    visible = check_binary("states", states, rbm.n_visible)
    for name, value in (("n_steps", n_steps), ("first_step", first_step), ("first_chain", first_chain)):
        _check_positive_integer(name, value, 0)
    check_counter("first_step", int(first_step), int(n_steps), "n_steps")
    check_counter("first_chain", int(first_chain), len(visible), "n_chains")
    _check_positive_integer("n_threads", n_threads)
    seed_word = np.uint64(check_seed("seed", seed))
    if not _bounded(rbm.weights, rbm.visible_bias, rbm.hidden_bias):
        raise ValueError(_UNBOUNDED)
    layers = _fixed_point.rounded_layers(rbm.weights, rbm.visible_bias, rbm.hidden_bias)
    scratch_of = _gibbs.dense_scratch
    if np.count_nonzero(rbm.weights) < SPARSE_BELOW * rbm.weights.size:
        layers = tuple(_sparse_layer(layer) for layer in layers)
        scratch_of = _gibbs.sparse_scratch
    n_chains = len(visible)
    packed = _packed(visible)

    def advance(part: int) -> None:
        first, last = n_chains * part // n_threads, n_chains * (part + 1) // n_threads
        scratch = scratch_of(max(rbm.weights.shape), _gibbs.largest_block(last - first))
        _gibbs.gibbs_steps(
            *layers, scratch, packed.reshape(-1), first, last - first, n_steps, first_step, first_chain + first,
            np.uint64(_STREAM_SAMPLING), seed_word,
        )  # fmt: skip

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(advance, range(n_threads)))
    return _unpacked(packed, rbm.n_visible)


class _Run:
    """A training run in the arrays of the kernels."""

    def __init__(
        self,
        state: PersistentState,
        samples: NDArray[np.uint8],
        n_chains: int,
        batch_size: int,
        k: int,
        seed: int,
    ) -> None:
        rbm = state.rbm
        self.update, self.k, self.seed, self.mask = state.update, k, np.uint64(seed), rbm.mask
        chains = samples[np.arange(n_chains) % len(samples)] if state.chains is None else state.chains
        if chains.shape != (n_chains, rbm.n_visible):
            raise ValueError(f"n_chains must be the state's {len(chains)} chains, not {n_chains}")
        offsets = [
            np.zeros(n, np.float32) if offset is None else np.array(offset, np.float32)
            for offset, n in ((state.visible_offset, rbm.n_visible), (state.hidden_offset, rbm.n_hidden))
        ]
        self.parameters = _pcd.Parameters(
            _fixed_point.padded_weights(rbm.weights),
            _fixed_point.padded_bias(rbm.visible_bias),
            _fixed_point.padded_bias(rbm.hidden_bias),
            *(_fixed_point.padded_bias(offset) for offset in offsets),
            _mask_words(rbm.mask),
        )
        self.data = _packed(samples).ravel()
        self.work = _pcd.empty_work(rbm.n_visible, rbm.n_hidden, batch_size, n_chains)
        packed = _packed(chains)
        self.chains = self.work.states.reshape(-1, packed.shape[1])[self.work.chain_row :]
        self.chains[:] = packed
        if not _bounded(*self.arrays()):
            raise ValueError(_UNBOUNDED)

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Weights and biases without their padding."""
        n_visible, n_hidden = self.mask.shape
        rows = self.parameters.weights.reshape(-1, len(self.parameters.hidden_bias))
        biases = self.parameters.visible_bias[:n_visible], self.parameters.hidden_bias[:n_hidden]
        return rows[:n_visible, :n_hidden], *biases

    def advance(
        self,
        rows: NDArray[np.int64],
        rates: NDArray[Any],
        offset_rates: NDArray[Any],
        pool: Any,
        n_threads: int,
    ) -> None:
        """Make one update for every row of ``rows``."""
        arguments = (
            self.parameters,
            self.work,
            self.data,
            rows,
            self.k,
            rates,
            offset_rates,
            self.update,
            self.seed,
        )
        done = (
            _pcd.pcd_updates(*arguments) if pool is None else _updates_in_threads(pool, n_threads, *arguments)
        )
        self.update += done
        if done < len(rows) or not _bounded(*self.arrays()):
            raise DivergedError(
                f"training diverged in update {self.update}: a parameter is no longer finite, or beyond 2**100; "
                "lower the learning rate"
            )

    def state(self) -> PersistentState:
        """The run as it stands, in arrays of its own."""
        n_visible, n_hidden = self.mask.shape
        chains = _unpacked(self.chains, n_visible)
        offsets = self.parameters.visible_offset[:n_visible], self.parameters.hidden_offset[:n_hidden]
        return PersistentState(
            RBM(*self.arrays(), self.mask), self.update, chains, *(offset.copy() for offset in offsets)
        )


def _updates_in_threads(
    pool: ThreadPoolExecutor, n_threads: int, parameters: Any, work: Any, data: Any, rows: Any, k: int, rates: Any,
    offset_rates: Any, first_update: int, seed: Any,
) -> int:  # fmt: skip
    """:func:`rbmlib.kernels.large_pcd.pcd_updates` with the stages of an update shared out to threads."""

    def all_parts(stage: Callable[..., Any], *arguments: Any) -> list[Any]:
        return list(pool.map(lambda part: stage(*arguments, part, n_threads), range(n_threads)))

    for update, (batch, rate, offset_rate) in enumerate(zip(rows, rates, offset_rates, strict=True)):
        if not all(all_parts(_pcd.round_weights, parameters, work)):
            return update
        all_parts(_pcd.advance_chains, work, data, batch, k, (first_update + update) * k, seed)
        _pcd.transpose_states(parameters, work, offset_rate)
        all_parts(_pcd.ascend_weights, parameters, work, rate, offset_rate)
        _pcd.ascend_visible_bias(parameters, work, rate)
    return len(rows)


def _mini_batches(n_samples: int, batch_size: int, first: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Rows of mini-batch ``first``, ``first + 1``, ... of one endless row of random orders of the samples."""
    epoch, order = -1, np.empty(0, np.int64)
    place = first * batch_size
    while True:
        rows = np.empty(batch_size, np.int64)
        filled = 0
        while filled < batch_size:
            if place // n_samples != epoch:
                epoch, order = place // n_samples, np.arange(n_samples)
                _shuffle(order, epoch, np.uint64(seed))
            taken = order[place % n_samples :][: batch_size - filled]
            rows[filled : filled + len(taken)] = taken
            filled += len(taken)
            place += len(taken)
        yield rows


def _packed(states: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """States as the kernels keep them: sixteen units a word, unit 0 the lowest bit, and spare words; (n, words)."""
    rows = np.zeros((len(states), 2 * (-(-states.shape[1] // 16) + SPARE_WORDS)), np.uint8)
    bits = np.packbits(states, axis=1, bitorder="little")
    rows[:, : bits.shape[1]] = bits
    return rows.view("<u2")


def _unpacked(rows: NDArray[np.uint16], n_units: int) -> NDArray[np.uint8]:
    return np.unpackbits(rows.view(np.uint8), axis=1, count=n_units, bitorder="little")


def _mask_words(mask: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Sixteen columns of the mask a uint16, row after row, flat."""
    padded = np.zeros((mask.shape[0], -(-mask.shape[1] // 16) * 16), bool)
    padded[:, : mask.shape[1]] = mask
    return np.packbits(padded, axis=1, bitorder="little").view("<u2").ravel()


def _bounded(
    weights: NDArray[np.float32], visible_bias: NDArray[np.float32], hidden_bias: NDArray[np.float32]
) -> bool:
    """Whether every field is finite and safe to round, whatever the states."""
    return all(
        bool((np.abs(weights).sum(axis=axis, dtype=np.float64) + np.abs(bias) < _LARGEST_BOUND).all())
        for axis, bias in ((1, visible_bias), (0, hidden_bias))
    )
