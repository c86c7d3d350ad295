"""Block Gibbs sampling of large machines, many chains at a time; the same bits by dense and by sparse sums.

A step draws the hidden layer given the visible one, then the visible layer given the hidden one. Fields are exact
integer sums (:mod:`rbmlib.kernels.fixed_point`); six panels of sixteen units are summed for all chains of a block, then
drawn: states are bits, sixteen units a uint16. The random words of panel ``6 s + r`` of a layer come from the sixteen
Philox counters ``16 s' ... 16 s' + 15``, one a lane, where s' counts the sixes of the hidden layer first and then those of
the visible layer; from each counter's 128 bits come six uniform numbers of 21 bits, number r for panel ``6 s + r``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from .elementary import exp_negative_f32
from .fixed_point import PANEL, n_panels
from .integer_lanes import aligned_integers, as_floats, bits_where_less
from .lanes import even_chains, fused, interleave, load, splat, uniform_of_low_bits, uniform_of_top_bits
from .options import inline, jit
from .philox import _LOW, _W0, _W1, _round_of_lanes, split_seed
from .sparse_sums import SparseLayer, column_words, empty_scratch, find_columns, sparse_panel_sums
from .table_sums import GROUPS, empty_table, find_places, group_bits, layer_panel_sums, n_chunks, state_words

SIX = 6
LARGEST_BLOCK = 512
_1 = np.uint64(1)
_ONE = np.float32(1.0)


@inline
def words_of_sixteen_counters(first, step, chain, stream, k0, k1):
    """The four Philox words of the counters ``first ... first + 15`` of one chain's step, each a ``u32x16``."""
    e0, e1, e2, e3 = even_chains(first), splat(step), splat(chain), splat(stream)
    o0, o1, o2, o3 = even_chains(first + _1), splat(step), splat(chain), splat(stream)
    for _ in range(10):
        e0, e1, e2, e3 = _round_of_lanes(e0, e1, e2, e3, k0, k1)
        o0, o1, o2, o3 = _round_of_lanes(o0, o1, o2, o3, k0, k1)
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return interleave(e0, o0), interleave(e1, o1), interleave(e2, o2), interleave(e3, o3)


@inline
def _drawn(sums, at, grid, panel, u):
    """Sixteen states, on with probability logistic(field): u < 1 / (1 + e) without a division."""
    e = exp_negative_f32(as_floats(load(sums, at)) * load(grid, panel * PANEL))
    return bits_where_less(fused(u, e, u), splat(_ONE))


@jit
def draw_six(layer, first_panel, sums, n_chains, step, chain, stream, k0, k1, counter, states, first_row):
    """Draw the states of up to six panels from their fields, which stand one :func:`panel_size` after the other."""
    stride = state_words(layer.n_out)
    count = min(SIX, n_panels(layer.n_out) - first_panel)
    grid = layer.grid
    next_panel = panel_size(n_chains)
    for row in range(n_chains):
        w0, w1, w2, w3 = words_of_sixteen_counters(counter, step, chain + np.uint64(row), stream, k0, k1)
        at = row * PANEL
        to = (first_row + row) * stride + first_panel
        states[to] = _drawn(sums, at, grid, first_panel, uniform_of_top_bits(w0))
        if count > 1:
            states[to + 1] = _drawn(sums, at + next_panel, grid, first_panel + 1, uniform_of_top_bits(w1))
        if count > 2:
            states[to + 2] = _drawn(sums, at + 2 * next_panel, grid, first_panel + 2, uniform_of_top_bits(w2))
        if count > 3:
            states[to + 3] = _drawn(sums, at + 3 * next_panel, grid, first_panel + 3, uniform_of_top_bits(w3))
        if count > 4:
            u = uniform_of_low_bits(w0, w1)
            states[to + 4] = _drawn(sums, at + 4 * next_panel, grid, first_panel + 4, u)
        if count > 5:
            u = uniform_of_low_bits(w2, w3)
            states[to + 5] = _drawn(sums, at + 5 * next_panel, grid, first_panel + 5, u)


@inline
def panel_size(n_chains):
    """Elements between the fields of a panel and those of the next: whole squares of 16 chains by 16 units."""
    return (n_chains + 15) // 16 * 16 * PANEL


class Scratch(NamedTuple):
    """Room for the fields of ``n_chains`` chains: for dense sums (``places``, ``table``) and sparse ones."""

    bits: int
    places: NDArray[np.uint16]
    table: NDArray[np.uint32]
    sums: NDArray[np.uint32]


