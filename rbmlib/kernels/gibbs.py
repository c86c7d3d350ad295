"""Block Gibbs sampling of restricted Boltzmann machines, sixteen chains at a time.

A tile holds sixteen chains: the state of one unit in all of them is one register of float32 zeros and ones. A
step draws the hidden layer given the visible one and then the visible layer given the hidden one; the words
that it needs come from one row of Philox counters, unit after unit, hidden ones first, so that a chain's
draws do not depend on its neighbours. Fields ``bias + sum_i weight_i * state_i`` are summed in the order of
the units by fused multiply-adds, which are exact products here (states are 0 or 1).
"""

from __future__ import annotations

import numpy as np

from .elementary import exp_negative_f32
from .lanes import (
    aligned_float32,
    bit_of_words,
    fused,
    fused_block,
    less_than,
    load,
    splat,
    splat_block,
    store,
    store_block,
    uniform_of_low_bits,
    uniform_of_top_bits,
)
from .options import inline, jit
from .philox import split_seed, words_of_sixteen_chains

LANES = 16
_ONE = np.float32(1.0)

# Only the lengths count: how many units' fields are summed side by side in registers.
_ONE_UNIT, _FOUR, _SIX, _NINE, _TEN = ((0,) * size for size in (1, 4, 6, 9, 10))


