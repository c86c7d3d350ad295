"""Exact sums over all states of one layer, by half tables, and over given states: float64, portable bits.

A field splits into two halves of the layer, x_j(v) = A_j[high bits of v] + B_j[low bits of v], so that the
factor of a unit summed out is 1 + exp(A_j) exp(B_j): two tables of 2^(n/2) exponentials replace 2^n of them,
and log p~ is the logarithm of a product. States are numbered by their code: bit i (value 2**i) is unit i.
"""

from __future__ import annotations

import numpy as np

from .elementary import exp, exp_lanes, log, log_lanes, softplus_lanes
from .lanes import fused, load, splat, store, tree_sum
from .options import inline, jit

STATES = 8


@jit
def half_table(weights, bias, first, n_bits, n_codes, table):
    """Exponentials of partial fields: ``table[j, code] = exp(bias[j] + sum over set bits i of weights[first +
    i, j])``.

    ``weights`` is float64 (n_units, n_summed); ``n_codes`` may exceed 2**n_bits to fill a register: the
    surplus repeats.
    """
    for j in range(weights.shape[1]):
        for code in range(n_codes):
            field = bias[j]
            for i in range(n_bits):
                if (code >> i) & 1:
                    field += weights[first + i, j]
            table[j, code] = exp(field)


@jit
def bias_table(bias, first, n_bits, table):
    """``table[code]`` = sum of ``bias[first + i]`` over the set bits i of the code."""
    for code in range(table.shape[0]):
        field = 0.0
        for i in range(n_bits):
            if (code >> i) & 1:
                field += bias[first + i]
        table[code] = field


@inline
def _row_of_log_weights(high, table_high, table_low, bias_high, bias_low, chunks, row):
    """log p~ of all states with the given high bits: products over each chunk of units, then one
    logarithm.
    """
    for low in range(0, row.shape[0], STATES):
        total = load(bias_low, low) + splat(bias_high[high])
        for chunk in range(chunks.shape[0] - 1):
            product = splat(1.0)
            for j in range(chunks[chunk], chunks[chunk + 1]):
                factor = fused(
                    splat(table_high[j, high]), load(table_low, j * table_low.shape[1] + low), splat(1.0)
                )
                product = product * factor
            total = total + log_lanes(product)
        store(row, low, total)


@jit
def log_weights(table_high, table_low, bias_high, bias_low, chunks, out):
    """log p~ of every state: ``out`` is (number of high codes, number of low codes)."""
    for high in range(out.shape[0]):
        _row_of_log_weights(high, table_high, table_low, bias_high, bias_low, chunks, out[high])


@jit
def log_sum_of_weights(table_high, table_low, bias_high, bias_low, chunks, n_low):
    """log sum of p~ over all states, row by row, keeping no more than one row.

    Only the first ``n_low`` entries of a row count, so that a layer of fewer than three units can fill a
    register.
    """
    row = np.empty(bias_low.shape[0])
    largest, total = -np.inf, 0.0
    for high in range(bias_high.shape[0]):
        _row_of_log_weights(high, table_high, table_low, bias_high, bias_low, chunks, row)
        top = row[0]
        for low in range(n_low):
            top = max(top, row[low])
        if top > largest:
            total = total * exp(largest - top) if high > 0 else 0.0
            largest = top
        if n_low < STATES:
            for low in range(n_low):
                total += exp(row[low] - largest)
        else:
            lanes = splat(0.0)
            for low in range(0, n_low, STATES):
                lanes = lanes + exp_lanes(load(row, low) - splat(largest))
            total += tree_sum(lanes)
    return largest + log(total)


@jit
def normalized(log_p, log_z, probabilities):
    """``probabilities = exp(log_p - log_z)`` for flat arrays whose length is a multiple of eight."""
    for at in range(0, log_p.shape[0], STATES):
        store(probabilities, at, exp_lanes(load(log_p, at) - splat(log_z)))


# --- sums over given states -----------------------------------------------------------------------------------------


@jit
def tiles_of_rows(rows, tiles):
    """Rows of 0 and 1 as tiles of eight: ``tiles`` is float64 (n_tiles, n_units, 8); missing rows are
    zero.
    """
    for tile in range(tiles.shape[0]):
        for unit in range(tiles.shape[1]):
            for lane in range(STATES):
                row = STATES * tile + lane
                tiles[tile, unit, lane] = np.float64(rows[row, unit]) if row < rows.shape[0] else 0.0


@jit
def log_weights_of_tiles(tiles, weights, own_bias, other_bias, out):
    """log p~ of each row of the tiles with the other layer summed out: own_bias . s + sum_j
    softplus(other_bias_j + (s W)_j).
    """
    n_own, n_other = weights.shape
    size = n_own * STATES
    for tile in range(tiles.shape[0]):
        total = splat(0.0)
        for i in range(n_own):
            total = fused(splat(own_bias[i]), load(tiles, tile * size + STATES * i), total)
        for j in range(n_other):
            field = splat(other_bias[j])
            for i in range(n_own):
                field = fused(splat(weights[i, j]), load(tiles, tile * size + STATES * i), field)
            total = total + softplus_lanes(field)
        store(out, STATES * tile, total)


@jit
def expectations_over_tiles(tiles, probability, weights, other_bias, products, own_mean, other_mean):
    """Sums over rows s with probability q_s: q_s s_i p_j(s) -> ``products``, q_s s_i -> ``own_mean``, q_s
    p_j(s) -> ``other_mean``.

    p_j(s) = logistic(other_bias_j + (s W)_j). ``probability`` is padded with zeros to whole tiles.
    """
    n_own, n_other = weights.shape
    size = n_own * STATES
    sums = np.zeros(n_own * n_other * STATES)
    own = np.zeros(n_own * STATES)
    other = np.zeros(n_other * STATES)
    active = np.empty(n_other * STATES)
    one = splat(1.0)
    for tile in range(tiles.shape[0]):
        q = load(probability, STATES * tile)
        for j in range(n_other):
            field = splat(other_bias[j])
            for i in range(n_own):
                field = fused(splat(weights[i, j]), load(tiles, tile * size + STATES * i), field)
            p = q / (one + exp_lanes(splat(0.0) - field))
            store(active, STATES * j, p)
            store(other, STATES * j, load(other, STATES * j) + p)
        for i in range(n_own):
            s = load(tiles, tile * size + STATES * i)
            store(own, STATES * i, fused(s, q, load(own, STATES * i)))
            for j in range(n_other):
                at = STATES * (i * n_other + j)
                store(sums, at, fused(s, load(active, STATES * j), load(sums, at)))
    for i in range(n_own):
        own_mean[i] = tree_sum(load(own, STATES * i))
        for j in range(n_other):
            products[i, j] = tree_sum(load(sums, STATES * (i * n_other + j)))
    for j in range(n_other):
        other_mean[j] = tree_sum(load(other, STATES * j))