@jit
def dense_scratch(n_units, n_chains):
    """Room to draw layers given at most ``n_units`` units by tables."""
    bits = group_bits(n_chains)
    places = np.empty(GROUPS * n_chunks(n_units, bits) * n_chains, np.uint16)
    return Scratch(bits, places, empty_table(), aligned_integers(SIX * panel_size(n_chains)))


@jit
def sparse_scratch(n_units, n_chains):
    """Room to draw layers given at most ``n_units`` units by the weights that exist."""
    columns = np.zeros(column_words(n_units, n_chains), np.uint16)
    return Scratch(0, columns, empty_scratch(), aligned_integers(SIX * panel_size(n_chains)))


def _prepare(layer, given, first_row, n_chains, scratch):
    """Bring the given states into the form that the layer's sums read."""


def _sum_panel(layer, panel, n_chains, scratch, to):
    """The fields of one panel."""


@overload(_prepare, inline="always")
def _prepare_for(layer, given, first_row, n_chains, scratch):
    if layer.instance_class is SparseLayer:
        return lambda layer, given, first_row, n_chains, scratch: find_columns(
            given, first_row, n_chains, layer.n_in, scratch.places
        )
    return lambda layer, given, first_row, n_chains, scratch: find_places(
        given, first_row, n_chains, layer.n_in, scratch.bits, scratch.places
    )


@overload(_sum_panel, inline="always")
def _sum_panel_of(layer, panel, n_chains, scratch, to):
    if layer.instance_class is SparseLayer:
        return lambda layer, panel, n_chains, scratch, to: sparse_panel_sums(
            layer, panel, n_chains, scratch.places, scratch.table, scratch.sums, to
        )
    return lambda layer, panel, n_chains, scratch, to: layer_panel_sums(
        layer, panel, scratch.bits, n_chains, scratch.places, scratch.table, scratch.sums, to
    )


@jit
def draw_layer(
    layer, given, given_row, n_chains, step, chain, stream, k0, k1, counter, scratch, states, to_row
):
    """Draw a layer's states (rows from ``to_row`` on) given those of the other (rows from ``given_row`` on)."""
    _prepare(layer, given, given_row, n_chains, scratch)
    panels = n_panels(layer.n_out)
    for first in range(0, panels, SIX):
        for panel in range(first, min(first + SIX, panels)):
            _sum_panel(layer, panel, n_chains, scratch, (panel - first) * panel_size(n_chains))
        number = counter + np.uint64(PANEL * (first // SIX))
        draw_six(layer, first, scratch.sums, n_chains, step, chain, stream, k0, k1, number, states, to_row)


@inline
def first_visible_counter(n_hidden):
    """The first Philox counter of the visible layer."""
    return np.uint64(PANEL * ((n_panels(n_hidden) + SIX - 1) // SIX))


@inline
def largest_block(n_chains):
    """How many chains to advance together, so that their fields stay in the second-level cache."""
    n_blocks = max(1, (n_chains + LARGEST_BLOCK - 1) // LARGEST_BLOCK)
    return (n_chains + n_blocks - 1) // n_blocks


@jit
def gibbs_steps(
    hidden_layer,
    visible_layer,
    scratch,
    visible,
    first_row,
    n_chains,
    n_steps,
    first_step,
    first_chain,
    stream,
    seed,
):
    """Advance the chains in rows ``first_row ... first_row + n_chains - 1`` of ``visible`` by Gibbs steps, in place.

    ``visible`` is flat uint16, rows of :func:`state_words`; row ``first_row + c`` is chain ``first_chain + c``.
    ``scratch`` has room for :func:`largest_block` chains.
    """
    k0, k1 = split_seed(np.uint64(seed))
    n_hidden = hidden_layer.n_out
    largest = largest_block(n_chains)
    hidden = np.zeros(largest * state_words(n_hidden), np.uint16)
    for first in range(0, n_chains, max(largest, 1)):
        rows = min(largest, n_chains - first)
        chain = np.uint64(first_chain + first)
        row = first_row + first
        for step in range(first_step, first_step + n_steps):
            draw_layer(
                hidden_layer, visible, row, rows, np.uint64(step), chain, np.uint64(stream), k0, k1, np.uint64(0),
                scratch, hidden, 0,
            )  # fmt: skip
            draw_layer(
                visible_layer, hidden, 0, rows, np.uint64(step), chain, np.uint64(stream), k0, k1,
                first_visible_counter(n_hidden), scratch, visible, row,
            )  # fmt: skip