@inline
def _fields_by(size, width, weights, in_stride, out_stride, bias, n_in, n_out, states, at, fields, to):
    for block in range((n_out + width - 1) // width):
        # The last block may overlap the one before: the same sums again, the same bits.
        first = min(block * width, n_out - width)
        sums = splat_block(bias, first, size)
        for i in range(n_in):
            lane = load(states, at + LANES * i)
            sums = fused_block(sums, weights, first * out_stride + i * in_stride, out_stride, lane)
        store_block(fields, to + LANES * first, sums)


@inline
def block_width(n_out):
    """How many units' fields to sum side by side: the cheapest of 10, 9, 6, 4 (or 1).

    A block costs about half a cycle a row, but at least the four cycles that a fused multiply-add takes.
    """
    best, least = 1, 4.0 * n_out
    for width in (10, 9, 6, 4):
        cost = ((n_out + width - 1) // width) * max(4.0, 0.5 * width + 0.5)
        if width <= n_out and cost < least:
            best, least = width, cost
    return best


@inline
def layer_fields(width, weights, in_stride, out_stride, bias, n_in, n_out, states, at, fields, to):
    """Fields of ``n_out`` units given the states of ``n_in`` units in one tile."""
    if width == 10:
        _fields_by(_TEN, 10, weights, in_stride, out_stride, bias, n_in, n_out, states, at, fields, to)
    elif width == 9:
        _fields_by(_NINE, 9, weights, in_stride, out_stride, bias, n_in, n_out, states, at, fields, to)
    elif width == 6:
        _fields_by(_SIX, 6, weights, in_stride, out_stride, bias, n_in, n_out, states, at, fields, to)
    elif width == 4:
        _fields_by(_FOUR, 4, weights, in_stride, out_stride, bias, n_in, n_out, states, at, fields, to)
    else:
        _fields_by(_ONE_UNIT, 1, weights, in_stride, out_stride, bias, n_in, n_out, states, at, fields, to)


@inline
def draw_uniforms(uniforms, n_units, step, first_chain, stream, k0, k1):
    """Uniform numbers for ``n_units`` units of sixteen chains at one step, six units a Philox block of 128
    bits.

    Units 0 to 3 of a block take the upper 21 bits of its four words, units 4 and 5 the lower bits of words 0,
    1 and 2, 3. (A probability is thus realised to within 2.4e-7.) The buffer is rounded up to a multiple of
    six units.
    """
    for block in range((n_units + 5) // 6):
        w0, w1, w2, w3 = words_of_sixteen_chains(np.uint64(block), step, first_chain, stream, k0, k1)
        at = 6 * LANES * block
        store(uniforms, at, uniform_of_top_bits(w0))
        store(uniforms, at + LANES, uniform_of_top_bits(w1))
        store(uniforms, at + 2 * LANES, uniform_of_top_bits(w2))
        store(uniforms, at + 3 * LANES, uniform_of_top_bits(w3))
        store(uniforms, at + 4 * LANES, uniform_of_low_bits(w0, w1))
        store(uniforms, at + 5 * LANES, uniform_of_low_bits(w2, w3))


@inline
def draw_states(fields, at, n, uniforms, uniforms_at, states, to):
    """States 1 with probability logistic(field): u < 1 / (1 + e) without a division, as u + u e < 1."""
    one = splat(_ONE)
    for unit in range(n):
        u = load(uniforms, uniforms_at + LANES * unit)
        e = exp_negative_f32(load(fields, at + LANES * unit))
        store(states, to + LANES * unit, less_than(fused(u, e, u), one))


@inline
def activation_probabilities(fields, at, n, factor, probabilities, to):
    """``factor * logistic(field)`` of one tile; ``factor`` is lanes, 0 where a chain does not count."""
    one = splat(_ONE)
    for unit in range(n):
        e = exp_negative_f32(load(fields, at + LANES * unit))
        store(probabilities, to + LANES * unit, factor / (one + e))


@inline
def gibbs_step(
    weights,
    visible_bias,
    hidden_bias,
    widths,
    visible,
    visible_at,
    hidden,
    fields,
    uniforms,
    step,
    chain,
    stream,
    k0,
    k1,
):
    """One step v -> h -> v of one tile in place; ``hidden`` is left holding the hidden states that were
    drawn.
    """
    n_visible, n_hidden = weights.shape
    draw_uniforms(uniforms, n_visible + n_hidden, step, chain, stream, k0, k1)
    layer_fields(
        widths[1], weights, n_hidden, 1, hidden_bias, n_visible, n_hidden, visible, visible_at, fields, 0
    )
    draw_states(fields, 0, n_hidden, uniforms, 0, hidden, 0)
    layer_fields(widths[0], weights, 1, n_hidden, visible_bias, n_hidden, n_visible, hidden, 0, fields, 0)
    draw_states(fields, 0, n_visible, uniforms, LANES * n_hidden, visible, visible_at)


@inline
def buffer_size(n_visible, n_hidden):
    """Elements of a buffer that holds the fields or the uniforms of one tile."""
    return LANES * 6 * ((n_visible + n_hidden + 5) // 6)


@jit
def pack_rows(states, packed):
    """Pack uint8 rows of 0 and 1, 32 units a word: ``packed`` is uint32 (n_rows, ceil(n_units / 32)), unit 0
    the lowest bit.
    """
    for row in range(states.shape[0]):
        for word in range(packed.shape[1]):
            bits = np.uint32(0)
            for unit in range(32 * word, min(32 * word + 32, states.shape[1])):
                bits |= np.uint32(states[row, unit]) << np.uint32(unit - 32 * word)
            packed[row, word] = bits


@inline
def gather_tile(packed, rows, first, n, n_units, words, tile, at):
    """Unpack the rows ``rows[first:first + 16]`` (those below ``n``, the others zero) into a tile; ``words``
    is scratch.
    """
    for word in range(packed.shape[1]):
        for lane in range(LANES):
            words[lane] = packed[rows[first + lane], word] if first + lane < n else np.uint32(0)
        sixteen = load(words, 0)
        for unit in range(32 * word, min(32 * word + 32, n_units)):
            store(tile, at + LANES * unit, bit_of_words(sixteen, unit - 32 * word))


@inline
def pack_tile(tile, at, n_units, packed, first, n):
    """Pack a tile's states into the rows ``first ... first + 15`` below ``n``: the inverse of
    :func:`gather_tile`.
    """
    for lane in range(min(LANES, n - first)):
        for word in range(packed.shape[1]):
            bits = np.uint32(0)
            for unit in range(32 * word, min(32 * word + 32, n_units)):
                bits |= np.uint32(tile[at + LANES * unit + lane]) << np.uint32(unit - 32 * word)
            packed[first + lane, word] = bits


@jit
def unpack_rows(packed, states):
    """The inverse of :func:`pack_rows`."""
    for row in range(states.shape[0]):
        for unit in range(states.shape[1]):
            states[row, unit] = np.uint8((packed[row, unit // 32] >> np.uint32(unit % 32)) & np.uint32(1))


@jit
def gibbs_sample(weights, visible_bias, hidden_bias, states, n_steps, first_step, first_chain, stream, seed):
    """Advance chains by ``n_steps`` steps in place.

    ``states`` is uint8 (n_chains, n_visible); row c is chain ``first_chain + c``, so that any split of the
    rows into calls gives the same bits.
    """
    n_visible, n_hidden = weights.shape
    n_chains = states.shape[0]
    k0, k1 = split_seed(np.uint64(seed))
    widths = (block_width(n_visible), block_width(n_hidden))
    packed = np.empty((n_chains, (n_visible + 31) // 32), np.uint32)
    pack_rows(states, packed)
    words = np.empty(LANES, np.uint32)
    visible = aligned_float32(LANES * n_visible)
    hidden = aligned_float32(LANES * n_hidden)
    fields = aligned_float32(buffer_size(n_visible, n_hidden))
    uniforms = aligned_float32(buffer_size(n_visible, n_hidden))
    rows = np.arange(n_chains)
    for first in range(0, n_chains, LANES):
        gather_tile(packed, rows, first, n_chains, n_visible, words, visible, 0)
        chain = np.uint64(first_chain + first)
        for step in range(n_steps):
            gibbs_step(
                weights, visible_bias, hidden_bias, widths, visible, 0, hidden, fields, uniforms,
                np.uint64(first_step + step), chain, np.uint64(stream), k0, k1,
            )  # fmt: skip
        pack_tile(visible, 0, n_visible, packed, first, n_chains)
    unpack_rows(packed, states)
