r"""Persistent contrastive divergence of large machines with the centred gradient, in exact sums.

With offsets :math:`\mu, \lambda` (running means of the visible states and of the hidden probabilities of the mini-batches)
one update follows Montavon & Mueller (2012) and Melchior, Fischer & Wiskott (2016, eqs 13-16),

.. math:: \Delta W = \langle (v - \mu)(p - \lambda)^T \rangle_{data} - \langle (v - \mu)(p - \lambda)^T \rangle_{chains},\quad
          \Delta b = \langle v \rangle_{data} - \langle v \rangle_{chains} - \Delta W \lambda,\quad
          \Delta c = \langle p \rangle_{data} - \langle p \rangle_{chains} - \Delta W^T \mu,

with :math:`p_j = p(h_j = 1 | v)`; offsets that stay zero give the plain gradient. A weight outside the mask has no
:math:`\Delta W`. Each p, divided by the number of samples it is averaged over, is rounded to a multiple of 2**-30 once, so
that averages are exact integer sums; floats are added in one order, column block by column block, for any number of
threads.

An update has five stages; those that take ``part`` and ``n_parts`` may run as that many calls at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .elementary import exp_negative_f32
from .fixed_point import (
    PANEL,
    Layer,
    empty_layer,
    n_panels,
    n_rows,
    round_to_hidden,
    round_to_visible,
    zeros_float32,
)
from .integer_lanes import (
    add,
    aligned_integers,
    as_floats,
    gather_words,
    nearest_integers,
    store_columns,
    where_bits,
)
from .lanes import fused, load, splat, store, tree_sum
from .large_gibbs import dense_scratch, gibbs_steps, largest_block
from .options import inline, jit
from .philox import STREAM_LARGE_TRAINING
from .table_sums import (
    GROUPS,
    empty_table,
    find_places,
    group_bits,
    layer_panel_sums,
    n_chunks,
    panel_sums,
    state_words,
)

COLUMN_BLOCKS = 4
LARGEST_BOUND = np.float32(2.0**100)
_UNIT = np.float32(2.0**30)
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


class Parameters(NamedTuple):
    """A machine in training, every array padded to whole panels of sixteen units by zeros and flat.

    ``weights`` has a row for every visible unit; ``mask`` is uint16, a bit for every weight that exists.
    """

    weights: NDArray[np.float32]
    visible_bias: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    visible_offset: NDArray[np.float32]
    hidden_offset: NDArray[np.float32]
    mask: NDArray[np.uint16]


class Work(NamedTuple):
    """Room for an update: rows of states are the mini-batch, then from ``chain_row`` on the chains."""

    hidden: Layer
    visible: Layer
    n_batch: int
    n_chains: int
    chain_row: int
    states: NDArray[np.uint16]
    bounds: NDArray[np.float32]
    means: NDArray[np.uint32]
    columns: NDArray[np.uint16]
    places: NDArray[np.uint16]
    difference: NDArray[np.float32]
    by_offset: NDArray[np.float32]


@jit
def empty_work(n_visible, n_hidden, n_batch, n_chains):
    """Room for the updates of one machine."""
    chain_row = (n_batch + 15) // 16 * 16
    rows = chain_row + n_chains
    bits = group_bits(n_visible)
    return Work(
        empty_layer(n_visible, n_hidden),
        empty_layer(n_hidden, n_visible),
        n_batch,
        n_chains,
        chain_row,
        np.zeros(rows * state_words(n_visible), np.uint16),
        zeros_float32((n_panels(n_hidden) + n_panels(n_visible)) * PANEL),
        aligned_integers(n_panels(n_hidden) * n_rows(rows) * PANEL),
        np.zeros(n_panels(n_visible) * PANEL * state_words(rows), np.uint16),
        np.zeros(GROUPS * n_chunks(rows, bits) * n_visible, np.uint16),
        zeros_float32(n_panels(n_visible) * PANEL),
        zeros_float32(COLUMN_BLOCKS * n_visible * PANEL),
    )


@inline
def _share(n, part, n_parts):
    """The part of ``n`` things that falls to one of ``n_parts``: first and one past the last."""
    return n * part // n_parts, n * (part + 1) // n_parts


@jit
def round_weights(parameters, work, part, n_parts):
    """First stage: both layers of integer weights. False if a parameter is not finite, or too large."""
    n_visible, n_hidden = work.hidden.n_in, work.hidden.n_out
    stride = n_panels(n_hidden) * PANEL
    first, last = _share(n_panels(n_hidden), part, n_parts)
    hidden_bounds, visible_bounds = work.bounds[:stride], work.bounds[stride:]
    round_to_hidden(
        parameters.weights, stride, parameters.hidden_bias, first, last, hidden_bounds, work.hidden
    )
    fine = True
    for unit in range(first * PANEL, last * PANEL):
        fine = fine and hidden_bounds[unit] < LARGEST_BOUND
    first, last = _share(n_panels(n_visible), part, n_parts)
    round_to_visible(
        parameters.weights, stride, parameters.visible_bias, first, last, visible_bounds, work.visible
    )
    for unit in range(first * PANEL, last * PANEL):
        fine = fine and visible_bounds[unit] < LARGEST_BOUND
    return fine


@jit
def _mean_activations(layer, states, first_row, n_chains, factor, means, next_panel):
    """``factor`` * p(h | v) as integers, for rows of states; a panel of ``means`` has ``next_panel`` elements."""
    bits = group_bits(n_chains)
    places = np.empty(GROUPS * n_chunks(layer.n_in, bits) * n_chains, np.uint16)
    table = empty_table()
    find_places(states, first_row, n_chains, layer.n_in, bits, places)
    one, factors = splat(_ONE), splat(factor)
    for panel in range(n_panels(layer.n_out)):
        to = panel * next_panel + first_row * PANEL
        layer_panel_sums(layer, panel, bits, n_chains, places, table, means, to)
        grid = load(layer.grid, panel * PANEL)
        for row in range(n_chains):
            e = exp_negative_f32(as_floats(load(means, to + PANEL * row)) * grid)
            store(means, to + PANEL * row, nearest_integers(factors / (one + e)))


@jit
def advance_chains(work, data, rows, k, first_step, seed, part, n_parts):
    """Second stage: ``k`` Gibbs steps of the chains, and the hidden probabilities of both phases."""
    stride = state_words(work.hidden.n_in)
    next_panel = n_rows(work.chain_row + work.n_chains) * PANEL
    first, last = _share(work.n_batch, part, n_parts)
    for row in range(first, last):
        for word in range(stride):
            work.states[row * stride + word] = data[rows[row] * stride + word]
    if last > first:
        factor = _UNIT / np.float32(work.n_batch)
        _mean_activations(work.hidden, work.states, first, last - first, factor, work.means, next_panel)
    first, last = _share(work.n_chains, part, n_parts)
    if last > first:
        row, n = work.chain_row + first, last - first
        scratch = dense_scratch(max(work.hidden.n_in, work.hidden.n_out), largest_block(n))
        gibbs_steps(
            work.hidden, work.visible, scratch, work.states, row, n, k, first_step, first,
            np.uint64(STREAM_LARGE_TRAINING), seed,
        )  # fmt: skip
        factor = -_UNIT / np.float32(work.n_chains)
        _mean_activations(work.hidden, work.states, row, n, factor, work.means, next_panel)


@inline
def _ones(words, first, last):
    """How many bits are set in the words ``first ... last - 1``."""
    count = 0
    for word in range(first, last):
        bits = np.uint32(words[word])
        bits = bits - ((bits >> np.uint32(1)) & np.uint32(0x5555))
        bits = (bits & np.uint32(0x3333)) + ((bits >> np.uint32(2)) & np.uint32(0x3333))
        bits = (bits + (bits >> np.uint32(4))) & np.uint32(0x0F0F)
        count += np.int64((bits + (bits >> np.uint32(8))) & np.uint32(0x1F))
    return count


@jit
def transpose_states(parameters, work, offset_rate):
    """Third stage: states by unit, the difference of their means, and the visible offsets."""
    n_visible = work.hidden.n_in
    rows = work.chain_row + work.n_chains
    stride, column_stride = state_words(n_visible), state_words(rows)
    for first in range(0, rows, 16):
        for word in range(n_panels(n_visible)):
            sixteen = gather_words(work.states, first * stride + word, stride, rows - first)
            store_columns(work.columns, 16 * word * column_stride + first // 16, column_stride, sixteen)
    find_places(work.columns, 0, n_visible, rows, group_bits(n_visible), work.places)
    for i in range(n_visible):
        at = i * column_stride
        middle = at + work.chain_row // 16
        data = np.float32(_ones(work.columns, at, middle)) / np.float32(work.n_batch)
        chains = np.float32(_ones(work.columns, middle, at + column_stride)) / np.float32(work.n_chains)
        work.difference[i] = data - chains
        parameters.visible_offset[i] += offset_rate * (data - parameters.visible_offset[i])


@jit
def ascend_weights(parameters, work, rate, offset_rate, part, n_parts):
    """Fourth stage: weights, hidden biases and hidden offsets go up the gradient, by blocks of columns."""
    n_visible, n_hidden = work.hidden.n_in, work.hidden.n_out
    panels = n_panels(n_hidden)
    stride = panels * PANEL
    rows = work.chain_row + work.n_chains
    bits = group_bits(n_visible)
    table = empty_table()
    sums = aligned_integers(n_visible * PANEL)
    zero, nothing = splat(_ZERO), splat(np.uint32(0))
    unit, rates = splat(_ONE / _UNIT), splat(rate)
    first_block, last_block = _share(COLUMN_BLOCKS, part, n_parts)
    for block in range(first_block, last_block):
        by_offset = block * n_visible * PANEL
        for i in range(n_visible):
            store(work.by_offset, by_offset + PANEL * i, zero)
        first, last = _share(panels, block, COLUMN_BLOCKS)
        for panel in range(first, last):
            means = panel * n_rows(rows) * PANEL
            data, chains = nothing, nothing
            for row in range(work.n_batch):
                data = add(data, load(work.means, means + PANEL * row))
            for row in range(work.chain_row, rows):
                chains = add(chains, load(work.means, means + PANEL * row))
            mean = as_floats(data) * unit
            difference = as_floats(add(data, chains)) * unit
            offset = load(parameters.hidden_offset, panel * PANEL)
            offset = fused(splat(offset_rate), mean - offset, offset)
            store(parameters.hidden_offset, panel * PANEL, offset)

            panel_sums(work.means, means, rows, bits, nothing, n_visible, work.places, table, sums, 0)
            by_visible_offset = zero
            for i in range(n_visible):
                gradient = as_floats(load(sums, PANEL * i)) * unit
                visible_offset = parameters.visible_offset[i]
                gradient = fused(splat(-visible_offset), difference, gradient)
                gradient = fused(splat(-work.difference[i]), offset, gradient)
                gradient = where_bits(parameters.mask[i * panels + panel], gradient)
                at = i * stride + panel * PANEL
                store(parameters.weights, at, fused(rates, gradient, load(parameters.weights, at)))
                by_visible_offset = fused(splat(visible_offset), gradient, by_visible_offset)
                total = load(work.by_offset, by_offset + PANEL * i)
                store(work.by_offset, by_offset + PANEL * i, fused(gradient, offset, total))
            bias = load(parameters.hidden_bias, panel * PANEL)
            bias = fused(rates, difference - by_visible_offset, bias)
            store(parameters.hidden_bias, panel * PANEL, bias)


@jit
def ascend_visible_bias(parameters, work, rate):
    """Last stage: the visible biases go up the gradient."""
    n_visible = work.hidden.n_in
    for i in range(n_visible):
        total = load(work.by_offset, PANEL * i)
        for block in range(1, COLUMN_BLOCKS):
            total = total + load(work.by_offset, PANEL * (block * n_visible + i))
        parameters.visible_bias[i] += rate * (work.difference[i] - tree_sum(total))


@jit
def pcd_updates(parameters, work, data, rows, k, rates, offset_rates, first_update, seed):
    """Updates ``first_update, first_update + 1, ...``, one for every row of ``rows``, on one thread.

    Parameters and the chains (rows of ``work.states`` from ``work.chain_row`` on) change in place. ``data`` holds
    rows of states (of :func:`rbmlib.kernels.table_sums.state_words`), flat; ``rows`` (n_updates, n_batch) which of
    them form each mini-batch; ``rates`` and ``offset_rates`` are those of each update. Returns the number of
    updates made: fewer than asked if a parameter is not finite, or beyond 2**100, before one of them.
    """
    for update in range(rows.shape[0]):
        if not round_weights(parameters, work, 0, 1):
            return update
        step = (first_update + update) * k
        advance_chains(work, data, rows[update], k, step, seed, 0, 1)
        transpose_states(parameters, work, offset_rates[update])
        ascend_weights(parameters, work, rates[update], offset_rates[update], 0, 1)
        ascend_visible_bias(parameters, work, rates[update])
    return rows.shape[0]
